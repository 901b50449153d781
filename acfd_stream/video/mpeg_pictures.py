"""Tells which packets of MPEG-1 and MPEG-2 video lose their picture, which FFmpeg's decoder does not say.

Source of the headers: ISO/IEC 13818-2, 6.2.3 and 6.2.3.1.
"""

from __future__ import annotations

from collections.abc import Sequence

from av import VideoFrame
from av.packet import Packet
from av.video.stream import VideoStream

MPEG_VIDEO = ("mpeg1video", "mpeg2video")
"""FFmpeg's names of the decoders."""

SEQUENCE_END = b"\0\0\1\xb7"
"""A packet of this makes FFmpeg's decoder give the picture that it holds."""

_PICTURE = b"\0\0\1\0"
_SEQUENCE = b"\0\0\1\xb3"
_EXTENSION = b"\0\0\1\xb5"
_CODING_EXTENSION, _FRAME_STRUCTURE = 8, 3
_I, _B = 1, 3


class PictureWatch:
    """Compares each packet with what the decoder gave for it: a picture, its own or the reference before it.

    None comes of those before the first I picture, of that one, of B pictures behind it that lack their other
    reference, and of second fields.
    """

    def __init__(self) -> None:
        self._has_begun = self._has_shown = False
        self._size: bytes | None = None  # 12 bits each
        self._is_resized = False  # at the next packet

    def resizes(self, packet: Packet[VideoStream]) -> bool:
        """Whether ``packet`` begins a sequence of another size, where the decoder drops the picture that it holds."""
        data = bytes(packet) if packet.is_keyframe else b""
        if not data.startswith(_SEQUENCE):
            return False
        before, self._size = self._size, data[4:7]
        self._is_resized = before not in (None, self._size)
        return self._is_resized

    def is_lost(self, packet: Packet[VideoStream], frames: Sequence[VideoFrame]) -> bool:
        """Whether the picture of ``packet`` is lost."""
        if self._is_resized:
            self._has_begun, self._has_shown, self._is_resized = True, False, False
            return False
        if frames:
            self._has_shown = True
            return False
        data = bytes(packet)
        at = data.find(_PICTURE)
        if at < 0:
            return not data.startswith(_PICTURE[:3])  # else only headers
        kind = _kind(data, at)
        is_optional = not self._has_begun or kind == _B
        self._has_begun |= kind == _I
        return not _is_field(data, at) and (self._has_shown or not is_optional)


def display_order(packet: Packet[VideoStream]) -> int:
    """The place of the packet's picture in the display order of its group; -1 if the packet has no picture."""
    data = bytes(packet)
    at = data.find(_PICTURE)
    return -1 if at < 0 or len(data) < at + 6 else data[at + 4] << 2 | data[at + 5] >> 6


def _kind(data: bytes, picture: int) -> int:
    return data[picture + 5] >> 3 & 7 if len(data) > picture + 5 else 0


def _is_field(data: bytes, picture: int) -> bool:
    at = data.find(_EXTENSION, picture)
    is_known = 0 <= at < len(data) - 6 and data[at + 4] >> 4 == _CODING_EXTENSION
    return is_known and data[at + 6] & 3 != _FRAME_STRUCTURE
