"""The episodes that a run still has to record: their order, when to try again, and when to give up."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

from acfd_stream.archive.find import Video
from acfd_stream.archive.key import read_content
from acfd_stream.config import ArchiveConfig
from acfd_stream.errors import AcfdError, MediaError
from acfd_stream.types import Closeable
from acfd_stream.video.origin import FileStamp, local_path, stamp_of

_BUSY_SECONDS = 1.0


@dataclass
class QueuedEpisode:
    """One video of a run."""

    video: Video
    content: str = ""  # digest; empty: not read yet
    stamp: FileStamp | None = None  # when it was digested
    may_remember: bool = False  # whether the manifest may keep the digest with the stamp
    fault: AcfdError | None = None  # why it could not be digested
    attempts: int = 0  # transient failures
    losses: int = 0  # workers that were lost without progress
    best_frames: int = 0
    frames: int = 0  # so far, by the last event

    @property
    def name(self) -> str:
        """Of the episode."""
        return self.video.name

    def forget_if_changed(self) -> bool:
        """Whether a local video changed after its content was digested; then it is digested again."""
        path = local_path(self.video.source)
        if path is None or self.stamp is None:
            return False
        try:
            is_same = stamp_of(path) == self.stamp
        except MediaError:
            is_same = False
        if not is_same:
            self.content, self.stamp, self.may_remember = "", None, False
        return not is_same


class EpisodeQueue(Closeable):
    """The episodes of a run in order; a context manager. Its thread reads the content of a few ahead."""

    def __init__(
        self, episodes: list[QueuedEpisode], config: ArchiveConfig, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._waiting = deque(episodes)
        self._config, self._clock = config, clock
        self._later: list[tuple[float, int, QueuedEpisode]] = []
        self._numbers = count()
        self._reading: deque[tuple[QueuedEpisode, Future[None]]] = deque()
        self._is_closed = threading.Event()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="acfd-digest")

    def close(self) -> None:
        """Read no more content."""
        self._is_closed.set()
        self._reader.shutdown(wait=False, cancel_futures=True)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._later) + len(self._reading)

    def next(self, ahead: int) -> QueuedEpisode | None:
        """The next episode whose content is known, or whose ``fault`` is; None: none is ready yet.

        Args:
            ahead: how many may be read besides.
        """
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            self._waiting.appendleft(heapq.heappop(self._later)[2])
        while self._waiting and len(self._reading) <= ahead:
            queued = self._waiting.popleft()
            self._reading.append((queued, self._reader.submit(_read, queued, self._is_closed.is_set)))
        if self._reading and self._reading[0][1].done():
            queued, reading = self._reading.popleft()
            reading.result()
            return queued
        return None

    def wait(self, timeout_seconds: float) -> None:
        """Return when ``next`` may have an episode, or after ``timeout_seconds``."""
        if not self._reading:
            soonest = self._later[0][0] - self._clock() if self._later else timeout_seconds
            time.sleep(max(0.0, min(timeout_seconds, soonest)))
            return
        try:
            self._reading[0][1].result(timeout_seconds)
        except TimeoutError:
            return

    def busy(self, queued: QueuedEpisode) -> None:
        """Try again when the other run may have finished it."""
        self._put_off(queued, _BUSY_SECONDS)

    def again(self, queued: QueuedEpisode) -> bool:
        """Try again after a transient failure; False: it was tried often enough."""
        queued.attempts += 1
        if queued.attempts >= self._config.attempts:
            return False
        wait = self._config.backoff_seconds * 2 ** (queued.attempts - 1)
        self._put_off(queued, min(wait, self._config.longest_backoff_seconds))
        return True

    def lost(self, queued: QueuedEpisode) -> bool:
        """Try again after its worker was lost; False: it crashes workers and makes no progress."""
        queued.losses = 1 if queued.frames > queued.best_frames else queued.losses + 1
        queued.best_frames = max(queued.frames, queued.best_frames)
        if queued.losses >= self._config.losses:
            return False
        self._put_off(queued, 0.0 if queued.losses == 1 else self._config.backoff_seconds)
        return True

    def _put_off(self, queued: QueuedEpisode, seconds: float) -> None:
        heapq.heappush(self._later, (self._clock() + seconds, next(self._numbers), queued))


def _read(queued: QueuedEpisode, is_closed: Callable[[], bool]) -> None:
    """Digest the content of an episode, unless that was done."""
    queued.fault = None
    if queued.content:
        return
    try:
        queued.content, queued.stamp, queued.may_remember = read_content(queued.video, is_closed)
    except AcfdError as error:
        queued.fault = error


def is_for_good(fault: AcfdError) -> bool:
    """Whether reading failed because of the video itself."""
    return isinstance(fault, MediaError)
