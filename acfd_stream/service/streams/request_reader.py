"""The thread that reads what a client sends, and feeds it to the stream's decoder; it waits where there is no room."""

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
    """Reads the requests of one call on a thread of its own: the first two to tell what is coming, then all.

    A call's own thread may not wait for requests: nothing could wake it when none come.

    Args:
        requests: of the call.
        metrics: counts messages that wait to be fed.
    """

    def __init__(self, requests: Iterator[Any], metrics: Metrics) -> None:
        self._requests, self._metrics = requests, metrics
        self._changed = threading.Condition()
        self._first: list[Any] = []  # the config, and what comes behind it
        self._is_ended = False  # no request will come
        self._is_left = False  # none is wanted
        self._is_over = False  # none will be fed
        self._fault: BaseException | None = None  # why
        self._take: Callable[[Any], bool] | None = None
        self._close: Callable[[], None] = _nothing
        self._on_fault: Callable[[AcfdError], None] = _nothing
        self._on_gone: Callable[[], None] = _nothing
        self._waiting_since: float | None = time.monotonic()
        threading.Thread(target=self._run, name="acfd-feed", daemon=True).start()

    @property
    def silence_seconds(self) -> float:
        """How long the client has sent nothing though it could; 0 after its end."""
        since = self._waiting_since
        return 0.0 if since is None else time.monotonic() - since

    def request(self, place: int, timeout_seconds: float) -> Any:
        """The first request (``place`` 0) or the second (1), waiting for it; None where the requests end before.

        Raises:
            StatusError: DEADLINE_EXCEEDED.
            BaseException: what ``leave`` was given; once.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_ended or self._is_left or len(self._first) > place, timeout_seconds)
            fault, self._fault = self._fault, None
            try:
                if fault is not None:
                    raise fault
            finally:
                del fault  # its traceback holds this frame: they would hold each other, and the whole stream
            if len(self._first) > place:
                return self._first[place]
            if self._is_ended:
                return None
        what = "config" if place == 0 else "data or frame behind the config"
        message = f"no {what} has come for {timeout_seconds:g} s; the stream was ended"
        raise StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "IDLE", message)

    def feed(
        self,
        take: Callable[[Any], bool],
        close: Callable[[], None],
        on_fault: Callable[[AcfdError], None],
        on_gone: Callable[[], None],
    ) -> None:
        """Go on behind the config.

        Args:
            take: feeds a request, waiting for room; False: nobody wants more.
            close: called at the end of the requests.
            on_fault: told what the caller did wrong.
            on_gone: called when the call broke off.
        """
        with self._changed:
            if not self._is_over:
                self._close, self._on_fault, self._on_gone, self._take = close, on_fault, on_gone, take
                self._changed.notify_all()

    def leave(self, fault: BaseException | None = None) -> None:
        """Nothing more is wanted, because of ``fault`` if there is one."""
        with self._changed:
            self._is_left = True
            self._keep(fault)
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
            self._on_fault(error)
        except Exception:  # grpc raises a bare one when the call is over
            self._on_gone()
        finally:
            self._end()
            self._forget()

    def _keep(self, fault: BaseException | None) -> None:
        """Have ``request`` raise it; where ``feed`` was called, nobody will ask, and ``on_fault`` is told."""
        if self._take is None and not self._is_over:
            self._fault = self._fault or fault

    def _forget(self) -> None:
        """Let go of the stream, which holds this reader: what is in no circle is freed as soon as it ends."""
        with self._changed:
            self._is_over = True
            self._take, self._close = None, _nothing
            self._on_fault = self._on_gone = _nothing

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
        self._metrics.queued(QueueStage.DECODE, 1)
        try:
            return self._take(request)
        finally:
            self._metrics.queued(QueueStage.DECODE, -1)

    def _may_feed(self) -> bool:
        """Wait until ``feed`` has said where to; False: it will not."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_left or self._take is not None)
            return not self._is_left


def _nothing(*_: object) -> None:
    """What is called where nobody is to be told."""


def content_of(request: Any, input_kind: InputKind, data_bytes: int) -> Any:
    """The bytes or the frame in a request behind the config.

    Raises:
        ConfigError: it holds something else, or too much.
    """
    kind = request.WhichOneof("request")
    wanted = "data" if input_kind is InputKind.BYTES else "frame"
    require(kind == wanted, "request", kind, f"{wanted} in every message of this stream behind the config")
    content = getattr(request, wanted)
    if input_kind is InputKind.BYTES:
        require(len(content) <= data_bytes, "data", f"{len(content)} bytes", f"at most {data_bytes} bytes a message")
    return content
