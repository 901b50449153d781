"""What is still to be worked on in a run: in which order, when again, and when to give up."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from types import TracebackType

from acfd_stream.archive.find import Video
from acfd_stream.archive.key import read_content
from acfd_stream.config import ArchiveConfig
from acfd_stream.errors import AcfdError, MediaError
from acfd_stream.video.origin import FileStamp, local_path, stamp_of

_BUSY_SECONDS = 1.0


@dataclass
class Item:
    """One video of a run."""

    video: Video
    content: str = ""  # digest; empty: not read yet
    stamp: FileStamp | None = None  # when it was digested
    may_remember: bool = False  # the digest stands for the stamp for good
    fault: AcfdError | None = None  # why it could not be digested
    attempts: int = 0  # that failed for a passing cause
    losses: int = 0  # workers that were lost without getting any further
    best_frames: int = 0
    frames: int = 0  # so far, as last heard

    @property
    def name(self) -> str:
        """Of the episode."""
        return self.video.name

    def forget_if_changed(self) -> bool:
        """Whether a local video is not what it was when its content was digested; then it is digested again."""
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


class Agenda:
    """The items of a run in turn; a context manager. Reads the content of a few ahead, on a thread of its own."""

    def __init__(self, items: list[Item], config: ArchiveConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._waiting = deque(items)
        self._config, self._clock = config, clock
        self._later: list[tuple[float, int, Item]] = []
        self._numbers = count()
        self._reading: deque[tuple[Item, Future[None]]] = deque()
        self._is_closed = threading.Event()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="acfd-digest")

    def __enter__(self) -> Agenda:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_closed.set()
        self._reader.shutdown(wait=False, cancel_futures=True)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._later) + len(self._reading)

    def next(self, ahead: int) -> Item | None:
        """The next item whose content is known, or whose ``fault`` is; None: none is ready yet.

        Args:
            ahead: how many may be read besides.
        """
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            self._waiting.appendleft(heapq.heappop(self._later)[2])
        while self._waiting and len(self._reading) <= ahead:
            item = self._waiting.popleft()
            self._reading.append((item, self._reader.submit(_read, item, self._is_closed.is_set)))
        if self._reading and self._reading[0][1].done():
            item, reading = self._reading.popleft()
            reading.result()
            return item
        return None

    def wait(self, timeout_seconds: float) -> None:
        """Return when ``next`` may have an item, or after ``timeout_seconds``."""
        if not self._reading:
            soonest = self._later[0][0] - self._clock() if self._later else timeout_seconds
            time.sleep(max(0.0, min(timeout_seconds, soonest)))
            return
        try:
            self._reading[0][1].result(timeout_seconds)
        except TimeoutError:
            return

    def busy(self, item: Item) -> None:
        """Have the item again when the other run may be done with it."""
        self._put_off(item, _BUSY_SECONDS)

    def again(self, item: Item) -> bool:
        """Have the item again after a try that failed for a passing cause; False: it was tried often enough."""
        item.attempts += 1
        if item.attempts >= self._config.attempts:
            return False
        wait = self._config.backoff_seconds * 2 ** (item.attempts - 1)
        self._put_off(item, min(wait, self._config.longest_backoff_seconds))
        return True

    def lost(self, item: Item) -> bool:
        """Have the item again after its worker was lost; False: it brings workers down, and gets no further."""
        item.losses = 1 if item.frames > item.best_frames else item.losses + 1
        item.best_frames = max(item.frames, item.best_frames)
        if item.losses >= self._config.losses:
            return False
        self._put_off(item, 0.0 if item.losses == 1 else self._config.backoff_seconds)
        return True

    def _put_off(self, item: Item, seconds: float) -> None:
        heapq.heappush(self._later, (self._clock() + seconds, next(self._numbers), item))


def _read(item: Item, is_closed: Callable[[], bool]) -> None:
    """Digest the content of an item, unless that was done."""
    item.fault = None
    if item.content:
        return
    try:
        item.content, item.stamp, item.may_remember = read_content(item.video, is_closed)
    except AcfdError as error:
        item.fault = error


def is_for_good(fault: AcfdError) -> bool:
    """Whether a fault of reading is the video's own."""
    return isinstance(fault, MediaError)
