"""An HTTP server that stalling clients cannot hold: one event loop reads and writes, a few threads do what is slow.

Each connection carries one request. Reading it has one deadline, however its bytes arrive, and so has the response.
The number of connections is bounded. One more closes the oldest one of the address that has the most, so a scrape is
answered while another client opens as many connections as it can.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

MOST_CONNECTIONS = 256
"""Maximum open connections."""
READ_SECONDS = 5.0
"""Maximum time from the connection to the end of the request's headers."""
WRITE_SECONDS = 15.0
"""Maximum time from there to the last byte of the response."""
HEAD_BYTES = 2**14
"""Maximum bytes of a request line with its headers."""
_THREADS = 4
_ACCEPT_SECONDS = 0.1  # between two tries to accept a connection without a free descriptor
_PIECE_BYTES = 2**16
"""Bytes of a response that are copied for a connection at a time."""
_HEAD_END = re.compile(rb"(?:^|\n)\r?\n")
_log = logging.getLogger(__name__)

Chunks = list[bytes]
"""The bytes of a response."""
Respond = Callable[[bytes, bool], Chunks | Callable[[], Chunks]]
"""The response to the bytes of a request's head, and whether they are cut at ``HEAD_BYTES``; or what makes it in a
thread, if that takes more than a moment."""


class HttpConnections:
    """Accepts connections between ``start`` and ``close``.

    Args:
        listener: a bound socket, which ``close`` closes.
        respond: called by the loop.
    """

    def __init__(self, listener: socket.socket, respond: Respond) -> None:
        self._listener = listener
        self.address: tuple[str, int] = listener.getsockname()[:2]
        """Host and port that it listens on."""
        self._respond = respond
        self._open: dict[asyncio.Task[None], str] = {}  # to its address, the oldest first; used by the loop alone
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="acfd-page")
        self._thread = threading.Thread(target=self._run, name="acfd-monitor", daemon=True)

    def start(self) -> None:
        """Accept connections."""
        self._thread.start()

    def close(self) -> None:
        """Close the port and all connections."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join()
        self._threads.shutdown(cancel_futures=True)
        self._listener.close()
        if not self._loop.is_closed():
            self._loop.close()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._listener.setblocking(False)
        self._listen()
        await self._closing.wait()
        self._loop.remove_reader(self._listener)  # the runner cancels the connections

    def _listen(self) -> None:
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            connection, peer = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            _log.warning("the metrics port cannot accept a connection: %s", error)
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_ACCEPT_SECONDS, self._listen)
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._handle(connection))
        task.add_done_callback(partial(self._ended, connection))
        self._open[task] = str(peer[0])
        if len(self._open) > MOST_CONNECTIONS:
            self._evict()

    def _evict(self) -> None:
        """Close the oldest connection of the address that has the most."""
        address, _ = Counter(self._open.values()).most_common(1)[0]
        oldest = next(task for task, its_address in self._open.items() if its_address == address)
        del self._open[oldest]
        oldest.cancel()

    def _ended(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        self._open.pop(task, None)
        connection.close()

    async def _handle(self, connection: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_connection(sock=connection, limit=HEAD_BYTES)
            try:
                await self._answer(reader, writer)
            finally:
                writer.transport.abort()
        except OSError as error:  # a TimeoutError is one
            _log.debug("a client of the metrics port stalled or disconnected: %r", error)
        except Exception:
            _log.exception("the metrics port failed on a request")

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(READ_SECONDS):
            head, is_cut = await _head(reader)
        if not head:
            return
        async with asyncio.timeout(WRITE_SECONDS):
            found = self._respond(head, is_cut)
            chunks = await self._loop.run_in_executor(self._threads, found) if callable(found) else found
            discarding = self._loop.create_task(_discard(reader))  # a socket with unread bytes resets its response
            try:
                await _write(writer, chunks)
                writer.close()
                await writer.wait_closed()
            finally:
                discarding.cancel()


async def _head(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """The bytes up to the empty line, or to the end of what the client sends, and whether there are too many."""
    head = bytearray()
    while len(head) < HEAD_BYTES:
        seen = len(head)
        head += await reader.read(HEAD_BYTES - seen)
        if len(head) == seen or _HEAD_END.search(head, max(0, seen - 2)):
            return bytes(head), False
    return bytes(head), True


async def _write(writer: asyncio.StreamWriter, chunks: Chunks) -> None:
    for chunk in chunks:
        for begin in range(0, len(chunk), _PIECE_BYTES):
            writer.write(chunk[begin : begin + _PIECE_BYTES])
            await writer.drain()


async def _discard(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(_PIECE_BYTES):
            pass
