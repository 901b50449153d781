"""Videos that lie neither on a disk nor behind what the decoder reads itself: ``s3://`` and whatever fsspec knows.

The only file that imports fsspec, and only when such a URL comes. Every other URL (``http://``, ``rtsp://``…) goes to
the decoder as it is, and is asked for its validators over HTTP when it is keyed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from acfd_stream.errors import AcfdError, BackendUnavailable, MediaError, OverloadedError
from acfd_stream.video.origin import is_url, without_secrets
from acfd_stream.video.web import StatusError, Web

# The network protocols of FFmpeg.
DECODER_SCHEMES = frozenset(
    ["dtls", "file", "ftp", "gopher", "gophers", "hls", "http", "httpproxy", "https", "mmsh", "mmst", "rist", "rtmp"]
    + ["rtmpe", "rtmps", "rtmpt", "rtmpte", "rtmpts", "rtp", "rtsp", "rtsps", "sctp", "srt", "srtp", "tcp", "tls"]
    + ["udp", "udplite", "unix"]
)
_HEAD_SECONDS = 30.0
_FINAL_CODES = (401, 403, 404, 410)
_VALIDATORS = ("ETag", "Last-Modified", "Content-Length")


@dataclass(frozen=True)
class RemoteFile:
    """A file of a remote store, as its listing says."""

    url: str
    size: int | None  # bytes


def is_remote(source: str) -> bool:
    """Whether ``source`` is a URL that the decoder cannot read itself."""
    return is_url(source) and _scheme(source) not in DECODER_SCHEMES


@contextmanager
def opened(source: str) -> Iterator[str | BinaryIO]:
    """What a session reads for ``source``: the path or URL itself, or an open file of a remote store.

    Raises:
        MediaError: there is no such file, or it may not be read.
        OverloadedError: the store does not answer as it should; a later try may succeed.
        BackendUnavailable: the library that knows the scheme is not installed.
    """
    if not is_remote(source):
        yield source
        return
    with _translated(source):
        file = _file_system(source).open(source, "rb")
    try:
        yield cast("BinaryIO", file)
    finally:
        with _translated(source):
            file.close()


def listed(url: str) -> list[RemoteFile]:
    """The files below the remote folder ``url``, those that match it where it is a pattern, or the one that it names.

    Raises:
        MediaError: there is none.
        OverloadedError: the store does not answer as it should.
        BackendUnavailable: the library that knows the scheme is not installed.
    """
    with _translated(url):
        system = _file_system(url)
        search = system.glob if any(sign in url for sign in "*?[") else system.find
        entries = search(url, detail=True)
        found = [entry for entry in entries.values() if entry.get("type") == "file"]
        urls = [str(system.unstrip_protocol(entry["name"])) for entry in found]
    if not found:
        raise MediaError(f"{without_secrets(url)}: no file there; check the address")
    return [RemoteFile(place, entry.get("size")) for place, entry in zip(urls, found, strict=True)]


def remote_version(url: str) -> str:
    """Text that changes whenever what lies behind ``url`` does, as far as its server tells.

    Raises:
        MediaError: there is no such file.
        OverloadedError: the server does not answer as it should.
        BackendUnavailable: the library that knows the scheme is not installed.
    """
    if is_remote(url):
        with _translated(url):
            system = _file_system(url)
            return str(system.ukey(system._strip_protocol(url)))
    if _scheme(url) not in ("http", "https"):
        return without_secrets(url)
    with _translated(url):
        web = Web(url, _HEAD_SECONDS)
        answer, _ = web.ask(web.url, {}, "HEAD")
        with answer:
            validators = [f"{name}={answer.headers[name]}" for name in _VALIDATORS if answer.headers[name]]
    return "\n".join([without_secrets(url), *validators])


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()


def _file_system(url: str) -> Any:
    scheme = _scheme(url)
    try:
        import fsspec

        return fsspec.filesystem(fsspec.core.split_protocol(url)[0])
    except ImportError as error:
        extra = "acfd-stream[s3]" if scheme == "s3" else f"fsspec and what it needs for {scheme}://"
        raise BackendUnavailable(f"{scheme}:// URLs cannot be read here ({error}); install {extra}") from error
    except ValueError as error:
        raise BackendUnavailable(f"{scheme}:// URLs are not known ({error}); copy the videos to a folder") from error


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Other libraries' errors become ours; what may pass is an OverloadedError."""
    place = without_secrets(url)
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise MediaError(f"{place}: no such file; check the address") from error
    except PermissionError as error:
        raise MediaError(f"{place}: permission denied; check the credentials of this machine") from error
    except StatusError as error:
        kind = MediaError if error.code in _FINAL_CODES else OverloadedError
        raise kind(f"{place}: {error}") from error
    except MediaError as error:
        raise MediaError(f"{place}: {error}") from error
    except AcfdError:
        raise
    except Exception as error:  # every store has a library with errors of its own
        if getattr(error, "code", None) in _FINAL_CODES:
            raise MediaError(f"{place}: {error}; check the address and what it asks for") from error
        raise OverloadedError(f"{place}: {error}; a later try may succeed") from error
