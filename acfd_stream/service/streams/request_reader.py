"""The thread that reads the messages of a client and feeds them to the decoder, waiting while that is full."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from acfd_stream.config import require
from acfd_stream.errors import AcfdError, ConfigError, MediaError
from acfd_stream.metrics import InputKind, Metrics, QueueStage
from acfd_stream.service.status import StatusError


class RequestReader:
    """Reads the requests of one call on its own thread: the first two, which say what follows, and then the rest.

    The thread of the call must not wait for requests itself: nothing could wake it if none arrive.

    Args:
        requests: of the call.
        metrics: counts messages that wait for the decoder.
        received: notes bytes of video, and returns the seconds to wait before more are read.
    """

    def __init__(
        self, requests: Iterator[Any], metrics: Metrics, received: Callable[[int], float] = lambda byte_count: 0.0
    ) -> None:
        self._requests, self._metrics, self._received = requests, metrics, received
        self.received_bytes = 0
        self._changed = threading.Condition()
        self._first: list[Any] = []  # the config, and the request after it
        self._is_ended = False  # the client sends no more
        self._is_left = False  # no more requests are wanted
        self._is_over = False  # the thread is done
        self._error: BaseException | None = None  # why ``leave`` was called
        self._take: Callable[[Any], bool] | None = None
        self._close: Callable[[], None] = _nothing
        self._on_error: Callable[[AcfdError], None] = _nothing
        self._on_gone: Callable[[], None] = _nothing
        self._waiting_since: float | None = time.monotonic()
        threading.Thread(target=self._run, name="acfd-feed", daemon=True).start()

    @property
    def silence_seconds(self) -> float:
        """Time since the last request, while the reader waits for one; 0 after the end."""
        since = self._waiting_since
        return 0.0 if since is None else time.monotonic() - since

    def request(self, index: int, timeout_seconds: float) -> Any:
        """The first request (``index`` 0) or the second (1), waiting for it; None if the requests end before.

        Raises:
            StatusError: DEADLINE_EXCEEDED.
            BaseException: the error that ``leave`` was given; once.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_ended or self._is_left or len(self._first) > index, timeout_seconds)
            error, self._error = self._error, None
            try:
                if error is not None:
                    raise error
            finally:
                del error  # its traceback refers to this frame: a reference cycle would keep the whole stream
            if len(self._first) > index:
                return self._first[index]
            if self._is_ended:
                return None
        what = "config" if index == 0 else "data or frame after the config"
        message = f"no {what} arrived within {timeout_seconds:g} s; the stream was ended"
        raise StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "IDLE", message)

    def feed(
        self,
        take: Callable[[Any], bool],
        close: Callable[[], None],
        on_error: Callable[[AcfdError], None],
        on_gone: Callable[[], None],
    ) -> None:
        """Continue after the config.

        Args:
            take: feeds a request, waiting for room; False: no more are wanted.
            close: called at the end of the requests.
            on_error: called with the error in an invalid request.
            on_gone: called when the call was cancelled.
        """
        with self._changed:
            if not self._is_over:
                self._close, self._on_error, self._on_gone, self._take = close, on_error, on_gone, take
                self._changed.notify_all()

    def leave(self, error: BaseException | None = None) -> None:
        """Read no more requests, because of ``error`` if given."""
        with self._changed:
            self._is_left = True
            self._keep(error)
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            for request in self._requests:
                self._waiting_since = None
                if not self._taken(request):
                    return
                self._waiting_since = time.monotonic()
            self._end()
            if self._may_feed():
                self._close()
        except (ConfigError, MediaError) as error:
            with self._changed:
                self._keep(error)
            self._on_error(error)
        except Exception:  # grpc raises a plain Exception when the call has ended
            self._on_gone()
        finally:
            self._end()
            self._forget()

    def _keep(self, error: BaseException | None) -> None:
        """Let ``request`` raise it. After ``feed``, ``request`` is not called any more, and ``on_error`` is."""
        if self._take is None and not self._is_over:
            self._error = self._error or error

    def _forget(self) -> None:
        """Drop references to the stream, which refers to this reader: without a cycle it is freed at once."""
        with self._changed:
            self._is_over = True
            self._take, self._close = None, _nothing
            self._on_error = self._on_gone = _nothing

    def _end(self) -> None:
        with self._changed:
            self._waiting_since = None
            self._is_ended = True
            self._changed.notify_all()

    def _taken(self, request: Any) -> bool:
        with self._changed:
            is_config = not self._first
            if len(self._first) < 2:
                self._first.append(request)
                self._changed.notify_all()
        if is_config:
            return True
        if not self._may_feed() or self._take is None:
            return False
        self._metrics.queue_depth.of(QueueStage.DECODE).inc(1)
        try:
            return self._slowed(len(request.data) or len(request.frame.image)) and self._take(request)
        finally:
            self._metrics.queue_depth.of(QueueStage.DECODE).inc(-1)

    def _slowed(self, byte_count: int) -> bool:
        """Wait while the caller of this stream is above its rate; False: ``leave`` was called."""
        self.received_bytes += byte_count
        seconds = self._received(byte_count)
        if seconds > 0:
            with self._changed:
                self._changed.wait_for(lambda: self._is_left, seconds)
        return not self._is_left

    def _may_feed(self) -> bool:
        """Wait for ``feed``; False: ``leave`` was called instead."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_left or self._take is not None)
            return not self._is_left


def _nothing(*_: object) -> None:
    """The default callback."""


def content_of(request: Any, input_kind: InputKind, data_bytes: int) -> Any:
    """The bytes or the frame in a request after the config.

    Raises:
        ConfigError: it has other or too much content.
    """
    kind = request.WhichOneof("request")
    wanted = "data" if input_kind is InputKind.BYTES else "frame"
    require(kind == wanted, "request", kind, f"{wanted} in every message of this stream after the config")
    content = getattr(request, wanted)
    if input_kind is InputKind.BYTES:
        require(len(content) <= data_bytes, "data", f"{len(content)} bytes", f"at most {data_bytes} bytes per message")
    return content
