"""A session may be closed from another thread at any moment: nobody hangs, nothing is left."""

from __future__ import annotations

import os
import random
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest

from acfd_stream.config import DropPolicy, Pace, PaceConfig, VideoConfig
from acfd_stream.errors import MediaError
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.video import ByteStream, FrameFeed
from tests.pipeline.conftest import FRAMES, draw
from tests.pipeline.square_finder import SquareFinder
from tests.pipeline.test_session import own_threads

ROUNDS = int(os.environ.get("ACFD_CANCEL_ROUNDS", "10"))  # of each kind
PATIENCE = 60.0  # seconds until a wait counts as a hang
PACES = [None, PaceConfig(Pace.LIVE, DropPolicy.WAIT, queue_frames=2), PaceConfig(Pace.LIVE, queue_frames=2)]


class Sender(threading.Thread):
    """Feeds a stream or a feed, in small pieces, until nobody takes them."""

    def __init__(self, source: ByteStream | FrameFeed, data: bytes) -> None:
        super().__init__(name="sender", daemon=True)
        self._source, self._data = source, data

    def run(self) -> None:
        if isinstance(self._source, ByteStream):
            pieces = (self._data[i : i + 500] for i in range(0, len(self._data), 500))
            goes_on = all(self._source.feed(piece) for piece in pieces)
        else:
            goes_on = all(self._source.push(draw(index), index) for index in range(FRAMES))
        if goes_on:
            self._source.close()


def source_of(kind: str, clip: Path) -> tuple[Path | ByteStream | FrameFeed, Sender | None]:
    if kind == "path":
        return clip, None
    source = ByteStream(2000) if kind == "bytes" else FrameFeed(Fraction(1, 24), 100_000)
    sender = Sender(source, clip.read_bytes())
    sender.start()
    return source, sender


def nap(rng: random.Random) -> None:
    """Some time up to that of a whole run."""
    time.sleep(rng.choice([0, 0, rng.random() * 0.002, rng.random() * 0.05]))


def joined(thread: threading.Thread) -> bool:
    thread.join(PATIENCE)
    return not thread.is_alive()


@pytest.mark.parametrize("pace", PACES, ids=["file", "wait", "drop"])
@pytest.mark.parametrize("kind", ["path", "bytes", "pictures"])
def test_a_close_at_any_moment_ends_everything(clip_in_order: Path, kind: str, pace: PaceConfig | None) -> None:
    for seed in range(ROUNDS):
        rng = random.Random(f"{kind} {pace} {seed}")
        source, sender = source_of(kind, clip_in_order)
        engine = SquareFinder(rng.choice([1, 4]), before=lambda rng=rng: nap(rng))  # type: ignore[misc]
        session = TrackSession(source, detector=engine, pace=pace, video_config=VideoConfig(queue_bytes=2**20))
        found: list[int] = []
        reader = threading.Thread(target=lambda s=session, f=found: f.extend(r.index for r in s))  # type: ignore[misc]
        reader.start()
        nap(rng)
        closers = [threading.Thread(target=session.close) for _ in range(rng.choice([1, 2]))]
        for closer in closers:
            closer.start()
        assert all(joined(thread) for thread in [*closers, reader, *([sender] if sender else [])])
        assert own_threads() == []
        assert found == list(range(len(found)))
        assert len(found) == FRAMES or not session.is_complete
        assert session.checkpoint().next_result == len(found)


@pytest.mark.parametrize("kind", ["bytes", "pictures"])
def test_an_abort_while_a_session_opens_ends_it(kind: str) -> None:
    source = ByteStream() if kind == "bytes" else FrameFeed(Fraction(1, 24))
    errors: list[BaseException] = []

    def opened() -> None:
        try:
            TrackSession(source, detector=SquareFinder())
        except MediaError as error:
            errors.append(error)

    opener = threading.Thread(target=opened)
    opener.start()
    nap(random.Random(1))
    source.abort("the call was cancelled")
    assert joined(opener)
    assert "the call was cancelled" in str(errors)
    assert own_threads() == []


def test_a_close_before_the_iteration_ends_it(clip_in_order: Path) -> None:
    session = TrackSession(clip_in_order, detector=SquareFinder())
    session.close()
    assert list(session) == []
    assert not session.is_complete
    assert own_threads() == []


def test_a_close_between_two_results_gives_no_further_one(clip_in_order: Path) -> None:
    session = TrackSession(clip_in_order, detector=SquareFinder())
    results = iter(session)
    assert next(results).index == 0
    closer = threading.Thread(target=session.close)
    closer.start()
    assert joined(closer)
    assert own_threads() == []
    assert list(results) == []


def test_a_stop_wakes_a_session_that_waits_for_bytes() -> None:
    feed = FrameFeed(Fraction(1, 24))
    for index in range(30):
        feed.push(draw(index), index)
    session = TrackSession(feed, detector=SquareFinder(), pace=PACES[1])
    found: list[int] = []
    reader = threading.Thread(target=lambda: found.extend(result.index for result in session))
    reader.start()
    while len(found) < 30 and reader.is_alive():
        time.sleep(0.001)
    session.stop()
    assert joined(reader)
    assert session.checkpoint().next_index == session.checkpoint().next_result == 30
    assert own_threads() == []
