"""The bytes of a ByteStream, sent from the caller's process to the decoder's.

Each piece goes with the time when it was fed, so that the latency of a live frame is counted from there.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

from acfd_stream.errors import MediaError
from acfd_stream.video.bytestream import ByteStream

_PIECE_BYTES = 2**16
_HEAD = struct.Struct("<Bdi")  # kind, time on perf_counter, bytes that follow
_DATA, _END, _ABORT = range(3)


class Sender:
    """A thread that sends the bytes of ``stream`` until its end, or until the decoder's process is gone."""

    def __init__(self, stream: ByteStream, end: socket.socket) -> None:
        self._stream, self._end = stream, end
        threading.Thread(target=self._run, name="acfd-send", daemon=True).start()

    def _run(self) -> None:
        count = 0
        try:
            while data := self._stream.read(_PIECE_BYTES):
                count += len(data)
                self._end.sendall(_HEAD.pack(_DATA, self._stream.fed_at(count) or 0.0, len(data)) + data)
            self._end.sendall(_HEAD.pack(_END, 0.0, 0))
        except MediaError as error:
            self._send_abort(str(error))
        except OSError:
            pass  # the decoder's process is gone, which its reader notices
        finally:
            self._stream.leave()
            self._end.close()

    def _send_abort(self, reason: str) -> None:
        text = reason.encode()
        with suppress(OSError):  # the process is gone
            self._end.sendall(_HEAD.pack(_ABORT, 0.0, len(text)) + text)


class SentBytes(ByteStream):
    """The decoder's side: a ByteStream that is fed by its reader, as it reads.

    Args:
        end: receives.
        note_read: called with the bytes of each read.
    """

    def __init__(self, end: socket.socket, note_read: Callable[[bytes], None]) -> None:
        super().__init__(2 * _PIECE_BYTES)
        self._end, self._note_read = end, note_read

    def read(self, size: int = -1) -> bytes:
        """See ``ByteStream.read``."""
        if not self.waiting_bytes and not self.is_closed:
            self._receive()
        data = super().read(size)
        self._note_read(data)
        return data

    def _receive(self) -> None:
        head = self._exactly(_HEAD.size)
        if not head:
            self.abort("the sender of the bytes is gone")
            return
        kind, fed_at, size = _HEAD.unpack(head)
        content = self._exactly(size)
        if kind == _DATA:
            self.feed(content, fed_at)
        elif kind == _END:
            self.close()
        else:
            self.abort(content.decode())

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = self._end.recv(size - len(data))
            if not more:
                return b""
            data += more
        return bytes(data)


class WatchedFile:
    """An open file whose reads are counted.

    Args:
        file: the decoder reads it.
        name: of the video in messages and results; "": none.
        note_read: called with the bytes of each read.
    """

    def __init__(self, file: BinaryIO, name: str, note_read: Callable[[bytes], None]) -> None:
        self._file, self.name, self._note_read = file, name, note_read

    def read(self, size: int = -1, /) -> bytes:
        """See ``io.RawIOBase``."""
        data = self._file.read(size)
        self._note_read(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """See ``io.IOBase``."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """See ``io.IOBase``."""
        return self._file.tell()

    def seekable(self) -> bool:
        """See ``io.IOBase``."""
        return self._file.seekable()
