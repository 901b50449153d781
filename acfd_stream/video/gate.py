"""Opens containers with FFmpeg: what it may take for a video, and which other files and addresses it may open.

A text names other files (playlists, SDP) or is drawn as a picture (ANSI art); neither is a video. HLS is the exception
where the user gives the address of a playlist, and local files whose name says that they are playlists.
"""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit
from weakref import WeakSet

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from acfd_stream.errors import MediaError
from acfd_stream.video.origin import BytesReader
from acfd_stream.video.web import StatusError, Web, ca_file_of, is_web, rules_of
from acfd_stream.video.web_file import WebFile

_DEVICES = {"alsa", "fbdev", "kmsgrab", "lavfi", "oss", "video4linux2,v4l2", "x11grab"}
_TEXT_ART = {"adf", "bin", "idf", "tty", "xbin"}
_NAMING_OTHERS = {"concat", "dash", "hls", "imf", "rtp", "rtsp", "sap", "sdp", "vobsub"}
_FORMATS = av.formats_available - _DEVICES - _TEXT_ART - _NAMING_OTHERS
_PLAYLISTS = {".m3u8": "hls", ".m3u": "hls", ".ffconcat": "concat"}  # by the suffix of a local file
_HLS_TYPES = ("application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl", "audio/x-mpegurl")
# FFmpeg could neither reuse our connections nor ask for two segments at once.
_HLS_OPTIONS = {"http_persistent": "0", "http_multiple": "0"}
_NUMBERED_PICTURES = {"pattern_type": "none"}  # "a%03d.png" is the name of one file
_WEB_BUFFER_BYTES = 2**17
_TIMEOUT_SECONDS = 30.0
_MOST_ENCRYPTED_BYTES = 2**28  # of a segment
_WRITES = 2  # AVIO_FLAG_WRITE
# What FFmpeg itself may open for a URL. With TLS it verifies certificates, and does not where RTMP runs over https.
_PROTOCOLS = {
    "file": "file,crypto,data",
    "dtls": "dtls,udp",
    "ftp": "ftp,tcp",
    "gopher": "gopher,tcp",
    "mmsh": "mmsh,http,tcp",
    "mmst": "mmst,tcp",
    "rist": "rist",
    "rtmp": "rtmp,tcp",
    "rtmpe": "rtmpe,ffrtmpcrypt,tcp",
    "rtmps": "rtmps,tls,tcp",
    "rtmpt": "rtmpt,ffrtmphttp,http,tcp",
    "rtmpte": "rtmpte,ffrtmpcrypt,ffrtmphttp,http,tcp",
    "rtp": "rtp,udp",
    "rtsp": "rtp,srtp,tcp,udp",
    "rtsps": "rtp,srtp,tcp,tls,udp",
    "sctp": "sctp",
    "srt": "srt",
    "srtp": "srtp,rtp,udp",
    "tcp": "tcp",
    "tls": "tls,tcp",
    "udp": "udp",
    "udplite": "udplite",
    "unix": "unix",
}
_SESSION_FORMATS = {"rtsp": {"rtsp"}, "rtsps": {"rtsp"}, "rtp": {"rtp"}, "srtp": {"rtp"}}


def open_input(
    target: str | BytesReader,
    options: dict[str, str] | None = None,
    timeout: float | None = None,
    hardware: HWAccel | None = None,
) -> InputContainer:
    """The container that ``target``, a URL, a ``file:…`` name or a reader, holds.

    Args:
        target: what to read.
        options: of FFmpeg, besides those that keep it within bounds.
        timeout: how long a URL may deliver no data, seconds.
        hardware: decodes where it can.

    Raises:
        FFmpegError: FFmpeg knows no container in it that is allowed here.
        MediaError: the URL may not be read, or its server does not give it.
        OSError: a server does not answer as it should.
    """
    if is_web(target):
        assert isinstance(target, str)
        return _open_web(target, options or {}, timeout, hardware)
    # Bytes are untrusted: a playlist in them must not make FFmpeg open files or addresses.
    formats, protocols, more = set(_FORMATS), "none", {}
    if isinstance(target, str):
        scheme = target.partition(":")[0]
        if scheme not in _PROTOCOLS:
            raise MediaError(f"{scheme}: addresses are not read; give http, https or rtsp, or download the file")
        protocols = _PROTOCOLS[scheme]
        formats |= _SESSION_FORMATS.get(scheme, set()) | ({named} if (named := playlist_kind(target)) else set())
        more = _trusting(target) if "tls" in protocols else {}
    bounds = {"format_whitelist": ",".join(formats), "protocol_whitelist": protocols}
    return av.open(
        target,
        mode="r",
        options={**(options or {}), **_NUMBERED_PICTURES, **bounds, **more},
        timeout=timeout,
        metadata_errors="replace",
        hwaccel=hardware,
    )


def playlist_kind(target: str) -> str | None:
    """FFmpeg's name of the kind of playlist that the name of a local file promises; None: none."""
    return _PLAYLISTS.get(os.path.splitext(target)[1].lower()) if target.startswith("file:") else None


def _trusting(url: str) -> dict[str, str]:
    ca_file = ca_file_of(rules_of(url))
    if ca_file is None:
        raise MediaError("no certificate can be verified: this machine has no authorities; set SSL_CERT_FILE")
    return {"tls_verify": "1", "ca_file": ca_file}


def _open_web(url: str, options: dict[str, str], timeout: float | None, hardware: HWAccel | None) -> InputContainer:
    web = Web(url, timeout or _TIMEOUT_SECONDS)
    nested = _Nested(web)
    first = nested.open(web.url)
    formats = ",".join(_FORMATS | {"hls"})
    try:
        return av.open(
            first.url,  # behind redirects, which a playlist's names are relative to
            format="hls" if first.content_type in _HLS_TYPES else None,
            options={**options, **_NUMBERED_PICTURES, **_HLS_OPTIONS, "format_whitelist": formats},
            timeout=timeout,
            metadata_errors="replace",
            hwaccel=hardware,
            buffer_size=_WEB_BUFFER_BYTES,
            io_open=nested,
        )
    except Exception as error:
        nested.close()
        raise web.failure or error from None


def close_input(container: InputContainer) -> None:
    """Close ``container``, and hang up."""
    container.close()
    if isinstance(container.io_open, _Nested):
        container.io_open.close()


def raise_failure(container: InputContainer) -> None:
    """Raise the error that ended the reading of ``container``, where FFmpeg takes it for the end of the file."""
    if isinstance(container.io_open, _Nested) and container.io_open.web.failure is not None:
        raise container.io_open.web.failure


class _Nested:
    """Opens what FFmpeg asks for: the source itself first, then what a playlist names."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self._first: list[WebFile] = []  # until FFmpeg asks for it
        self._playlists: dict[str, str] = {}  # behind redirects, by the address that FFmpeg asked for
        self._files: WeakSet[WebFile] = WeakSet()

    def open(self, url: str) -> WebFile:
        """The source itself."""
        file = WebFile(self.web, url)
        self._first.append(file)
        self._files.add(file)
        return file

    def close(self) -> None:
        """Hang up; FFmpeg does not close what it opened first."""
        for file in list(self._files):
            file.close()

    def __call__(self, url: str, flags: int, options: dict[str, str]) -> Any:
        """The opened file ``url``."""
        if flags & _WRITES:
            raise MediaError("nothing is written")
        if self._first:
            return self._first.pop()
        asked = url.removeprefix("crypto+").removeprefix("crypto:")
        inner = self._moved(asked)
        end = options.get("end_offset")
        try:
            file = WebFile(self.web, inner, int(options.get("offset", 0)), None if end is None else int(end))
        except StatusError:  # a lost segment; the next one may be there
            return io.BytesIO()
        self._files.add(file)
        if file.url != asked and (file.content_type in _HLS_TYPES or urlsplit(file.url).path.endswith(".m3u8")):
            self._playlists[asked] = file.url
        return file if asked == url else _decrypted(file, options)

    def _moved(self, url: str) -> str:
        """Where ``url`` is, which FFmpeg made of a name in a playlist and not of the address that it was led to."""
        for asked, found in self._playlists.items():
            folder = urljoin(asked, ".")
            if url not in self._playlists and url.startswith(folder):
                return urljoin(found, ".") + url.removeprefix(folder)
        return url


def _decrypted(file: WebFile, options: dict[str, str]) -> BinaryIO:
    """The bytes of a segment that is encrypted with AES-128, by FFmpeg."""
    with os.fdopen(os.memfd_create("segment"), "w+b") as sealed:
        while data := file.read(_WEB_BUFFER_BYTES):
            sealed.write(data)
            if sealed.tell() > _MOST_ENCRYPTED_BYTES:
                raise MediaError(f"an encrypted segment is above the limit of {_MOST_ENCRYPTED_BYTES} bytes")
        file.close()
        sealed.flush()
        key = {"key": options.get("key", ""), "iv": options.get("iv", ""), "protocol_whitelist": "crypto,file"}
        name = f"crypto:file:/proc/self/fd/{sealed.fileno()}"
        with av.open(name, format="data", options=key) as container:
            return io.BytesIO(b"".join(bytes(packet) for packet in container.demux()))
