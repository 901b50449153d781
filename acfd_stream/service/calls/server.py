"""A server of ``grpc.aio`` on an event loop and thread of its own, behind blocking methods."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import grpc

from acfd_stream.service.calls.handler import Handlers

T = TypeVar("T")
_log = logging.getLogger(__name__)


class LoopServer:
    """Serves blocking handlers; has what generated code expects of a ``grpc.Server``.

    Args:
        handlers: gets the handlers that generated code adds.
        options: of gRPC.

    Example:
        >>> server = LoopServer(Handlers([], 10.0, streams, calls), [])
        >>> add_FaceTrackServiceServicer_to_server(servicer, server)
        >>> port = server.add_port("127.0.0.1:0")
        >>> server.start()
        >>> server.stop(1.0)
    """

    def __init__(self, handlers: Handlers, options: Sequence[tuple[str, int]]) -> None:
        self._handlers = handlers
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_failure)
        self._thread = threading.Thread(target=self._loop.run_forever, name="acfd-loop", daemon=True)
        self._thread.start()
        self._server: Any = self._run(self._made(options))

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Serve the methods of ``handlers``; before ``start``."""
        self._handlers.add(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Nothing: generated code adds the same handlers as generic ones."""

    def add_port(self, address: str, credentials: Any = None) -> int:
        """Listen on ``address``, encrypted with ``credentials`` if given; returns the port.

        Raises:
            RuntimeError: the address cannot be bound.
        """
        if credentials is None:
            return int(self._server.add_insecure_port(address))
        return int(self._server.add_secure_port(address, credentials))

    def start(self) -> None:
        """Accept calls."""
        self._run(self._server.start())

    def stop(self, grace_seconds: float) -> None:
        """Accept no more calls, and end those that still run after ``grace_seconds``. Called again, does nothing."""
        if self._loop.is_closed():
            return
        self._run(self._server.stop(grace_seconds))
        self._run(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _made(self, options: Sequence[tuple[str, int]]) -> Any:
        server = grpc.aio.server(options=list(options))
        server.add_generic_rpc_handlers((self._handlers,))
        return server


async def _cancel_all() -> None:
    """End what still runs on the loop."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _log_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, BlockingIOError):
        return  # another loop of this process took gRPC's event first, and passes it on
    _log.error("the event loop: %s", context.get("message"), exc_info=error)
