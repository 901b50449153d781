"""Heads of the elements of EBML, the format of Matroska and WebM. Source: RFC 8794, 4 and 5; RFC 9559, 5."""

from __future__ import annotations

from typing import NamedTuple

SIGNATURE = b"\x1a\x45\xdf\xa3"
"""The first bytes of a file."""
EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
"""Ids of elements of the top levels."""
LONGEST_HEAD = 12
"""Bytes."""
_LONGEST_ID = 4


class ElementHead(NamedTuple):
    """The head of an element."""

    id: int
    size: int | None  # of the content, bytes; None: it reaches to the end of what it lies in
    length: int  # of the head, bytes


def element_head(data: bytes, place: int = 0) -> ElementHead | None:
    """The head at ``place``; None: there is none, or not all of it."""
    body = place + _width(data, place)
    end = body + _width(data, body)
    if not place < body <= place + _LONGEST_ID or not body < end <= len(data):
        return None
    unknown = (1 << 7 * (end - body)) - 1
    size = int.from_bytes(data[body:end], "big") & unknown
    return ElementHead(int.from_bytes(data[place:body], "big"), None if size == unknown else size, end - place)


def _width(data: bytes, place: int) -> int:
    """Bytes of the variable-size integer at ``place``; 0: there is none."""
    return 9 - data[place].bit_length() if place < len(data) and data[place] else 0
