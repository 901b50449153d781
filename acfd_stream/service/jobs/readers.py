"""Streams of results that are open; those whose client hardly reads end while others wait for a place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

from acfd_stream.service.progress import ProgressLog, is_slow
from acfd_stream.service.settings import Limits
from acfd_stream.service.status import StatusError


class Reader:
    """One stream; ``sending`` is for its thread, ``end_if_slow`` for any."""

    def __init__(self, cancel: Callable[[], object], limits: Limits, clock: Callable[[], float]) -> None:
        self._cancel, self._limits = cancel, limits
        self._lock = threading.Lock()
        self._log = ProgressLog(limits.idle_seconds, clock)
        self._sent, self._is_sending, self._is_ended = 0, False, False

    @contextmanager
    def sending(self, results: int) -> Iterator[None]:
        """Around handing over a message with so many results.

        Raises:
            StatusError: DEADLINE_EXCEEDED, the stream was ended.
        """
        self._note()
        self._is_sending = True
        yield
        self._note(results)
        self._is_sending = False
        if self._is_ended:
            message = "its client read too slowly while others waited; the stream was ended"
            raise StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "IDLE", message)

    def end_if_slow(self) -> None:
        """End the stream if its client hardly read over the last ``idle_seconds``."""
        self._note()
        with self._lock:
            self._is_ended = self._is_ended or is_slow(self._log, self._limits.idle_seconds, self._limits)
        if self._is_ended:
            self._cancel()

    def _note(self, results: int = 0) -> None:
        with self._lock:
            self._sent += results
            self._log.note(0, 0, self._sent, is_starved=False, is_blocked=self._is_sending)


class Readers:
    """All open streams of results; thread-safe."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._lock = threading.Lock()
        self._open: set[Reader] = set()

    @contextmanager
    def opened(self, cancel: Callable[[], object]) -> Iterator[Reader]:
        """A stream, which ``cancel`` ends even while its client does not read."""
        reader = Reader(cancel, self._limits, self._clock)
        with self._lock:
            self._open.add(reader)
        try:
            yield reader
        finally:
            with self._lock:
                self._open.discard(reader)

    def end_slow(self) -> None:
        """End the streams whose clients are too slow: another one waits for a place."""
        with self._lock:
            readers = list(self._open)
        for reader in readers:
            reader.end_if_slow()
