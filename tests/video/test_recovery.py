"""How the decoder comes back from damage: from the packets it kept, or from the beginning of the source."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.types import Gap, GapCause
from acfd_stream.video import ByteStream, VideoSource, open_video, recovery
from acfd_stream.video.decode_position import DecodePosition
from acfd_stream.video.frame import Frame
from tests.video.damage_clips import H264_B, HEVC, MPEG2, RATE, VP8, VP9_WEBM, X264, Coding, outcome, spoiled, write

OPEN = Coding("open.mkv", "libx264", {**X264, "x264-params": "open-gop=1"}, b_frames=3)
INTRA_REFRESH = Coding("refresh.mkv", "libx264", {**X264, "x264-params": "intra-refresh=1"}, distance=16)
FIELDS = Coding("fields.mkv", "libx264", {**X264, "flags": "+ildct+ilme", "x264-params": "tff=1"}, b_frames=2)
ONES = b"\xff".__mul__


def read(source: Path | io.BytesIO | ByteStream) -> tuple[VideoSource, list[Frame]]:
    with open_video(source, VideoConfig(threads=2)) as video:
        return video, list(video)


def numbers_of(frames: list[Frame]) -> list[int]:
    return [round(frame.pts_seconds * RATE) for frame in frames]


@pytest.mark.parametrize("coding", [H264_B, OPEN, MPEG2, VP9_WEBM], ids=lambda coding: coding.name)
def test_packets_that_are_not_kept_are_read_again(
    coding: Coding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = spoiled(write(tmp_path, coding), [20])
    whole, expected = read(path)
    monkeypatch.setattr(recovery, "KEPT_BYTES", 1)
    video, frames = read(path)
    assert numbers_of(frames) == numbers_of(expected)
    assert video.gaps == whole.gaps
    assert {frame.pts for frame in frames if frame.is_damaged} >= {frame.pts for frame in expected if frame.is_damaged}


def test_a_source_that_cannot_be_read_again_goes_on_behind_the_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "KEPT_BYTES", 1)
    data = spoiled(write(tmp_path, VP9_WEBM), [20]).read_bytes()
    stream = ByteStream(len(data))
    stream.feed(data)
    stream.close()
    video, frames = read(stream)
    assert set(numbers_of(frames)) >= {*range(18), *range(24, 48)}
    assert video.gaps
    assert not video.is_complete


@pytest.mark.parametrize("coding", [OPEN, INTRA_REFRESH, FIELDS], ids=lambda coding: coding.name)
@pytest.mark.parametrize("number", [14, 29])
def test_keyframes_that_need_earlier_frames_lose_none(coding: Coding, number: int, tmp_path: Path) -> None:
    path = spoiled(write(tmp_path, coding), [number], ONES)
    digest, video = outcome(path, 1)
    assert outcome(path, 4)[0] == digest
    _, frames = read(path)
    assert len(frames) + len(video.gaps) == coding.count
    assert len(frames) >= coding.count - 4


@pytest.mark.parametrize("coding", [H264_B, HEVC, VP8], ids=lambda coding: coding.name)
def test_a_stream_of_bytes_gives_what_the_file_gives(coding: Coding, tmp_path: Path) -> None:
    path = spoiled(write(tmp_path, coding), [18], ONES)
    video, frames = read(path)
    sent, sent_frames = read(io.BytesIO(path.read_bytes()))
    assert [(frame.pts, frame.is_damaged) for frame in sent_frames] == [
        (frame.pts, frame.is_damaged) for frame in frames
    ]
    assert (sent.gaps, sent.warnings) == (video.gaps, video.warnings)


@pytest.mark.parametrize("coding", [H264_B, HEVC, VP9_WEBM], ids=lambda coding: coding.name)
@pytest.mark.parametrize("stop", [10, 17, 21, 30])
def test_a_resume_over_damage_gives_the_frames_of_one_reading(coding: Coding, stop: int, tmp_path: Path) -> None:
    path = spoiled(write(tmp_path, coding), [18], ONES)
    whole, expected = read(path)
    with open_video(path) as video:
        for frame in video:
            if frame.index == stop:
                break
        position = DecodePosition(frame.index, frame.pts, frame.is_pts_filled, video.loss_counts)
    with open_video(path) as video:
        video.resume_after(position, stop + 1)
        rest = list(video)
    assert [(frame.index, frame.pts, frame.is_damaged) for frame in rest] == [
        (frame.index, frame.pts, frame.is_damaged) for frame in expected[stop + 1 :]
    ]
    assert (video.gaps, video.is_complete) == (whole.gaps, False)


def test_frames_before_the_first_keyframe_are_left_out(tmp_path: Path) -> None:
    path = spoiled(write(tmp_path, VP9_WEBM), [0])
    video, frames = read(path)
    assert numbers_of(frames)[0] == 12
    assert video.gaps == [Gap(0.0, 0.5, GapCause.DAMAGED_PACKET)]
    assert "packets at the beginning that could not be decoded and were left out: 12" in video.warnings
