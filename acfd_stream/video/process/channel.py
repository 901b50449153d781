"""Messages between two processes over a socket, with descriptors."""

from __future__ import annotations

import array
import errno
import io
import os
import pickle
import socket
import struct
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from enum import Enum
from typing import Any

_HEAD = struct.Struct("<IB")  # bytes of the message, and descriptors that come with it
_MOST_BYTES = 64 * 2**20
_MOST_WAITING = 8  # descriptors of messages that were read in part
_CUT, _CLOSED = int(socket.MSG_CTRUNC), int(socket.MSG_CMSG_CLOEXEC)  # the operators of the enum take longer
_DESCRIPTOR_SPACE = socket.CMSG_LEN(4 * array.array("i").itemsize)
# A decoder may be taken over by what it decodes: its messages build nothing but these.
_BUILT = {
    "fractions": {"Fraction"},
    "acfd_stream.types": {
        "ColorMatrix",
        "Gap",
        "GapCause",
        "MediaInfo",
        "PixelFormat",
        "Primaries",
        "Seam",
        "Transfer",
    },
    "acfd_stream.video.decode_position": {"LossCounts"},
    "acfd_stream.video.discontinuities": {"Discontinuities"},
    "acfd_stream.video.holes": {"Pace"},
    "pathlib": {"PosixPath"},
    "acfd_stream.config": {"VideoConfig"},
    "acfd_stream.video.web": {"WebRules", "WebUrl"},
    "acfd_stream.video.process.limits": {"DecoderLimits"},
}


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        """An enum's member as its class and value: Python 3.11.0 to 3.11.3 call ``getattr`` for it."""
        return (type(value), (value.value,)) if isinstance(value, Enum) else NotImplemented


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """The class, if a message may hold it."""
        if name not in _BUILT.get(module, ()):
            raise pickle.UnpicklingError(f"a message holds a {module}.{name}")
        return super().find_class(module, name)


class Channel:
    """One end of a connection between two processes; each direction is used by one thread at a time.

    Args:
        end: the socket; ``close`` closes it.
        ahead_bytes: bytes that ``receive`` may read beyond a message, to save calls; ``poll`` does not see those.

    Raises:
        EOFError: from ``send`` and ``receive``, when the other end is gone or sends what is no message.
    """

    def __init__(self, end: socket.socket, ahead_bytes: int = 0) -> None:
        self._socket, self._ahead_bytes = end, ahead_bytes
        self._read = bytearray()  # of the messages that come next
        self._descriptors: deque[int] = deque()  # that came, of messages that come next
        self._own: deque[int] = deque()  # of the last message, until they are taken

    def fileno(self) -> int:
        """The descriptor of the socket."""
        return self._socket.fileno()

    def send(self, message: Any, descriptors: Iterable[int] = ()) -> None:
        """Send a message, and copies of descriptors, at most four."""
        pickled, copied = io.BytesIO(), list(descriptors)
        _Pickler(pickled, pickle.HIGHEST_PROTOCOL).dump(message)
        data = _HEAD.pack(pickled.tell(), len(copied)) + pickled.getvalue()
        try:
            sent = socket.send_fds(self._socket, [data], copied) if copied else self._socket.send(data)
            if sent < len(data):
                self._socket.sendall(data[sent:])
        except OSError as error:
            raise EOFError(f"the other end is gone ({error})") from error

    def receive(self) -> Any:
        """The next message; closes descriptors of the one before that were not taken."""
        _close_all(self._own)
        try:
            self._await(_HEAD.size)
            size, count = _HEAD.unpack_from(self._read)
            if size > _MOST_BYTES:
                raise EOFError(f"a message of {size} bytes")
            end = _HEAD.size + size
            self._await(end)
            message = _Unpickler(io.BytesIO(self._read[_HEAD.size : end])).load()
            del self._read[:end]
            for _ in range(count):
                self._own.append(self._descriptors.popleft())
            return message
        except Exception as error:  # damaged messages raise whatever pickle meets
            self._forget_descriptors()
            raise EOFError(str(error)) from error

    def take_descriptors(self) -> list[int]:
        """The descriptors that came with the last message, which the caller closes; empty after the first call."""
        taken = list(self._own)
        self._own.clear()
        return taken

    def _await(self, size: int) -> None:
        """Read until there are ``size`` bytes."""
        while len(self._read) < size:
            more, ancillary, flags, _ = self._socket.recvmsg(
                max(size - len(self._read), self._ahead_bytes), _DESCRIPTOR_SPACE, _CLOSED
            )
            for level, kind, content in ancillary:  # of one message at most: Linux ends a read behind those
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    numbers = array.array("i")
                    numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
                    self._descriptors += numbers
            if len(self._descriptors) > _MOST_WAITING:
                raise EOFError("descriptors without a message")
            if flags & _CUT:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            if not more:
                raise EOFError("the other end is gone")
            self._read += more

    def _forget_descriptors(self) -> None:
        _close_all(self._own)
        _close_all(self._descriptors)

    def shut(self) -> None:
        """Wake both ends: each ``receive`` ends, also one that waits. From any thread."""
        with suppress(OSError):  # shut or closed before
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close this end; no thread may be in ``send`` or ``receive``."""
        self._forget_descriptors()
        self._socket.close()


def _close_all(descriptors: deque[int]) -> None:
    while descriptors:
        os.close(descriptors.popleft())
