from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from acfd_stream.errors import ConfigError
from acfd_stream.picture_budget import PictureBudget
from acfd_stream.types import Picture
from acfd_stream.video import ByteStream, open_video, read_ahead
from acfd_stream.video.decode_position import LossCounts
from acfd_stream.video.frame import Frame
from acfd_stream.video.readahead import ReadAhead

FRAME_BYTES = 300


class Counted:
    """A video of small frames that counts how many were asked of it, and may fail at its end."""

    def __init__(self, frames: int, error: BaseException | None = None) -> None:
        self.asked = 0
        self._frames, self._error = frames, error
        self.reached = threading.Event()
        self.wanted = 0
        self.loss_counts = LossCounts()

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._frames):
            self.asked += 1
            if self.asked == self.wanted:
                self.reached.set()
            yield Frame(index, index, Fraction(1, 24), Picture.from_rgb(np.zeros((10, 10, 3), np.uint8)))
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        pass


def decoders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "acfd-decode"]


@pytest.mark.parametrize("queue_bytes", [1, FRAME_BYTES * 3, 2**20])
def test_frames_come_in_order_whatever_the_queue_holds(queue_bytes: int) -> None:
    frames = list(read_ahead(Counted(50), queue_bytes))  # type: ignore[arg-type]
    assert [frame.index for frame in frames] == list(range(50))
    assert decoders() == []


def test_the_decoder_stops_when_the_queue_is_full() -> None:
    video = Counted(50)
    video.wanted = 5  # one with the caller, three that wait, one for which there is no room
    frames = read_ahead(video, FRAME_BYTES * 3)  # type: ignore[arg-type]
    next(frames)
    assert video.reached.wait(timeout=30)
    assert video.asked == 5
    frames.close()  # type: ignore[attr-defined]
    assert video.asked == 5
    assert decoders() == []


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_an_error_of_the_decoder_comes_behind_its_frames(error: BaseException) -> None:
    got: list[int] = []
    with pytest.raises(type(error)):
        got.extend(frame.index for frame in read_ahead(Counted(3, error), 2**20))  # type: ignore[arg-type]
    assert decoders() == []


def test_leaving_early_closes_the_video_and_ends_the_thread(plain_clip: Path) -> None:
    with open_video(plain_clip) as video:
        frames = read_ahead(video, 1)
        next(frames)
        frames.close()  # type: ignore[attr-defined]
        assert decoders() == []
        assert list(video) == []


def test_leaving_early_wakes_a_decoder_that_waits_for_bytes(make_clip: Callable[..., Path]) -> None:
    data = make_clip(pts=range(0, 20_000, 200)).read_bytes()  # longer than what FFmpeg looks at before it begins
    stream = ByteStream(len(data))
    stream.feed(data[: len(data) * 3 // 4])
    with open_video(stream) as video:
        frames = read_ahead(video, 2**20)
        next(frames)
        frames.close()  # type: ignore[attr-defined]
    assert decoders() == []
    assert stream.feed(b"more") is False
    assert not video.is_complete


def test_a_queue_without_room_is_refused() -> None:
    with pytest.raises(ConfigError, match="queue_bytes"):
        next(read_ahead(Counted(1), 0))  # type: ignore[arg-type]


def test_readers_that_share_a_budget_wait_together_and_give_it_back() -> None:
    budget = PictureBudget(FRAME_BYTES * 4)
    videos = [Counted(30), Counted(30), Counted(30)]
    videos[0].wanted = 5
    readers = [ReadAhead(video, 2**20, budget=budget) for video in videos]  # type: ignore[arg-type]
    readers[0].start()
    assert videos[0].reached.wait(timeout=30)  # four wait, and there is no room for the fifth
    for reader in readers[1:]:
        reader.start()
    indices = [[reader.get().frame.index for _ in range(30)] for reader in readers[1:]]  # type: ignore[union-attr]
    assert indices == [list(range(30))] * 2  # one frame each may always wait
    assert videos[0].asked == 5
    assert budget.held_bytes == FRAME_BYTES * 4
    for reader in readers:
        reader.close()
    assert budget.held_bytes == 0
