"""Text for terminals and logs: names of files, videos and callers may hold characters that command a terminal."""

from __future__ import annotations

import re
import unicodedata

JOINERS = "\u200c\u200d"
"""They join or part the signs beside them, as in emoji and in Persian and Indic words, and are not seen themselves."""
_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def is_printable(text: str) -> bool:
    """Whether all of ``text`` is printable: also each kind of space, and the joiners of emoji and of many scripts."""
    return text.isprintable() or all(map(_is_printable, text))


def printable(text: str) -> str:
    """``text`` with "?" for each character that is not printable: controls, bidi marks, bytes of no text."""
    return text if text.isprintable() else "".join(sign if _is_printable(sign) else "?" for sign in text)


def _is_printable(sign: str) -> bool:
    return sign.isprintable() or sign in JOINERS or unicodedata.category(sign) == "Zs"


def escaped(json_text: str) -> str:
    """A line of JSON with escapes for all that commands a terminal or turns text round; its values stay the same."""
    if json_text.isprintable():
        return json_text
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text)
