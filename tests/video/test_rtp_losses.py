"""Packets that RTP loses are told, by the numbers that they have."""

from __future__ import annotations

import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.types import Gap, GapCause
from acfd_stream.video import open_video
from tests.video.rtsp_server import FORMATS, RATE, rtp_frames, serving

FRAMES = 60
CONFIG = VideoConfig(threads=1, url_timeout_seconds=10)


def gaps_of(frames: list[list[bytes]], encoder: str) -> tuple[list[Gap], int]:
    """The gaps that are told, and the number of frames."""
    with serving(frames, encoder) as url, open_video(url, CONFIG) as video:
        count = sum(1 for _ in video)
        assert video.error is None
        assert video.is_complete == (not video.gaps)
    return video.gaps, count


@pytest.mark.parametrize("encoder", FORMATS)
def test_lost_packets_of_rtp_are_told(encoder: str) -> None:
    frames = rtp_frames(encoder, FRAMES)
    found, count = gaps_of(frames, encoder)
    assert (found, count >= FRAMES - 1) == ([], True)
    first, missing = 45, 4
    found, _ = gaps_of(frames[:first] + frames[first + missing :], encoder)
    assert [gap.cause for gap in found] == [GapCause.LOST_PACKETS]
    assert found[0].time == pytest.approx(first / RATE, abs=1.1 / RATE)
    assert found[0].missing_seconds == pytest.approx(missing / RATE, abs=1.1 / RATE)


def test_one_lost_packet_of_a_frame_is_told() -> None:
    frames = rtp_frames("libx264", FRAMES)
    assert len(frames[40]) > 2
    found, _ = gaps_of([*frames[:40], frames[40][:1] + frames[40][2:], *frames[41:]], "libx264")
    assert [gap.cause for gap in found] == [GapCause.LOST_PACKETS]
    assert found[0].time == pytest.approx(40 / RATE, abs=2.1 / RATE)
    assert found[0].missing_seconds <= 1.1 / RATE


def test_a_loss_in_what_is_read_to_know_the_stream_is_told() -> None:
    frames = rtp_frames("libx264", FRAMES)
    found, _ = gaps_of(frames[:3] + frames[6:], "libx264")
    assert [gap.cause for gap in found] == [GapCause.LOST_PACKETS]
    assert found[0].missing_seconds == pytest.approx(3 / RATE, abs=1.1 / RATE)


def test_packets_in_another_order_are_no_loss() -> None:
    frames = rtp_frames("libx264", FRAMES)
    for number in range(12, FRAMES - 2, 7):
        frames[number].reverse()
        frames[number][-1], frames[number + 1][0] = frames[number + 1][0], frames[number][-1]
        frames[number : number + 2] = [[], [*frames[number], *frames[number + 1]]]  # without a pause between them
    assert gaps_of(frames, "libx264")[0] == []
