"""Sources of a video: paths, URLs, file objects and ByteStreams, checked before the decoder opens them."""

from __future__ import annotations

import errno
import os
import re
import select
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Protocol, cast

from acfd_stream.errors import MediaError
from acfd_stream.video.bytestream import ByteStream

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(?://|(?<=file:))")
_FILE_SCHEME = "file:"
TAIL_BYTES = 2**17
"""Last bytes of a source that are kept: more than a page of Ogg has."""
_HEAD_BYTES = 2**18
_MOST_RECENT_BYTES = 16 * 2**20  # more than FFmpeg reads before the first packet
_FORGOTTEN_BYTES = 2**16  # at a time
_FARTHEST = 2**48  # bytes; offsets behind are those of damaged files
_PACKET_HEAD_BYTES = 16  # more than a chunk or block has before its data
_USER_INFO = re.compile(r"(?<=://)[^\s/?#]*@")
_QUERY = re.compile(r"((?<!file)://[^\s?#]*)[?#]\S*")


def is_url(source: object) -> bool:
    """Whether ``source`` is text that begins with a scheme, ``http://…`` or ``file:…``."""
    return isinstance(source, str) and _URL.match(source) is not None


def source_name(source: str | bytes | os.PathLike[str] | os.PathLike[bytes] | BinaryIO | ByteStream) -> str:
    """The name of ``source`` in messages and results: a path as given, a URL without secrets, else "<stream>"."""
    if isinstance(source, str | bytes | os.PathLike):
        given = os.fsdecode(source)
        return without_secrets(given) if is_url(given) else given
    name = getattr(source, "name", None)
    return name if isinstance(name, str) and name else "<stream>"


def without_secrets(url: str) -> str:
    """``url`` without user, password, query and fragment, which may contain secrets."""
    if url.lower().startswith(_FILE_SCHEME):  # in a file's name these characters have no meaning
        return url
    scheme, separator, rest = url.partition("://")
    address = re.split("[?#]", rest, maxsplit=1)[0]
    authority, slash, path = address.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def hide_secrets(text: str) -> str:
    """``text`` without the user, password, query and fragment of every URL in it."""
    return _QUERY.sub(r"\1", _USER_INFO.sub("", text))


def file_target(path: str) -> str:
    """``path`` in a form that FFmpeg never reads as a protocol or a pattern."""
    return f"file:{path}"


def path_target(path: str) -> str | BytesReader:
    """``path`` in the form for the decoder: a file by its name, a pipe or device as a reader.

    Raises:
        MediaError: there is no file that can be read.
    """
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise MediaError(f"{path}: is a folder, not a video; name a file in it")
        if stat.S_ISREG(status.st_mode) and status.st_size == 0:
            raise MediaError(f"{path}: is empty (0 bytes); copy or download it again")
        if not os.access(path, os.R_OK):
            raise PermissionError
        if stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode):
            return BytesReader(Pipe(path))
    except FileNotFoundError as error:
        raise MediaError(f"{path}: no such file; check the name and the folder") from error
    except PermissionError as error:
        raise MediaError(f"{path}: permission denied; make the file readable for this user") from error
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise MediaError(f"{path!a}: cannot be opened ({reason}); check the name") from error
    return file_target(path)


class Pipe:
    """A named pipe or device, to be read once. FFmpeg could open it too, but would ignore Ctrl-C while it waits."""

    def __init__(self, path: str) -> None:
        """Wait until a writer opens it.

        Raises:
            OSError: it cannot be opened.
        """
        self._files: tuple[int, ...] = ()
        self._files = (os.open(path, os.O_RDONLY | os.O_CLOEXEC), *os.pipe())

    def read(self, size: int) -> bytes:
        """The next bytes, at most ``size``; ``b""`` at the end or after ``leave``."""
        file, woken, _ = self._files
        return b"" if woken in select.select([file, woken], [], [])[0] else os.read(file, size)

    def leave(self) -> None:
        """Stop reading, and wake a reader that waits."""
        os.write(self._files[2], b".")

    def __del__(self) -> None:
        for file in self._files:
            os.close(file)


class RecentBytes:
    """The bytes of a stream from some offset on, which may be read once more."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._begin = 0  # offset of the first byte that is kept
        self._is_full = False

    def add(self, data: bytes) -> None:
        """Keep the next bytes of the stream; where they become too many, none from here on."""
        self._is_full = self._is_full or len(self._data) + len(data) > _MOST_RECENT_BYTES
        if self._is_full:
            self._data.clear()
        else:
            self._data += data

    def forget_before(self, offset: int) -> None:
        """Keep no bytes before ``offset``, of a packet's data, but the head of its chunk or block; in rising order."""
        count = offset - _PACKET_HEAD_BYTES - self._begin
        if not self._is_full and count >= _FORGOTTEN_BYTES:
            del self._data[:count]
            self._begin += count

    def at(self, offset: int, size: int) -> bytes:
        """Bytes from ``offset`` on, at most ``size``; ``b""`` where they are not kept."""
        begin = offset - self._begin
        return bytes(self._data[begin : begin + size]) if begin >= 0 else b""


class SeekableFile(Protocol):
    """A file that can seek."""

    def seek(self, offset: int, /) -> int:
        """Go to ``offset``."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most ``size``."""


class RecentFile:
    """Recent bytes of a stream as a file, whose offset 0 is ``base`` in the stream."""

    def __init__(self, recent: RecentBytes, base: int = 0) -> None:
        self._recent, self._base, self._position = recent, base, 0

    def seek(self, offset: int, /) -> int:
        """Go to ``offset``."""
        self._position = offset
        return offset

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most ``size``."""
        data = self._recent.at(self._base + self._position, size)
        self._position += len(data)
        return data


class BytesReader:
    """A file object or ByteStream as the decoder reads it: forward only.

    The decoder calls ``read`` from inside C code, which would swallow a KeyboardInterrupt: it is kept in
    ``interrupt``, to be raised when that code has returned.
    """

    is_seekable = False

    def __init__(self, source: BinaryIO | ByteStream | Pipe) -> None:
        self._source = source
        self._begin = b""  # seen by ``first``, and not read yet
        self.head = b""  # the first bytes that came, for a look at them after they were read
        self.tail = b""  # the last bytes that came
        self.count = 0  # bytes that came so far
        self._has_failed = False
        self.interrupt: BaseException | None = None
        self.recent = RecentBytes()

    def first(self, size: int) -> bytes:
        """The first ``size`` bytes, fewer where it ends before; before anything is read, and they are read too."""
        while len(self._begin) < size and (more := self._read(size - len(self._begin))):
            self._begin += more
        return self._begin

    def read(self, size: int) -> bytes:
        """The next bytes, at most ``size``; ``b""`` at the end."""
        if self._begin:
            data, self._begin = self._begin[:size], self._begin[size:]
            return data
        return self._read(size)

    def _read(self, size: int) -> bytes:
        if (
            self.interrupt is not None or self._has_failed
        ):  # FFmpeg continues reading, and PyAV would print a second error
            return b""
        try:
            data = self._source.read(size)
        except Exception:
            self._has_failed = True
            raise
        except BaseException as error:
            self.interrupt = error
            return b""
        if not isinstance(data, bytes):
            raise MediaError(f"read() of the source must give bytes, got {type(data).__name__}; open it in binary mode")
        if len(self.head) < _HEAD_BYTES:
            self.head += data[: _HEAD_BYTES - len(self.head)]
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        self.count += len(data)
        if not self.is_seekable:
            self.recent.add(data)
        return data

    def retry(self) -> None:
        """Read again after a read that failed."""
        self._has_failed = False

    def fed_at(self, offset: int) -> float | None:
        """When the first ``offset`` bytes were there, on the clock of ``time.perf_counter``; None: unknown."""
        return self._source.fed_at(offset) if isinstance(self._source, ByteStream) else None

    def forget_before(self, offset: int) -> None:
        """Keep nothing for ``recent_file`` of what lies before the packet whose data begin at ``offset``."""
        self.recent.forget_before(offset)

    def recent_file(self) -> RecentFile:
        """The bytes that were read last, of a source that cannot seek."""
        return RecentFile(self.recent)

    def leave(self) -> None:
        """Stop reading: wakes the producer of a ByteStream or pipe; a file object stays open."""
        if isinstance(self._source, ByteStream | Pipe):
            self._source.leave()


class SeekableReader(BytesReader):
    """A file object that can be rewound."""

    is_seekable = True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to ``offset``, as files do; below 0: there is no such offset, as FFmpeg expects it."""
        file: BinaryIO = self._source  # type: ignore[assignment]
        try:
            return file.seek(offset, whence)
        except (OSError, OverflowError, ValueError):
            if 0 <= offset < _FARTHEST or whence != os.SEEK_SET:
                raise
            return -errno.EINVAL  # a damaged index leads nowhere

    def tell(self) -> int:
        """The offset of the next read."""
        file: BinaryIO = self._source  # type: ignore[assignment]
        return file.tell()


def bytes_reader(source: BinaryIO | ByteStream) -> BytesReader:
    """A reader of ``source``, which can seek if the source can.

    Raises:
        MediaError: the source has no ``read``.
    """
    if not callable(getattr(source, "read", None)):
        raise MediaError(f"source must be a path, a URL, a binary file or a ByteStream, got {type(source).__name__}")
    if isinstance(source, ByteStream):
        return BytesReader(source)
    can_seek = getattr(source, "seekable", None)
    return SeekableReader(source) if can_seek is not None and can_seek() else BytesReader(source)


@contextmanager
def sought(target: str | BytesReader) -> Iterator[SeekableFile | None]:
    """A file for a look at bytes that were read, of a local file, of a file object, or those of a stream that are kept.

    None for a URL.

    Raises:
        OSError: a local file cannot be opened.
    """
    if isinstance(target, str):
        if not target.startswith(_FILE_SCHEME):
            yield None
            return
        with open(target.removeprefix(_FILE_SCHEME), "rb") as file:
            yield file
    elif target.is_seekable:
        reader = cast(SeekableReader, target)
        before = reader.tell()
        yield reader
        reader.seek(before)
    else:
        yield target.recent_file()


@dataclass(frozen=True)
class FileStamp:
    """What changes when a local file does."""

    size: int  # bytes
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileStamp:
        """The stamp of a file with this status."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)


def stamp_of(path: str) -> FileStamp:
    """The stamp of a local file.

    Raises:
        MediaError: it is not there or cannot be read.
    """
    try:
        return FileStamp.of(os.stat(path))
    except OSError as error:
        raise MediaError(f"{path}: {os_reason(error)}") from error


def local_path(source: str) -> str | None:
    """The path of a local file, also of a ``file:`` URL; None: it is elsewhere."""
    if not is_url(source):
        return source
    if source.lower().startswith("file:"):
        return source[len("file://") :] if source.lower().startswith("file://") else source[len("file:") :]
    return None


def os_reason(error: OSError) -> str:
    """Why a local file cannot be read, and what to do."""
    if isinstance(error, PermissionError):
        return "permission denied; make it readable for this user"
    if isinstance(error, FileNotFoundError):
        return "is not there any more, or a link to nothing; check it"
    return f"cannot be read ({error.strerror or error}); check the disk"
