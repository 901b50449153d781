"""Finished lines with the final characters, in a file of their own: the lines of the checkpoint stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from acfd_stream.characters import Character
from acfd_stream.files import writing
from acfd_stream.outputs.settle import settled_lines
from acfd_stream.recording.lines import Lines

_PIECE_BYTES = 2**20


def settle(found: Path, lines: Lines, characters: Sequence[Character]) -> None:
    """Fill ``lines`` with those of ``found``, which then have the final ``characters``; nothing else differs.

    Raises:
        OutputError: a file cannot be read or written.
    """
    lines.truncate(0)
    with writing(found), open(found, "rb") as file:
        while piece := file.readlines(_PIECE_BYTES):
            lines.append(b"".join(settled_lines(piece, characters)))
    lines.sync()
