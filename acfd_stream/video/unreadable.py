"""Says what a source is that cannot be read as a video, and what to do about it."""

from __future__ import annotations

import os
import re

from acfd_stream.animation import is_animated
from acfd_stream.video import encryption
from acfd_stream.video.gate import playlist_kind
from acfd_stream.video.peek import FETCHED_BYTES, Peek

_ARCHIVES = {
    b"PK\3\4": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"Rar!\x1a\7": "a RAR archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\0": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
}
_JPEG_XL = (b"\xff\x0a", b"\0\0\0\x0cJXL ")
_TAR, _TAR_AT = b"ustar", 257
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_TORRENT = re.compile(rb"d\d+:[a-z -]+")
_UNFINISHED = (".part", ".crdownload", ".download", ".partial", ".!ut", ".!qb", ".aria2")
_TEXT_BYTES = 1024
_CONTROLS = set(range(32)) - set(b"\t\n\f\r\x1b")
_MOST_VARIANTS = 8


def explanation(peek: Peek, name: str, stream_id: int | None, error: str) -> str:
    """``error`` of the source ``name``, or a better one by what its first bytes say."""
    peek.fetch()
    head = peek.at(0, FETCHED_BYTES)
    if peek.is_stream and not head:
        return f"{name}: is empty (0 bytes); copy or download it again"
    kind = encryption.encryption_of(peek, stream_id)
    if kind is None and head.lstrip(b"\xef\xbb\xbf").startswith(b"#EXTM3U"):
        kind = _encryption_of_playlists(peek, head)
    if kind is not None:
        return encryption.message(name, kind)
    what = _nature(head, peek) or _state(head, name)
    return error if what is None else f"{name}: {what}"


def _nature(head: bytes, peek: Peek) -> str | None:
    """What the bytes are, if not a video."""
    if head.startswith(b"RIFF") and is_animated(head):
        return "is an animated WebP, which cannot be read; convert it to MP4, APNG or GIF first"
    if head.startswith(_JPEG_XL):
        return "is a JPEG XL picture, which cannot be read; convert it to PNG or MP4 first"
    archive = next((words for mark, words in _ARCHIVES.items() if head.startswith(mark)), None)
    if archive is not None or head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return f"is {archive or 'a tar archive'}, not a video; unpack it and give the video in it"
    if head.startswith(b"%PDF"):
        return "is a PDF, not a video"
    text = head.lstrip(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"#EXTM3U") or text.startswith(b"ffconcat"):
        return _of_playlist(text, peek)
    if b"<MPD" in text[:_TEXT_BYTES]:
        return "is a DASH manifest without video that can be read; check that what it names is there"
    if _TORRENT.match(text) and b"4:info" in text:
        return "is a torrent, not a video; download what it names and give that"
    return _of_text(text[:_TEXT_BYTES])


def _of_playlist(text: bytes, peek: Peek) -> str:
    lines = [line.strip() for line in text.splitlines()]
    kind = "concat" if text.startswith(b"ffconcat") else "hls"
    if kind == "concat":
        has_entries = any(line.startswith(b"file") for line in lines)
    else:
        has_entries = any(line and not line.startswith(b"#") for line in lines)
    if not has_entries:
        return "is a playlist without an entry; give one that names videos, or a video"
    if peek.is_stream:
        return "is a playlist, whose videos are not opened from a stream of bytes; give the video itself"
    if peek.path is None and kind == "concat":
        return "is a playlist of FFmpeg, whose videos are not opened from an address; give the video itself"
    if peek.path is not None and playlist_kind(f"file:{peek.path}") != kind:
        suffix = ".ffconcat" if kind == "concat" else ".m3u8"
        return (
            f"is a text, not a video: a playlist, which is read only under a name with {suffix}; give the video itself"
        )
    return "is a playlist whose videos cannot be read; check that they are there, or give one of them"


def _of_text(text: bytes) -> str | None:
    if _HTML.match(text) or (text.startswith(b"<") and _HTML.search(text)):
        return "is a web page (HTML), not a video; download the video itself"
    if not text or _CONTROLS.intersection(text):
        return None
    return "is text, not a video that can be read; give the file or the address of the video itself"


def _state(head: bytes, name: str) -> str | None:
    """What has happened to a video whose bytes are not there."""
    if head and not any(head):
        return "is not a video: it holds only zeros; copy or download it again"
    if name.lower().endswith(_UNFINISHED):
        return "is an unfinished download that cannot be read yet; let it finish"
    return None


def _encryption_of_playlists(peek: Peek, text: bytes) -> str | None:
    """The encryption that a playlist names, or one beside it that it names."""
    kind = encryption.encryption_of_playlist(text)
    if kind is not None or peek.path is None:
        return kind
    folder = os.path.dirname(peek.path)
    names = [line.strip() for line in text.splitlines() if line.strip().endswith(b".m3u8")]
    variants = [Peek(f"file:{os.path.join(folder, os.fsdecode(each))}") for each in names[:_MOST_VARIANTS]]
    kinds = (encryption.encryption_of_playlist(each.at(0, FETCHED_BYTES)) for each in variants)
    return next((kind for kind in kinds if kind is not None), None)
