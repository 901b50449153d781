"""A packet of MPEG-1 or MPEG-2 that holds noise is a gap, and costs no other picture; another size costs none."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.types import GapCause
from acfd_stream.video import open_video
from tests.video.damage_clips import RATE, SIZE, Coding, drawn, outcome, spoiled, write

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


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
def test_a_part_of_another_size_costs_no_picture(codec: str, b_frames: int, threads: int, tmp_path: Path) -> None:
    suffix = "m1v" if codec == "mpeg1video" else "m2v"
    first = write(tmp_path, Coding(f"first.{suffix}", codec, count=15, b_frames=b_frames))
    small = tmp_path / f"small.{suffix}"
    with av.open(str(small), "w") as container:
        stream: Any = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.max_b_frames = b_frames
        for index in range(9):
            frame = drawn(index, "yuv420p").reformat(64, 48)
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path = tmp_path / f"joined.{suffix}"
    path.write_bytes(first.read_bytes() + small.read_bytes() + first.read_bytes())
    with open_video(path, VideoConfig(threads=threads)) as video:
        frames = list(video)
    sizes = [frame.picture.display_size for frame in frames]
    assert sizes == [SIZE] * 15 + [(48, 64)] * 9 + [SIZE] * 15
    assert [round(frame.pts_seconds * RATE) for frame in frames] == list(range(39))
    assert (video.gaps, video.is_complete) == ([], True)
    assert not any(frame.is_damaged for frame in frames)
