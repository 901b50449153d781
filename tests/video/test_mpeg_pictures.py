"""A packet of MPEG-1 or MPEG-2 that holds noise is a gap, and the pictures around it keep their order."""

from __future__ import annotations

from pathlib import Path

import pytest

from acfd_stream.types import GapCause
from acfd_stream.video import open_video
from tests.video.damage_clips import RATE, Coding, outcome, spoiled, write

CODINGS = [
    Coding("p.mkv", "mpeg2video"),
    Coding("p.mxf", "mpeg2video"),
    Coding("b.mkv", "mpeg2video", b_frames=2),
    Coding("b.mp4", "mpeg2video", b_frames=2),
    Coding("b.avi", "mpeg2video", b_frames=2),
    Coding("fields.mkv", "mpeg2video", {"flags": "+ildct+ilme"}, b_frames=2),
    Coding("mpeg1.mkv", "mpeg1video", b_frames=2),
]


@pytest.mark.parametrize("bad", [13, 19, 20], ids=["behind a keyframe", "reference", "another"])
@pytest.mark.parametrize("coding", CODINGS, ids=lambda coding: f"{coding.codec} {coding.name}")
def test_noise_costs_one_picture_and_is_told(coding: Coding, bad: int, tmp_path: Path) -> None:
    path = spoiled(write(tmp_path, coding), [bad])
    with open_video(path) as video:
        numbers = [round(frame.pts_seconds * RATE) for frame in video]
    assert (video.error, video.is_complete, len(numbers)) == (None, False, 47)
    (gap,) = video.gaps
    assert gap.cause is GapCause.DAMAGED_PACKET
    assert gap.missing_seconds == pytest.approx(1 / RATE, abs=1e-3)
    assert not any("times go back" in warning for warning in video.warnings)
    (missing,) = {*range(48)} - {*numbers}
    if coding.name != "b.avi":  # whose times are inferred
        assert round(gap.time * RATE) == missing
    assert outcome(path, 1)[0] == outcome(path, 4)[0]


@pytest.mark.parametrize("coding", CODINGS, ids=lambda coding: f"{coding.codec} {coding.name}")
def test_noise_in_the_last_packet_is_told(coding: Coding, tmp_path: Path) -> None:
    with open_video(spoiled(write(tmp_path, coding), [47])) as video:
        assert len(list(video)) == 47
    assert not video.is_complete


@pytest.mark.parametrize("coding", CODINGS, ids=lambda coding: f"{coding.codec} {coding.name}")
def test_a_whole_video_has_no_gap(coding: Coding, tmp_path: Path) -> None:
    with open_video(write(tmp_path, coding)) as video:
        frames = list(video)
    assert (len(frames), video.gaps, video.warnings, video.is_complete) == (48, [], [], True)
    assert not any(frame.is_damaged for frame in frames)
