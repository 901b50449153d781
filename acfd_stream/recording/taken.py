"""Lines of an equal video: results of the same content and settings become those of another name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from acfd_stream.outputs import read_results
from acfd_stream.outputs.jsonl import header_values, json_line
from acfd_stream.recording.lines import Lines

_PIECE_BYTES = 2**20


def take_lines(results: Path, lines: Lines, source: str) -> None:
    """Fill ``lines`` with finished ``results``, whose header names ``source`` from now on: nothing else differs.

    Raises:
        MediaError: the results cannot be read.
        OutputError: the lines cannot be written.
    """
    header = replace(read_results(results).header, source=source)
    lines.truncate(0)
    lines.append(json_line(header_values(header)))
    with open(results, "rb") as file:
        file.readline()
        while piece := file.readlines(_PIECE_BYTES):
            lines.append(b"".join(piece))
    lines.sync()
