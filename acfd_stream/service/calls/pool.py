"""A thread pool in which only so many calls may wait for a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

WAITING = 4
"""Maximum calls per thread that wait for one."""


class CallPool:
    """Runs calls on threads.

    Args:
        threads: maximum calls that run.
        name: prefix of the names of the threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = threads + WAITING * threads
        self._lock = threading.Lock()
        self._count = 0

    def submit(self, run: Callable[[], object]) -> Future[object] | None:
        """Run ``run`` when a thread is free; None: too many wait already, or the pool is closed."""
        with self._lock:
            if self._count >= self._most:
                return None
            self._count += 1
        try:
            work = self._pool.submit(run)
        except RuntimeError:  # closed
            self._forget(None)
            return None
        work.add_done_callback(self._forget)
        return work

    def close(self) -> None:
        """Run nothing more. Does not wait for what runs."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _forget(self, work: Future[object] | None) -> None:
        with self._lock:
            self._count -= 1
