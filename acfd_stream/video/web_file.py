"""A file behind http or https, which FFmpeg reads and seeks in."""

from __future__ import annotations

import errno
import http.client
import os
import time
from email.message import Message

from acfd_stream.errors import MediaError
from acfd_stream.video.web import StatusError, Web, no_answer, range_of

_SKIPPED_BYTES = 2**20  # reading over them costs less than another request
_LEAST_BYTES = 1024  # within the timeout: a server that drips less is silent
_CHUNK_BYTES = 2**16


class WebFile:
    """The file that ``url`` names, or its bytes from ``begin`` to ``end``; nothing is read ahead.

    Args:
        web: makes the requests.
        url: allowed by its rules or not.
        begin: offset that is offset 0 here.
        end: offset behind the last byte; None: of the file.

    Raises:
        MediaError: it cannot be read, for good.
        ConnectionError: a later try may succeed.
        TimeoutError: no answer.
    """

    def __init__(self, web: Web, url: str, begin: int = 0, end: int | None = None) -> None:
        self._web, self.url, self._begin = web, url, begin
        self._size = None if end is None else end - begin
        self._is_bounded = end is not None
        self._position = self._at = 0  # of the next read; of the answer
        self._bytes, self._waited = 0, 0.0  # since the server was last quick enough
        self._failed_at: int | None = None  # offset of a read that failed
        self._is_range = False
        self._answer: http.client.HTTPResponse | None = None
        headers = self._request()
        self.content_type: str = headers.get_content_type()
        self._can_seek: bool = self._is_range or headers.get("Accept-Ranges", "") == "bytes"

    def _request(self) -> Message:
        self.close()
        first, last = self._begin + self._position, ""
        if self._is_bounded and self._size is not None:
            last = str(self._begin + self._size - 1)
        answer, self.url = self._web.ask(self.url, {"Range": f"bytes={first}-{last}"})
        given = range_of(answer.headers)
        self._is_range = answer.status == http.HTTPStatus.PARTIAL_CONTENT and given is not None
        self._answer, self._at = answer, self._position
        if given is not None and self._is_range:
            if given[0] != first:
                raise MediaError(f"the server gives byte {given[0]} where byte {first} is asked for")
            self._keep_size(given[1])
        elif first > 0:
            if self._position:
                raise MediaError("the server gives no part of the file any more")
            self._at = -self._begin
        elif not answer.chunked and answer.length is not None:
            self._keep_size(answer.length)
        return answer.headers

    def _keep_size(self, size: int | None) -> None:
        if self._is_bounded or size is None:
            return
        if self._size is not None and size != self._size:
            raise ConnectionError("the file has changed while it was read")
        self._size = size

    def seekable(self) -> bool:
        """Whether the server gives parts of the file."""
        return self._can_seek

    def tell(self) -> int:
        """The offset of the next read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to ``offset``, as files do; below 0, or from an unknown end: an error number, as FFmpeg expects it."""
        if whence == os.SEEK_END and self._size is None:
            return -errno.EINVAL
        base = {os.SEEK_CUR: self._position, os.SEEK_END: self._size or 0}.get(whence, 0)
        if base + offset < 0:
            return -errno.EINVAL
        self._position = base + offset
        return self._position

    def read(self, size: int) -> bytes:
        """The next bytes, at most ``size``; ``b""`` at the end, and from an error on, which ``Web.failure`` keeps.

        FFmpeg hides errors in some containers, and in others gives up what it has read before one.
        """
        if self._failed_at == self._position:
            return b""
        if self._failed_at is not None:  # it may be read elsewhere, or once more
            self._failed_at = self._web.failure = None
        if self._size is not None:
            size = min(size, self._size - self._position)
        if size <= 0:
            return b""
        try:
            if not 0 <= self._position - self._at <= _SKIPPED_BYTES and self._can_seek:
                self._request()
            while self._at < self._position:
                if not self._taken(min(_CHUNK_BYTES, self._position - self._at)):
                    return b""
            data = self._taken(size)
        except (MediaError, OSError) as error:
            self._failed_at = self._position
            is_end = isinstance(error, StatusError) and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            self._web.failure = self._web.failure or (None if is_end else error)
            return b""
        self._position += len(data)
        return data

    def _taken(self, size: int) -> bytes:
        assert self._answer is not None
        began = time.monotonic()
        try:
            data = self._answer.read1(size)
        except TimeoutError as error:
            raise no_answer(self._web.timeout) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else None
            raise ConnectionError((said or "the server hung up").lower()) from error
        if not data and self._size is not None:
            raise ConnectionError(f"the server hung up after {self._at} of {self._size} bytes")
        self._require_speed(len(data), time.monotonic() - began)
        self._at += len(data)
        return data

    def _require_speed(self, count: int, waited: float) -> None:
        self._bytes, self._waited = self._bytes + count, self._waited + waited
        if self._bytes >= _LEAST_BYTES or not count:
            self._bytes, self._waited = 0, 0.0
        elif self._waited > self._web.timeout:
            raise no_answer(self._web.timeout)

    def close(self) -> None:
        """Hang up."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()
