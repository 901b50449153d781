"""What reaches a terminal or a log line of a text that somebody else chose."""

from __future__ import annotations

import json

import pytest

from acfd_stream.printable import escaped, is_printable, printable

COMMANDS = ["\x1b[31m", "\x07", "\x7f", "\x9b31m", "\u202e", "\u2066", "\udcff", "\n", "\r", "\u2028"]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_is_left_and_every_value_is_kept(command: str) -> None:
    name = f"あ é{command}.mkv"
    assert printable(name) == f"あ é{''.join('?' if not sign.isprintable() else sign for sign in command)}.mkv"
    line = escaped(json.dumps({"name": name}, ensure_ascii=False))
    assert line.isprintable()
    assert json.loads(line) == {"name": name}


def test_ordinary_text_stays_as_it_is() -> None:
    assert printable("第1話 – “é”.mkv") == escaped("第1話 – “é”.mkv") == "第1話 – “é”.mkv"


def test_joiners_and_spaces_stay() -> None:
    text = "👩\u200d🚀 می\u200cخواهم क्\u200dष a\u00a0b\u3000c"
    assert is_printable(text)
    assert printable(text) == text
    assert not any(map(is_printable, COMMANDS))
