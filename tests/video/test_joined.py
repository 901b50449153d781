"""Recordings put one behind the other are read to the last byte, on one line of time."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from acfd_stream.video import open_video
from acfd_stream.video.decode_position import DecodePosition
from tests.video.containers import SIZE, pictures
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

FASTSTART = {"movflags": "faststart"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
KINDS = [
    Part("ts"),
    Part("ts", "mpeg2video"),
    Part("mpg", "mpeg2video"),
    Part("mkv"),
    Part("mkv", "mpeg4"),
    Part("webm", "libvpx"),
    Part("webm", "libvpx-vp9", options={"live": "1"}),  # without sizes
    Part("flv"),
    Part("flv", "flv"),
    Part("ogg", "libvpx"),
    Part("mp4", options=FASTSTART),
    Part("mp4", options=FRAGMENTS),
    Part("avi", "mpeg4"),
    Part("ivf", "libvpx"),
    Part("nut"),
    Part("asf", "msmpeg4v3"),
]


def kind_of(part: Part) -> str:
    return "-".join([part.suffix, part.codec, *part.options.values()])


@pytest.mark.parametrize("part", KINDS, ids=kind_of)
def test_both_parts_are_read_on_one_line_of_time(part: Part, tmp_path: Path) -> None:
    path = joined(tmp_path, [part, part.after()])
    video, frames = read(path)
    assert_all_there(frames, 2 * FRAMES, tolerance=12)
    assert_steady(frames)
    names = ["clock"] if part.suffix in ("ts", "mpg") else ["clock", "stream"]
    assert seams_of(frames) == {FRAMES: names}
    assert video.is_complete
    assert video.error is None
    (warning,) = video.warnings
    assert warning.startswith("another recording, stream or clock begins at ")


@pytest.mark.parametrize("part", KINDS, ids=kind_of)
def test_bytes_and_streams_give_the_same_as_the_file(part: Part, tmp_path: Path) -> None:
    data = joined(tmp_path, [part, part.after(), part.after(first=2 * FRAMES)]).read_bytes()
    path = tmp_path / f"joined.{part.suffix}"
    video, frames = read(path)
    assert len(frames) == 3 * FRAMES
    for source in (io.BytesIO(data), fed(data), fed(data, 999)):
        other, others = read(source)  # type: ignore[arg-type]
        assert marks_of(others) == marks_of(frames)
        assert (other.warnings, other.is_complete) == (video.warnings, True)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Part("mkv"), Part("mkv", "libvpx", size=(80, 96))),
        (Part("mp4", options=FASTSTART), Part("mp4", "mpeg4", size=(80, 96), options=FASTSTART)),
        (Part("flv"), Part("flv", "flv", size=(80, 96))),
        (Part("avi", "mpeg4"), Part("avi", "msmpeg4v3", size=(80, 96))),
        (Part("ts"), Part("ts", size=(80, 96))),
    ],
    ids=lambda part: kind_of(part),
)
def test_a_part_may_have_another_codec_and_size(first: Part, second: Part, tmp_path: Path) -> None:
    path = joined(tmp_path, [first, second.after()])
    for source in (path, fed(path.read_bytes())):
        video, frames = read(source)
        assert_all_there(frames, 2 * FRAMES, tolerance=12)
        assert [frame.picture.display_size for frame in frames] == [(48, 64)] * FRAMES + [(80, 96)] * FRAMES
        assert seams_of(frames)[FRAMES][-1] == "size"
        assert video.is_complete


@pytest.mark.parametrize("suffix", ["mkv", "flv", "mp4", "ts"])
@pytest.mark.parametrize("junk", [b"ID3" + bytes(range(1, 256)) * 9, bytes(4000)])
def test_bytes_between_the_parts_are_left_out(suffix: str, junk: bytes, tmp_path: Path) -> None:
    part = Part(suffix, options=FASTSTART if suffix == "mp4" else {})
    path = joined(tmp_path, [part, junk, part.after(), bytes(500)])
    for source in (path, fed(path.read_bytes())):
        video, frames = read(source)
        assert_all_there(frames, 2 * FRAMES)
        assert video.is_complete


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_what_cannot_be_read_on_is_told(suffix: str, tmp_path: Path) -> None:
    part = Part(suffix, options=FASTSTART if suffix == "mp4" else {})
    strange = joined(tmp_path, [part, b"none of the containers " * 4000])
    video, frames = read(strange)
    assert len(frames) == FRAMES
    assert not video.is_complete
    assert video.warnings[0] == "92000 bytes behind the end of the video cannot be read"
    assert [(round(gap.time, 1), str(gap.cause)) for gap in video.gaps] == [(0.5, "damaged container")]
    padded = joined(tmp_path, [part, bytes(92000)])
    assert read(padded)[0].is_complete


@pytest.mark.parametrize("is_fed", [False, True])
@pytest.mark.parametrize(
    ("first", "behind"),
    [
        (first, behind)
        for first in ("ts", "flv", "mpg", "mkv", "mp4")
        for behind in ("mkv", "mp4", "flv", "avi", "ts", "mpg")
        if first != behind
    ],
)
def test_a_container_of_another_kind_behind_the_end_is_told(
    first: str, behind: str, is_fed: bool, tmp_path: Path
) -> None:
    part = Part(first, options=FASTSTART if first == "mp4" else {})
    part = replace(part, codec="mpeg2video") if first == "mpg" else part
    data = part.write(tmp_path)
    other = Part(behind, {"mpg": "mpeg2video", "avi": "mpeg4"}.get(behind, "libx264"), frames=72, size=(144, 192))
    path = joined(tmp_path, [data, other], first)
    video, frames = read(fed(path.read_bytes()) if is_fed else path)
    assert len(frames) == FRAMES
    assert f" begins at byte {len(data)}, behind the end of the video, and is not read" in video.warnings[0]
    assert (len(video.gaps), video.is_complete, video.error) == (1, False, None)


@pytest.mark.parametrize("is_fed", [False, True])
@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "libx264"), ("webm", "libvpx"), ("avi", "mpeg4")])
@pytest.mark.parametrize("cut", [0, 1])
def test_a_part_that_is_cut_has_a_gap_at_its_end(
    cut: int, suffix: str, codec: str, is_fed: bool, tmp_path: Path
) -> None:
    whole = Part(suffix, codec)
    parts = [whole.write(tmp_path), whole.after().write(tmp_path)]
    with av.open(io.BytesIO(parts[cut]), "r") as container:
        places = [packet.pos or 0 for packet in container.demux(video=0) if packet.size]
    size, there = len(parts[cut]), places[6]
    parts[cut] = parts[cut][:there]
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(b"".join(parts))
    video, frames = read(fed(path.read_bytes()) if is_fed else path)
    begin = cut * len(parts[0])
    assert f"the part that begins at byte {begin} is cut short: it has {there} of {size} bytes" in video.warnings
    assert (len(video.gaps), video.is_complete, video.error) == (1, False, None)
    seam = next(frame for frame in frames if frame.seams)
    expected = seam.pts_seconds if cut == 0 else frames[-1].pts_seconds + 1 / RATE
    assert abs(video.gaps[0].time - expected) < 0.05


def test_a_part_of_which_only_the_header_is_there_is_told(tmp_path: Path) -> None:
    part = Part("mkv")
    data = part.write(tmp_path)
    path = joined(tmp_path, [part, data[:200], part.after()])
    video, frames = read(path)
    assert_all_there(frames, 2 * FRAMES)
    assert not video.is_complete
    assert any(f"the part that begins at byte {len(data)} cannot be read" in warning for warning in video.warnings)


@pytest.mark.parametrize("bit", [40, 56, 61, 62])
def test_a_time_that_only_damage_makes_is_none(bit: int, tmp_path: Path) -> None:
    part = Part("ivf", "libvpx")
    data = bytearray(part.after().write(tmp_path))
    at = 32
    for _ in range(4):  # heads of packets: size, time
        at += 12 + int.from_bytes(data[at : at + 4], "little")
    data[at + 4 + bit // 8] |= 1 << bit % 8
    video, frames = read(joined(tmp_path, [part, bytes(data)]))
    assert_all_there(frames, 2 * FRAMES)
    assert_steady(frames)
    assert video.is_complete


def fragments_that_restart(folder: Path, *, has_index: bool) -> Path:
    """One header, with the fragments of two recordings."""
    first, second = Part("mp4", options=FRAGMENTS), Part("mp4", first=FRAMES, options=FRAGMENTS)
    head, tail = first.write(folder), second.write(folder)
    end = len(head) if has_index else head.index(b"mfra") - 4
    path = folder / "fragments.mp4"
    path.write_bytes(head[:end] + tail[tail.index(b"moof") - 4 :])
    return path


@pytest.mark.parametrize("has_index", [True, False])
def test_fragments_whose_times_restart_are_all_read(has_index: bool, tmp_path: Path) -> None:
    path = fragments_that_restart(tmp_path, has_index=has_index)
    for source in (path, fed(path.read_bytes())):
        video, frames = read(source)
        assert_all_there(frames, 2 * FRAMES)
        assert_steady(frames)
        assert seams_of(frames) == {FRAMES: ["clock"]}
        assert video.is_complete


def segments_with_a_header_each(folder: Path, suffix: str) -> Path:
    """A recording in three pieces, each of which can be read alone, with the times of the whole."""
    path = folder / f"segments.{suffix}"
    if suffix == "mp4":
        data = Part("mp4", "mpeg4", frames=3 * FRAMES, options=FRAGMENTS).write(folder)
        # A fragment ends with the size of the next one, before whose name the data is split.
        head, *fragments = data[: data.index(b"mfra") - 4].split(b"moof")
        third = len(fragments) // 3
        groups = [fragments[:third], fragments[third : 2 * third], fragments[2 * third :]]
        pieces = [b"moof".join([b"", *group]) for group in groups]
        joints = [piece[:-4] + head[:-4] + piece[-4:] for piece in pieces[:-1]]
        path.write_bytes(head + b"".join(joints) + pieces[-1])
        return path
    part = Part("mkv", "mpeg4")
    return joined(folder, [part, part.after(begins=FRAMES), part.after(first=2 * FRAMES, begins=2 * FRAMES)])


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_segments_with_a_header_each_and_one_clock_have_no_seam(suffix: str, tmp_path: Path) -> None:
    video, frames = read(segments_with_a_header_each(tmp_path, suffix))
    assert_all_there(frames, 3 * FRAMES, tolerance=12)
    assert_steady(frames)
    assert seams_of(frames) == {}
    assert video.warnings == []


@pytest.mark.parametrize("part", [Part("ts"), Part("mpg", "mpeg2video"), Part("flv"), Part("mkv")], ids=kind_of)
def test_a_range_is_one_of_the_continued_times(part: Part, tmp_path: Path) -> None:
    path = joined(tmp_path, [part, part.after(), part.after(first=2 * FRAMES)])
    _, frames = read(path)
    for begin, end in ((3, 8), (FRAMES - 1, FRAMES + 3), (FRAMES + 5, 2 * FRAMES + 4), (2 * FRAMES + 7, None)):
        start = frames[begin].pts_seconds - 0.01
        limit = {} if end is None else {"end_seconds": frames[end].pts_seconds - 0.01}
        _, found = read(path, start_seconds=start, **limit)
        wanted = frames[begin:end]
        assert [frame.pts for frame in found] == [frame.pts for frame in wanted]
        assert seams_of(found).keys() == {index - begin for index in seams_of(wanted)}


@pytest.mark.parametrize("part", [Part("ts"), Part("mpg", "mpeg2video"), Part("flv"), Part("mkv")], ids=kind_of)
@pytest.mark.parametrize("last", [4, FRAMES - 1, FRAMES, FRAMES + 7])
def test_a_resumed_reading_gives_the_frames_that_follow(part: Part, last: int, tmp_path: Path) -> None:
    path = joined(tmp_path, [part, part])  # the same pictures twice: only the place tells them apart
    whole, frames = read(path)
    with open_video(path) as video:
        frame = next(frame for frame in video if frame.index == last)
        position = DecodePosition(frame.index, frame.pts, frame.is_pts_filled, video.loss_counts)
    with open_video(path) as video:
        video.resume_after(position, last + 1)
        rest = list(video)
    assert marks_of(rest) == marks_of(frames)[last + 1 :]
    assert video.warnings == whole.warnings


@pytest.mark.parametrize("part", [Part("mkv", frames=40), Part("ts", frames=40), Part("flv", frames=40)], ids=kind_of)
def test_reordered_pictures_are_no_restart(part: Part, tmp_path: Path) -> None:
    video, frames = read(joined(tmp_path, [part]))
    assert_all_there(frames, 40)
    assert seams_of(frames) == {}
    assert video.warnings == []


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
@pytest.mark.parametrize("slow", [12, 60])
def test_reordered_pictures_far_apart_are_no_restart(slow: int, suffix: str, tmp_path: Path) -> None:
    path, seconds = (
        tmp_path / f"slow.{suffix}",
        [5 * min(index, slow) + max(index - slow, 0) / 25 for index in range(60)],
    )
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", options={"bf": "3", "x264-params": "b-adapt=0"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for frame, time in zip(pictures(60), seconds, strict=True):
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    video, frames = read(path)
    begin = frames[0].pts_seconds
    assert [frame.pts_seconds - begin for frame in frames] == [pytest.approx(time, abs=0.001) for time in seconds]
    assert (seams_of(frames), video.warnings) == ({}, [])


def test_keyframes_by_mistake_are_no_restart(tmp_path: Path) -> None:
    source, path = joined(tmp_path, [Part("mp4", frames=24)]), tmp_path / "flagged.mp4"
    with av.open(str(source)) as given, av.open(str(path), "w") as written:
        stream = written.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.size:
                packet.is_keyframe, packet.stream = True, stream
                written.mux(packet)
    _, frames = read(path)
    assert_all_there(frames, 24)
    assert seams_of(frames) == {}


def test_a_clock_that_wraps_is_no_seam(tmp_path: Path) -> None:
    wrap = 2**33 // 3750  # frames of 1/24 s
    part = Part("ts", begins=wrap - 40, frames=80)
    video, frames = read(joined(tmp_path, [part]))
    assert_all_there(frames, 80)
    assert_steady(frames)
    assert video.warnings == []


def test_a_long_recording_before_a_short_one_is_no_wrap(tmp_path: Path) -> None:
    part = Part("ts", begins=RATE_HOUR)
    _, frames = read(joined(tmp_path, [part, part.after(begins=0)]))
    assert_all_there(frames, 2 * FRAMES)
    assert_steady(frames)
    assert seams_of(frames) == {FRAMES: ["clock"]}


RATE_HOUR = 24 * 3600


def test_an_avi_of_several_lists_is_one_part(tmp_path: Path) -> None:
    data = Part("avi", "mpeg4").write(tmp_path)
    further = b"RIFF" + struct.pack("<I", 4 + 8 + 100_000) + b"AVIXJUNK" + struct.pack("<I", 100_000) + bytes(100_000)
    path = tmp_path / "long.avi"
    path.write_bytes(data + further)
    video, frames = read(path)
    assert len(frames) == FRAMES
    assert video.is_complete
    assert video.warnings == []
