"""Whether a file is a result of this program, by its content: a command replaces such a file, and asks for any other.

Every format says in its first or last bytes what it is. A file that is cut off is recognised by its first bytes, where
its format has them.
"""

from __future__ import annotations

import json
import os
import re
import stat
import struct
from collections.abc import Callable
from pathlib import Path

from acfd_stream.errors import ConfigError
from acfd_stream.files import OVERLAY_COMMENT, PART_SUFFIX, POSTER_COMMENT, PROXY_COMMENT

_HEAD_BYTES = _TAIL_BYTES = 64 * 1024
_MOST_FOOTER_BYTES = 2**24
_THUMBNAIL = re.compile(r"\d+\.jpg")
_COCO = b'{"licenses": [],\n"categories": [{"id": 1, "name": "face", "supercategory": "character"}],\n"videos": ['
_MOT_ROW = re.compile(rb"\d+,\d+(,-?\d+\.\d\d){4},\d\.\d{4},-1,-1,-1")
_CSV = re.compile(rb"frame,time,shot,track_id,x1,y1,x2,y2,score,state(,\w+)*,reused\n")
_SUBTITLE = re.compile(rb"\d+\n\d\d+:\d\d:\d\d,\d{3} --> \d\d+:\d\d:\d\d,\d{3}\n([^\n]+)")
_NUMBERED = re.compile(rb"(face|character) \d+")
_PAGE = (
    b"<!doctype html>\n",
    b'http-equiv="Content-Security-Policy" content="default-src ',
    " · face tracks</title>".encode(),
)


def is_result(path: str | Path) -> bool:
    """Whether the regular file at ``path`` is a whole result of this program, or empty; False if it cannot be read."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            head = file.read(_HEAD_BYTES)
            file.seek(max(0, size - _TAIL_BYTES))
            tail = file.read()
            if tail.endswith(b"PAR1") and size > 12:
                footer = min(struct.unpack("<I", tail[-8:-4])[0] + 8, _MOST_FOOTER_BYTES)
                file.seek(max(0, size - footer))
                return head.startswith(b"PAR1") and b"acfd_stream.header" in file.read()
    except OSError:
        return False
    is_mp4 = head[4:8] == b"ftyp" and any(sign.encode() in tail for sign in (OVERLAY_COMMENT, PROXY_COMMENT))
    return not head or is_mp4 or any(fits(head) for fits in _HEADS)


def is_unfinished_result(path: str | Path) -> bool:
    """Whether the file at ``path`` is a result of this program that a kill or a full disk may have cut off."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return False
    return is_result(path) or head == b"PAR1" or _is_unfinished_mp4(head)


def is_thumbnails(folder: str | Path) -> bool:
    """Whether all that a folder has are files with names of thumbnails."""
    try:
        return all(
            _THUMBNAIL.fullmatch(entry.name) is not None and entry.is_file(follow_symlinks=False)
            for entry in os.scandir(folder)
        )
    except OSError:
        return False


def require_replaceable(
    option: str,
    path: str | Path,
    *,
    overwrites: bool = False,
    is_ours: Callable[[str | Path], bool] = is_result,
) -> None:
    """Refuse to write results over a file that is no result, or over one of its kind with ``.part`` behind its name.

    Args:
        option: what the message calls the path.
        path: where results will be written; a pipe or a device passes.
        overwrites: the caller wants to replace whatever is there.
        is_ours: tells what may be replaced from all else.

    Raises:
        ConfigError: the file is there and must be kept.
    """
    part = f"{os.path.realpath(path)}{PART_SUFFIX}"
    if os.path.islink(part):
        raise ConfigError(f"{option} {path} needs the name {part}, which is a link; remove it or choose another path")
    for name, fits in ((path, is_ours), (part, is_unfinished_result)):
        try:
            is_file = stat.S_ISREG(os.stat(name).st_mode)
        except (OSError, ValueError):
            continue  # nothing is there, or the writer says what is wrong
        if is_file and not overwrites and not fits(name):
            raise ConfigError(
                f"{option} {path} would replace {name}, which is no result of this program; "
                "choose another path, or add --overwrite"
            )


def _is_jsonl(head: bytes) -> bool:
    line, newline, _ = head.partition(b"\n")
    if not newline or not line.startswith(b'{"type": "header", "version": '):
        return False
    try:
        values = json.loads(line)
    except ValueError:
        return False
    return bool({"source", "time_base", "model", "settings"} <= values.keys())


def _is_vtt(head: bytes) -> bool:
    return head.startswith(b'WEBVTT\n\nNOTE\n{"type": "header", "version": ')


def _is_coco(head: bytes) -> bool:
    return head.startswith(_COCO)


def _is_views(head: bytes) -> bool:
    return head.startswith(b'{"type": "views", "version": ')


def _is_mot(head: bytes) -> bool:
    rows = head.split(b"\n")[:-1]  # the last one is empty, or cut off by the size of the head
    return bool(rows) and all(_MOT_ROW.fullmatch(row) for row in rows)


def _is_csv(head: bytes) -> bool:
    return _CSV.match(head) is not None


def _is_srt(head: bytes) -> bool:
    subtitles = head.split(b"\n\n")[:-1]  # the last one is empty, or cut off by the size of the head
    found = [_SUBTITLE.fullmatch(subtitle) for subtitle in subtitles]
    # Any subtitles may be names alone, so one text must be a number of ours.
    return all(found) and any(each is not None and _NUMBERED.fullmatch(each[1]) for each in found)


def _is_poster(head: bytes) -> bool:
    return head.startswith(b"\xff\xd8\xff\xfe") and head[6:].startswith(POSTER_COMMENT.encode())


def _is_page(head: bytes) -> bool:
    return head.startswith(_PAGE[0]) and all(sign in head for sign in _PAGE)


def _is_unfinished_mp4(head: bytes) -> bool:
    """Whether FFmpeg began an MP4 and did not come to write how much data it has."""
    if head[4:8] != b"ftyp":
        return False
    begin = struct.unpack(">I", head[:4])[0]
    return head[begin : begin + 16] == b"\0\0\0\x08free\0\0\0\0mdat"


_HEADS: tuple[Callable[[bytes], bool], ...] = (
    *(_is_jsonl, _is_views, _is_csv, _is_vtt, _is_srt, _is_coco, _is_mot),
    *(_is_poster, _is_page),
)
