"""What is left out before the first frame: of a recording that begins in mid-stream, or is damaged there."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.types import GapCause
from acfd_stream.video import VideoSource, open_video
from tests.video.damage_clips import H264_B, HEVC, MPEG2, RATE, VP8, VP9_WEBM, X264, Coding, spoiled, write

ONES = b"\xff".__mul__
OPEN_H264 = Coding("open.mkv", "libx264", {**X264, "x264-params": "open-gop=1"}, b_frames=3)
OPEN_HEVC = Coding(
    "hevc.mkv", "libx265", {"x265-params": "pools=1:frame-threads=1:log-level=none:keyint=12:min-keyint=12:bframes=2"}
)


def read(path: Path, **config: float) -> tuple[VideoSource, list[int]]:
    with open_video(path, VideoConfig(**config)) as video:  # type: ignore[arg-type]
        return video, [round(frame.pts_seconds * RATE) for frame in video]


def without_first(path: Path, count: int, target: Path) -> Path:
    with av.open(str(path)) as source, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if packet.size and number >= count:
                packet.stream = stream
                output.mux(packet)
    return target


def left_out(number: int) -> str:
    return f"packets at the beginning that could not be decoded and were left out: {number}"


@pytest.mark.parametrize("suffix", ["ts", "mkv"])
@pytest.mark.parametrize("coding", [H264_B, HEVC, OPEN_HEVC, MPEG2], ids=lambda coding: coding.codec)
def test_packets_before_the_first_keyframe_are_counted(coding: Coding, suffix: str, tmp_path: Path) -> None:
    path = without_first(write(tmp_path, coding), 5, tmp_path / f"late.{suffix}")
    video, numbers = read(path)
    assert left_out(43 - len(numbers)) in video.warnings
    assert 30 <= len(numbers) < 43
    assert (video.gaps, video.is_complete) == ([], True)


@pytest.mark.parametrize("coding", [H264_B, OPEN_HEVC, MPEG2], ids=lambda coding: coding.codec)
def test_a_file_whose_first_packet_is_damaged_is_not_complete(coding: Coding, tmp_path: Path) -> None:
    video, numbers = read(spoiled(write(tmp_path, coding), [0], ONES))
    assert left_out(48 - len(numbers)) in video.warnings
    (gap,) = video.gaps
    assert (gap.time, gap.cause, video.is_complete) == (0.0, GapCause.DAMAGED_PACKET, False)
    assert gap.missing_seconds == pytest.approx(numbers[0] / RATE, abs=1e-3)


@pytest.mark.parametrize("noise", [bytes, ONES, random.Random(1).randbytes, b"\x9f\x31".__mul__])
@pytest.mark.parametrize("coding", [VP8, VP9_WEBM], ids=lambda coding: coding.codec)
def test_so_is_one_whose_first_packet_seems_to_be_no_keyframe(
    coding: Coding, noise: Callable[[int], bytes], tmp_path: Path
) -> None:
    video, numbers = read(spoiled(write(tmp_path, coding), [0], lambda size: noise(size)[:size]))
    assert numbers == list(range(12, 48))
    (gap,) = video.gaps
    assert (gap.time, gap.cause, video.is_complete) == (0.0, GapCause.DAMAGED_PACKET, False)
    assert gap.missing_seconds == pytest.approx(12 / RATE, abs=2e-3)


@pytest.mark.parametrize("coding", [VP8, VP9_WEBM], ids=lambda coding: coding.codec)
def test_a_later_time_shows_that_a_recording_begins_in_mid_stream(coding: Coding, tmp_path: Path) -> None:
    video, numbers = read(without_first(write(tmp_path, coding), 5, tmp_path / "late.webm"))
    assert numbers == list(range(12, 48))
    assert (video.gaps, video.is_complete) == ([], True)


@pytest.mark.parametrize("coding", [OPEN_H264, OPEN_HEVC, MPEG2], ids=lambda coding: coding.codec)
def test_a_start_in_the_middle_leaves_nothing_out(coding: Coding, tmp_path: Path) -> None:
    video, numbers = read(write(tmp_path, coding), start_seconds=1.1)
    assert numbers == list(range(27, 48))
    assert (video.gaps, video.warnings) == ([], [])


def test_vp9_goes_on_where_its_decoder_takes_no_packet_any_more(tmp_path: Path) -> None:
    path, target = write(tmp_path, VP9_WEBM), tmp_path / "stuck.webm"
    with av.open(str(path)) as source, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if not packet.size:
                continue
            if number == 0:  # the container takes it for a hidden picture, and packs it together with the next one
                empty = av.Packet(bytes(packet.size))
                empty.pts, empty.dts, empty.time_base = packet.pts, packet.dts, packet.time_base
                packet = empty
            packet.stream = stream
            output.mux(packet)
    video, numbers = read(target)
    assert numbers == list(range(12, 48))
    assert [gap.cause for gap in video.gaps] == [GapCause.DAMAGED_PACKET]
