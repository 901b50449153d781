"""Which videos of a watched folder are whole, and when a run has something to do."""

from __future__ import annotations

import pytest

from acfd_stream.archive.arrivals import Arrivals
from acfd_stream.archive.find import Findings, Video
from acfd_stream.video.origin import FileStamp

EVERY = 10.0


def video(name: str, size: int, written: float) -> Video:
    return Video(name, name, size, FileStamp(size, int(written * 1e9), 1))


def found(*videos: Video) -> Findings:
    return Findings(list(videos))


class Clock:
    """Seconds that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def arrivals(clock: Clock) -> Arrivals:
    return Arrivals(EVERY, clock)


def test_what_lay_there_is_whole_at_once_and_taken_once(arrivals: Arrivals) -> None:
    assert not arrivals.look(found())
    old = video("old.mkv", 5, 900.0)
    assert arrivals.look(found(old))
    assert arrivals.is_whole(old)
    arrivals.note_run()
    assert not arrivals.look(found(old))


def test_a_file_that_grows_is_left_until_it_stops(arrivals: Arrivals, clock: Clock) -> None:
    for size in range(1, 4):
        growing = video("a.mkv", size, clock.now - 1)
        assert not arrivals.look(found(growing))
        assert not arrivals.is_whole(growing)
        clock.now += EVERY
    growing = video("a.mkv", 3, clock.now - 1 - EVERY / 2)
    assert not arrivals.look(found(growing))
    assert arrivals.look(found(growing))  # as it was at the look before
    assert arrivals.is_whole(growing)
    assert not arrivals.is_whole(video("a.mkv", 4, clock.now))  # somebody writes to it again before the run begins


def test_a_video_that_comes_changes_or_goes_is_news_once(arrivals: Arrivals) -> None:
    old, new = video("old.mkv", 5, 900.0), video("new.mkv", 5, 900.0)
    for seen in ([old], [old, new], [video("old.mkv", 6, 950.0), new], [new], []):
        assert arrivals.look(found(*seen))
        arrivals.note_run()
        assert not arrivals.look(found(*seen))


def test_a_video_of_a_store_is_whole(arrivals: Arrivals) -> None:
    remote = Video("s3://bucket/a.mkv", "a.mkv", 5)
    assert arrivals.look(found(remote))
    assert arrivals.is_whole(remote)
