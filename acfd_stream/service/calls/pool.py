"""A thread pool in which only so many calls may wait for a thread."""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

_log = logging.getLogger(__name__)

WAITING = 4
"""Maximum calls per thread that wait for one."""


class CallPool:
    """Runs calls on threads. A thread ends when no call waits, so an idle server holds none.

    ``ThreadPoolExecutor`` keeps each thread that it ever started, and with it the memory of its stack and its heap. To
    start one takes less time than the shortest call.

    Args:
        threads: maximum calls that run.
        name: prefix of the names of the threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._most_threads, self._most = threads, threads + WAITING * threads
        self._names = (f"{name}-{number}" for number in itertools.count(1))
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Callable[[], object], Future[object]]] = deque()
        self._threads = 0
        self._is_closed = False

    def submit(self, run: Callable[[], object]) -> Future[object] | None:
        """Run ``run`` when a thread is free; None: too many wait already, no thread can be started, or it is closed."""
        work: Future[object] = Future()
        with self._lock:
            if self._is_closed or not self._has_room():
                return None
            if self._threads == self._most_threads or not self._start_thread(run, work):
                self._waiting.append((run, work))
            if not self._threads:  # nobody would run it
                self._waiting.clear()
                return None
        return work

    def close(self) -> None:
        """Run nothing more. Does not wait for what runs."""
        with self._lock:
            self._is_closed = True
            for _, work in self._waiting:
                work.cancel()
            self._waiting.clear()

    def _has_room(self) -> bool:
        if self._threads + len(self._waiting) >= self._most:
            self._waiting = deque(one for one in self._waiting if not one[1].cancelled())
        return self._threads + len(self._waiting) < self._most

    def _start_thread(self, run: Callable[[], object], work: Future[object]) -> bool:
        try:
            threading.Thread(target=self._run, args=(run, work), name=next(self._names)).start()
        except RuntimeError as error:
            _log.warning("no thread can be started for a call: %s", error)
            return False
        self._threads += 1
        return True

    def _run(self, run: Callable[[], object], work: Future[object]) -> None:
        _settle(run, work)
        del run, work  # what a call held must not live until the next one ends
        while (one := self._next()) is not None:
            _settle(*one)
            del one

    def _next(self) -> tuple[Callable[[], object], Future[object]] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            return None


def _settle(run: Callable[[], object], work: Future[object]) -> None:
    if not work.set_running_or_notify_cancel():
        return
    try:
        work.set_result(run())
    except BaseException as error:
        work.set_exception(error)
