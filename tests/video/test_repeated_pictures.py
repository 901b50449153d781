"""Pictures that repeat by an empty packet: the picture before lasts until the next one, to the end of the video."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from acfd_stream.detect import Detector
from acfd_stream.outputs import convert, open_writer, read_results
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.recording.header import end_of, header_of
from acfd_stream.video import VideoSource, open_video
from acfd_stream.video.decode_position import DecodePosition
from acfd_stream.video.frame import Frame
from tests.video.containers import (
    N_VOP,
    RATE,
    THEORA,
    encoded,
    payloads,
    theora_packets,
    theora_private,
    write_animation,
    write_avi,
    write_matroska,
    write_theora,
)

Chunks = list[tuple[bytes, bool]]
EMPTY = (b"", False)


def read(source: Path | BytesIO) -> tuple[VideoSource, list[Frame]]:
    with open_video(source) as video:
        return video, list(video)


def duration(video: VideoSource, frames: Sequence[Frame]) -> Fraction:
    last = video.last_seconds
    if last is None:
        assert video.info.frame_rate is not None
        last = 1 / video.info.frame_rate
    return (frames[-1].pts - frames[0].pts) * video.info.time_base + last


def mpeg4(folder: Path) -> Chunks:
    return payloads(encoded(folder / "mpeg4.avi", "mpeg4", 20, {"qscale": "2", "g": "10"}))


def theora(folder: Path) -> Chunks:
    return [(packet, index == 0) for index, packet in enumerate(theora_packets(THEORA)[1]) if packet][:20]


def as_avi(folder: Path, chunks: Chunks) -> Path:
    return write_avi(folder / "repeats.avi", chunks)


def as_ogg(folder: Path, chunks: Chunks) -> Path:
    return write_theora(folder / "repeats.ogv", theora_packets(THEORA)[0], [data for data, _ in chunks])


def as_matroska(folder: Path, chunks: Chunks) -> Path:
    return write_matroska(folder / "repeats.mkv", "V_THEORA", theora_private(theora_packets(THEORA)[0]), chunks)


def mpeg4_in_matroska(folder: Path, chunks: Chunks) -> Path:
    return write_matroska(folder / "repeats.mkv", "V_MPEG4/ISO/ASP", b"", chunks)


KINDS = {
    "Theora in Ogg": (theora, as_ogg),
    "MPEG-4 in AVI": (mpeg4, as_avi),
    "Theora in Matroska": (theora, as_matroska),
    "MPEG-4 in Matroska": (mpeg4, mpeg4_in_matroska),
}
Kind = tuple[Callable[[Path], Chunks], Callable[[Path, Chunks], Path]]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def seconds(frames: Sequence[Frame]) -> list[float]:
    return [frame.pts_seconds for frame in frames]


def test_every_picture_that_repeats_lasts_until_the_next(kind: Kind, tmp_path: Path) -> None:
    draw, write = kind
    video, frames = read(write(tmp_path, [each for chunk in draw(tmp_path) for each in (chunk, EMPTY)]))
    assert seconds(frames) == [pytest.approx(index / 12, abs=0.001) for index in range(20)]
    assert not any(frame.is_pts_filled for frame in frames)
    assert float(duration(video, frames)) == pytest.approx(40 / RATE, abs=0.001)
    assert (video.warnings, video.error, video.is_complete) == ([], None, True)


@pytest.mark.parametrize("repeats", [1, 4, 30])
def test_the_last_picture_lasts_to_the_end(kind: Kind, repeats: int, tmp_path: Path) -> None:
    draw, write = kind
    video, frames = read(write(tmp_path, [*draw(tmp_path), *[EMPTY] * repeats]))
    assert seconds(frames) == [pytest.approx(index / RATE, abs=0.001) for index in range(20)]
    assert float(duration(video, frames)) == pytest.approx((20 + repeats) / RATE, abs=0.001)
    assert (video.warnings, video.error, video.is_complete) == ([], None, True)


def test_what_an_encoder_writes_is_read_to_its_end() -> None:
    video, frames = read(THEORA)
    assert (len(frames), duration(video, frames)) == (37, Fraction(40, RATE))
    assert (video.warnings, video.is_complete) == ([], True)


def test_a_file_object_has_the_frames_of_the_file(kind: Kind, tmp_path: Path) -> None:
    draw, write = kind
    path = write(tmp_path, [*draw(tmp_path), EMPTY, EMPTY])
    video, frames = read(BytesIO(path.read_bytes()))
    assert duration(video, frames) == duration(*read(path))
    assert seconds(frames) == seconds(read(path)[1])


@pytest.mark.parametrize("repeats", [0, 1, 20])
def test_bytes_that_arrive_have_the_frames_of_the_file(kind: Kind, repeats: int, tmp_path: Path) -> None:
    class Arriving:
        def __init__(self, data: bytes) -> None:
            self.read = BytesIO(data).read

    draw, write = kind
    chunks = [each for chunk in draw(tmp_path) for each in (chunk, EMPTY)] + [EMPTY] * repeats
    path = write(tmp_path, chunks)
    video, frames = read(Arriving(path.read_bytes()))  # type: ignore[arg-type]
    there, frames_there = read(path)
    assert (seconds(frames), duration(video, frames)) == (seconds(frames_there), duration(there, frames_there))
    assert float(duration(video, frames)) == pytest.approx((40 + repeats) / RATE, abs=0.001)
    assert video.warnings == []


def test_a_stop_and_another_reader_give_the_same_frames(kind: Kind, tmp_path: Path) -> None:
    draw, write = kind
    path = write(tmp_path, [each for chunk in draw(tmp_path) for each in (chunk, EMPTY)])
    with open_video(path) as video:
        kept = [next(video) for _ in range(13)]
        position = DecodePosition(12, kept[-1].pts, kept[-1].is_pts_filled, video.loss_counts)
    with open_video(path) as video:
        video.resume_after(position, 13)
        rest = list(video)
    whole = read(path)
    assert [(frame.index, frame.pts) for frame in kept + rest] == [(frame.index, frame.pts) for frame in whole[1]]
    assert (video.last_seconds, video.warnings) == (whole[0].last_seconds, [])


@pytest.mark.parametrize("write", [as_avi, mpeg4_in_matroska])
def test_a_vop_without_data_is_no_end_and_no_damage(write: Callable[..., Path], tmp_path: Path) -> None:
    video, frames = read(write(tmp_path, [each for chunk in mpeg4(tmp_path) for each in (chunk, (N_VOP, False))]))
    assert seconds(frames)[:20] == [pytest.approx(index / 12, abs=0.001) for index in range(20)]
    assert float(duration(video, frames)) == pytest.approx(40 / RATE, abs=0.001)
    assert (video.warnings, video.is_complete) == ([], True)


@pytest.mark.parametrize(("codec", "pixel_format"), [("gif", "rgb8"), ("apng", "rgb24")])
def test_pictures_with_delays_last_as_long_as_they_say(codec: str, pixel_format: str, tmp_path: Path) -> None:
    times = 0, 10, 150, 400
    path = write_animation(tmp_path / f"a.{codec}", codec, pixel_format, times)
    video, frames = read(path)
    assert seconds(frames) == [pts / 100 for pts in times]
    with av.open(str(path)) as container:
        last_seconds = [
            (packet.duration or 0) * packet.time_base for packet in container.demux(video=0) if packet.size
        ][-1]
    assert duration(video, frames) == 4 + last_seconds
    assert video.info.frame_rate != 1 / last_seconds  # or else the test says nothing


def test_a_frame_that_is_shown_again_is_a_frame(tmp_path: Path) -> None:
    """VP9 shows a picture again by a packet of one byte, which has a frame and a time of its own."""
    path = encoded(tmp_path / "a.webm", "libvpx-vp9", 8, {"lag-in-frames": "0", "error-resilient": "1", "crf": "10"})
    shown = [(data, is_key) for data, is_key in payloads(path)]
    repeat = (bytes([0x88]), False)  # frame marker, profile 0, show_existing_frame, frame_to_show_map_idx 0
    film = write_matroska(tmp_path / "b.mkv", "V_VP9", b"", [each for chunk in shown for each in (chunk, repeat)])
    video, frames = read(film)
    assert seconds(frames) == [pytest.approx(index / RATE, abs=0.001) for index in range(16)]
    for new, again in list(pairwise(frames))[::2]:
        assert np.array_equal(new.picture.planes[0], again.picture.planes[0])
    assert (video.warnings, video.is_complete) == ([], True)


def test_results_last_as_long_as_the_film(tmp_path: Path, tiny_model: Path) -> None:
    film = as_ogg(tmp_path, [*theora(tmp_path), *[EMPTY] * 4])
    with Detector.open(tiny_model) as detector, TrackSession(film, detector=detector) as session:
        writer = open_writer(tmp_path / "a.jsonl", "jsonl", header_of(session))
        for result in session:
            writer.write(result)
        writer.close(end_of(session))
    lines = (tmp_path / "a.jsonl").read_bytes().splitlines()
    end = json.loads(lines[-1])
    assert (end["frames"], end["duration"], end["complete"], "warnings" in end) == (20, 1.0, True, False)
    results = read_results(tmp_path / "a.jsonl")
    assert results.duration_seconds == 1.0
    convert(results, tmp_path / "b.jsonl", "jsonl")
    assert (tmp_path / "b.jsonl").read_bytes().splitlines() == lines
