"""Text for terminals and logs: names of files, videos and callers may hold characters that command a terminal."""

from __future__ import annotations

import re

_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """``text`` with "?" for each character that Unicode calls not printable: controls, bidi marks, bytes of no text."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else "?" for sign in text)


def escaped(json_text: str) -> str:
    """A line of JSON with escapes for all that commands a terminal or turns text round; its values stay the same."""
    if json_text.isprintable():
        return json_text
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text)
