"""A file object of the caller that has no descriptor, such as one in memory: each read is asked for."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from acfd_stream.errors import MediaError
from acfd_stream.video.process.channel import Channel


class FileServer:
    """A thread that reads ``file`` for a decoder process, until that is gone."""

    def __init__(self, file: BinaryIO, end: socket.socket) -> None:
        self._file, self._channel = file, Channel(end)
        threading.Thread(target=self._run, name="acfd-serve-file", daemon=True).start()

    def _run(self) -> None:
        asked: dict[str, Callable[..., Any]] = {
            "read": self._file.read,
            "seek": self._seek,
            "tell": self._tell,
            "seekable": self._is_seekable,
        }
        try:
            while True:
                name, *arguments = self._channel.receive()
                try:
                    answer: tuple[Any, ...] = "done", asked[name](*arguments)
                except OSError as error:
                    answer = "os", error.errno, error.strerror or str(error)
                except Exception as error:
                    answer = "other", str(error) or type(error).__name__
                self._channel.send(answer)
        except EOFError:
            self._channel.close()

    def _seek(self, offset: int, whence: int) -> int:
        return self._file.seek(offset, whence)

    def _tell(self) -> int:
        return self._file.tell()

    def _is_seekable(self) -> bool:
        can_seek = getattr(self._file, "seekable", None)
        return can_seek is not None and bool(can_seek())


class ServedFile:
    """The decoder's side, as much of a BinaryIO as is read."""

    def __init__(self, end: socket.socket) -> None:
        self._channel = Channel(end)
        self._is_seekable = bool(self._ask("seekable"))

    def read(self, size: int = -1, /) -> bytes:
        """See ``io.RawIOBase``."""
        data: bytes = self._ask("read", size)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """See ``io.IOBase``."""
        return int(self._ask("seek", offset, whence))

    def tell(self) -> int:
        """See ``io.IOBase``."""
        return int(self._ask("tell"))

    def seekable(self) -> bool:
        """See ``io.IOBase``."""
        return self._is_seekable

    def _ask(self, name: str, *arguments: int) -> Any:
        self._channel.send((name, *arguments))
        kind, *content = self._channel.receive()
        if kind == "os":
            raise OSError(*content)
        if kind == "other":
            raise MediaError(content[0])
        return content[0]
