"""What becomes of frames for which the queue has no room."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from acfd_stream.config import DropPolicy
from acfd_stream.types import DropReason, Picture
from acfd_stream.video.decode_position import LossCounts
from acfd_stream.video.frame import Frame
from acfd_stream.video.readahead import Decoded, ReadAhead

FULL, STALE = DropReason.QUEUE_FULL, DropReason.STALE


class Source:
    """Ten frames of 300 bytes, as fast as they are taken; ``exhausted`` when the last one is in the queue."""

    def __init__(self, arrived_at: float | None = None) -> None:
        self.exhausted = threading.Event()
        self.loss_counts = LossCounts()
        self._arrived_at = arrived_at

    def __iter__(self) -> Iterator[Frame]:
        for index in range(10):
            picture = Picture.from_rgb(np.zeros((10, 10, 3), np.uint8))
            yield Frame(index, index, Fraction(1, 24), picture, arrived_at=self._arrived_at)
        self.exhausted.set()

    def close(self) -> None:
        pass


def read(source: Source, **settings: object) -> list[Decoded]:
    """All that comes out of a queue that nobody took from before the source was exhausted."""
    ahead = ReadAhead(source, **{"queue_bytes": 2**20, **settings})  # type: ignore[arg-type]
    ahead.start()
    assert source.exhausted.wait(timeout=30)
    decoded = list(iter(ahead.get, None))
    ahead.close()
    assert ahead.waiting_bytes == 0
    assert [entry.frame.index for entry in decoded] == list(range(10))
    for entry in decoded:
        assert bool(entry.frame.picture.planes) == (entry.drop_reason is None)
        assert entry.frame.picture.display_size == (10, 10)
    return decoded


@pytest.mark.parametrize("bound", [{"queue_frames": 3}, {"queue_bytes": 900}])
def test_the_oldest_make_room(bound: dict[str, int]) -> None:
    decoded = read(Source(), policy=DropPolicy.DROP_OLDEST, **bound)
    assert [entry.drop_reason for entry in decoded] == [FULL] * 7 + [None] * 3


def test_the_latest_find_no_room() -> None:
    decoded = read(Source(), policy=DropPolicy.DROP_LATEST, queue_frames=3)
    assert [entry.drop_reason for entry in decoded] == [None] * 3 + [FULL] * 7


def test_a_frame_larger_than_the_queue_may_wait_alone() -> None:
    decoded = read(Source(), policy=DropPolicy.DROP_OLDEST, queue_bytes=10)
    assert [entry.drop_reason for entry in decoded] == [FULL] * 9 + [None]


def test_what_is_old_is_dropped_for_what_is_newer() -> None:
    old = Source(arrived_at=time.perf_counter() - 100)
    decoded = read(old, policy=DropPolicy.DROP_OLDEST, queue_frames=4, stale_seconds=50.0)
    assert [entry.drop_reason for entry in decoded] == [FULL] * 6 + [STALE] * 3 + [None]


def test_what_is_fresh_is_not_stale() -> None:
    decoded = read(Source(time.perf_counter()), policy=DropPolicy.DROP_OLDEST, queue_frames=10, stale_seconds=500.0)
    assert [entry.drop_reason for entry in decoded] == [None] * 10


def test_the_reason_is_the_takers_word() -> None:
    source = Source()
    ahead = ReadAhead(source, 2**20, DropPolicy.DROP_LATEST, 3)  # type: ignore[arg-type]
    ahead.drop_reason = DropReason.CLIENT_SLOW
    ahead.start()
    assert source.exhausted.wait(timeout=30)
    decoded = list(iter(ahead.get, None))
    assert [entry.drop_reason for entry in decoded[3:]] == [DropReason.CLIENT_SLOW] * 7


@pytest.mark.parametrize("policy", DropPolicy)
def test_a_stop_ends_both_sides(policy: DropPolicy) -> None:
    ahead = ReadAhead(Source(), 300, policy, 1)  # type: ignore[arg-type]
    ahead.start()
    assert ahead.get() is not None
    ahead.close()
    ahead.close()
    assert ahead.get() is None
    assert "acfd-decode" not in [thread.name for thread in threading.enumerate()]
