"""A bare HTTP/2 connection, for what no gRPC library would send."""

from __future__ import annotations

import socket
import struct
import time

DATA, HEADERS, RST_STREAM, SETTINGS, PING = 0, 1, 3, 4, 6
REFUSED_STREAM = 7
END_HEADERS, ACK = 4, 1
SECONDS = 60.0


def is_open(connection: socket.socket) -> bool:
    """Whether the other side has not closed it; reads what has come."""
    connection.setblocking(False)
    try:
        while connection.recv(2**16):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


class Http2:
    """A connection with HTTP/2's preface; a context manager.

    Args:
        port: of a server on 127.0.0.1.
        address: of this side, in 127.0.0.0/8.
    """

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 5, source_address=(address, 0))
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(SETTINGS, 0, 0) + _frame(SETTINGS, ACK, 0))
        self._stream, self._read = -1, b""

    def __enter__(self) -> Http2:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def begin_call(self, path: str) -> None:
        """The headers of a gRPC call, and nothing after them."""
        self._stream += 2
        fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x"}
        fields |= {"content-type": "application/grpc", "te": "trailers"}
        block = b"".join(b"\0" + bytes([len(k)]) + k.encode() + bytes([len(v)]) + v.encode() for k, v in fields.items())
        self._socket.sendall(_frame(HEADERS, END_HEADERS, self._stream, block))

    def send(self, data: bytes) -> None:
        """Bytes of the last call."""
        self._socket.sendall(_frame(DATA, 0, self._stream, data))

    def is_open(self) -> bool:
        """Whether the server has not closed the connection."""
        return is_open(self._socket)

    def settings(self) -> dict[int, int]:
        """The server's first SETTINGS."""
        kind, _, payload = self._next(time.monotonic() + SECONDS)
        assert kind == SETTINGS
        return dict(struct.unpack(">HI", payload[at : at + 6]) for at in range(0, len(payload), 6))

    def endings(self, count: int) -> list[bytes]:
        """The headers of the next ``count`` answers; the message of a status is readable in them."""
        found, until = [], time.monotonic() + SECONDS
        while len(found) < count:
            kind, _, payload = self._next(until)
            if kind == HEADERS:
                found.append(payload)
        return found

    def refused(self, count: int) -> bool:
        """Whether so many calls are refused without an answer."""
        until = time.monotonic() + SECONDS
        while count:
            kind, _, payload = self._next(until)
            count -= kind == RST_STREAM and payload == struct.pack(">I", REFUSED_STREAM)
        return True

    def _next(self, until: float) -> tuple[int, int, bytes]:
        """Kind, stream and payload of the next frame; pings are answered."""
        while True:
            size = int.from_bytes(self._take(9, until, peek=True)[:3], "big")
            frame = self._take(9 + size, until)
            kind, flags, stream = frame[3], frame[4], int.from_bytes(frame[5:9], "big")
            if kind != PING:
                return kind, stream, frame[9:]
            if not flags & ACK:
                self._socket.sendall(_frame(PING, ACK, 0, frame[9:]))

    def _take(self, count: int, until: float, *, peek: bool = False) -> bytes:
        while len(self._read) < count:
            self._socket.settimeout(max(0.01, until - time.monotonic()))
            more = self._socket.recv(2**16)
            if not more:
                raise ConnectionError("the server closed the connection")
            self._read += more
        taken = self._read[:count]
        if not peek:
            self._read = self._read[count:]
        return taken


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame, see RFC 9113 section 4.1."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload
