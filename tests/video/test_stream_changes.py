"""A video whose PID, program, codec, or pixel aspect changes in mid-stream is followed."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from acfd_stream.video.transport_watch import TransportWatch, transport_layout
from tests.video.conftest import Clip, flat_frame
from tests.video.joined_clips import (
    FRAMES,
    RATE,
    Part,
    assert_all_there,
    assert_steady,
    fed,
    joined,
    marks_of,
    read,
    seams_of,
)

FIRST = Part("ts", "mpeg2video", options={"mpegts_start_pid": "0x100"})


def after(part: Part, pid: str = "0x100", codec: str = "mpeg2video", **options: str) -> Part:
    """The frames that follow those of ``part``, with its clock."""
    changed = {**part.options, "mpegts_start_pid": pid, "tables_version": "1", **options}
    return part.after(codec=codec, begins=part.begins + part.frames, options=changed)


@pytest.mark.parametrize(
    "second",
    [
        after(FIRST, "0x140"),
        after(FIRST, "0x140", "mpeg4"),
        after(FIRST, "0x100", "mpeg4"),
        after(FIRST, "0x100", "libx265"),
        after(FIRST, "0x140", mpegts_pmt_start_pid="0x1100", mpegts_service_id="7"),
    ],
    ids=["pid", "pid-codec", "codec", "hevc", "program"],
)
def test_the_stream_that_continues_the_video_is_followed(second: Part, tmp_path: Path) -> None:
    path = joined(tmp_path, [FIRST, second])
    video, frames = read(path)
    assert_all_there(frames, 2 * FRAMES, tolerance=12)
    assert_steady(frames, tolerance=2 / RATE)  # the delay of reordering differs between the encoders
    assert "stream" in seams_of(frames)[FRAMES]
    assert len(seams_of(frames)) == 1
    assert video.is_complete
    assert video.error is None
    for chunk in (4096, 1316):
        assert marks_of(read(fed(path.read_bytes(), chunk))[1]) == marks_of(frames)


def test_packets_with_a_time_in_front_are_followed_too(tmp_path: Path) -> None:
    plain = joined(tmp_path, [FIRST, after(FIRST, "0x140")]).read_bytes()
    path = tmp_path / "joined.m2ts"
    path.write_bytes(b"".join(bytes(4) + plain[at : at + 188] for at in range(0, len(plain), 188)))
    _, frames = read(path)
    assert_all_there(frames, 2 * FRAMES, tolerance=12)
    assert seams_of(frames) == {FRAMES: ["stream"]}


def test_a_video_that_changes_there_and_back_is_whole(tmp_path: Path) -> None:
    second = after(FIRST, "0x140")
    third = replace(after(second, "0x100"), options={**FIRST.options, "tables_version": "2"})
    path = joined(tmp_path, [FIRST, second, third])
    _, frames = read(path)
    assert_all_there(frames, 3 * FRAMES, tolerance=12)
    assert_steady(frames)
    assert seams_of(frames) == {FRAMES: ["stream"], 2 * FRAMES: ["stream"]}
    _, found = read(path, start_seconds=frames[2 * FRAMES + 2].pts_seconds - 0.01)
    assert [frame.pts for frame in found] == [frame.pts for frame in frames[2 * FRAMES + 2 :]]


def two_streams(path: Path, begin: int, frames: int) -> Path:
    """Two video streams in one table; the second begins with frame ``begin``."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg2video", rate=RATE) for _ in range(2)]
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for index in range(begin + frames):
            for place, stream in enumerate(streams):
                if (index < frames) if place == 0 else (index >= begin):
                    frame = flat_frame(Clip(), index)
                    frame.pts, frame.time_base = index, Fraction(1, RATE)
                    container.mux(stream.encode(frame))
            if index == frames - 1:
                container.mux(streams[0].encode(None))
        container.mux(streams[1].encode(None))
    return path


@pytest.mark.parametrize("frames", [FRAMES, 80])
def test_of_two_listed_streams_the_later_one_continues_the_first(frames: int, tmp_path: Path) -> None:
    path = two_streams(tmp_path / "listed.ts", begin=frames, frames=frames)
    video, found = read(path)
    assert_all_there(found, 2 * frames, tolerance=12)
    assert seams_of(found) == {frames: ["stream"]}
    assert video.is_complete


@pytest.mark.parametrize("begin", [0, FRAMES])
def test_streams_side_by_side_are_not_joined(begin: int, tmp_path: Path) -> None:
    path = two_streams(tmp_path / "beside.ts", begin=begin, frames=2 * FRAMES)
    _, frames = read(path)
    assert len(frames) == 2 * FRAMES
    assert seams_of(frames) == {}


@pytest.mark.parametrize("chunk", [188, 1000, 10**6])
def test_a_change_long_after_the_opening_is_found(chunk: int, tmp_path: Path) -> None:
    first = replace(FIRST, frames=60)
    data = joined(tmp_path, [first, after(first, "0x140", "mpeg4")]).read_bytes()
    split = len(first.write(tmp_path))
    layout = transport_layout(data[:1024])
    assert layout is not None
    watch = TransportWatch(layout)
    assert watch.scan(0, data[: split // 4]) is None
    assert watch.follow(0x100) is None
    at, boundary = split // 4, None
    while boundary is None:
        assert watch.keep_from >= at - 188
        boundary = watch.scan(at, data[at : at + chunk])
        at += chunk
    assert split < boundary.end < split + 4 * 188  # behind the tables of the second part
    assert boundary.stream_id == 0x140
    assert [boundary.prefix[at : at + 3] for at in (0, 188)] == [b"G\x40\0", b"G\x50\0"]


@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_damaged_table_changes_nothing(is_damaged: bool, tmp_path: Path) -> None:
    first, second = FIRST.write(tmp_path), bytearray(after(FIRST, "0x140").write(tmp_path))
    for at in range(0, len(second), 188):
        if second[at : at + 3] == b"G\x50\0" and is_damaged:
            second[at + 17] ^= 0x10  # in the section
    watch = TransportWatch((0, 188))
    assert watch.scan(0, first) is None
    assert watch.follow(0x100) is None
    assert (watch.scan(len(first), bytes(second)) is None) is is_damaged


def aspects(folder: Path, suffix: str, codec: str) -> Path:
    """Square pixels, then pixels of 4:3, with one clock."""
    part = Part(suffix, codec, frames=24, pixel_aspect=Fraction(1))
    return joined(folder, [part, part.after(begins=24, pixel_aspect=Fraction(4, 3))])


@pytest.mark.parametrize(
    ("suffix", "codec"), [("ts", "libx264"), ("ts", "libx265"), ("ts", "mpeg4"), ("mpg", "mpeg2video")]
)
@pytest.mark.parametrize("threads", [0, 1, 4])
def test_the_pixel_aspect_is_that_of_each_frame(suffix: str, codec: str, threads: int, tmp_path: Path) -> None:
    path = aspects(tmp_path, suffix, codec)
    for source in (path, fed(path.read_bytes())):
        video, frames = read(source, threads=threads)
        sizes = [frame.picture.display_size for frame in frames]
        assert sizes[:24] == [sizes[0]] * 24
        assert sizes[24:] == [sizes[-1]] * 24
        assert sizes[-1][1] == round(sizes[0][1] * 4 / 3)
        assert list(seams_of(frames)) == [24]
        assert seams_of(frames)[24][-1] == "size"
        assert video.warnings[-1].startswith("the picture changes from ")


def test_the_aspect_of_a_matroska_header_counts_for_all_frames(tmp_path: Path) -> None:
    source, path = aspects(tmp_path, "ts", "libx264"), tmp_path / "header.mkv"
    with av.open(str(source)) as given, av.open(str(path), "w") as written:
        stream = written.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.size:
                packet.stream = stream
                written.mux(packet)
    _, frames = read(path)
    assert {frame.picture.display_size for frame in frames} == {(48, 64)}
