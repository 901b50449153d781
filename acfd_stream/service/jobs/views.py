"""The views file of a job that is done: the views that it kept, with the characters that its results end with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from fractions import Fraction

from acfd_stream.characters import Character
from acfd_stream.outputs.jsonl import characters_of, frame_of
from acfd_stream.recording.lines import Lines
from acfd_stream.recording.views import TracksTogether
from acfd_stream.service.jobs.results import ResultsDamaged

PIECE_BYTES = 64 * 2**10
"""Lines that are read at once, and sent in a message; one line may be larger."""
_ANY_TIME_BASE = Fraction(1)


def finished_views(results: Lines, views: Lines) -> Iterator[bytes]:
    """The finished file in pieces of whole lines; ``track --views`` writes the same.

    Args:
        results: the lines of the job, with their closing line.
        views: what the job wrote while it ran.

    Raises:
        ResultsDamaged: the lines are not those that were written.
        StoreTrouble: they cannot be read now.
    """
    together, characters = TracksTogether(), tuple[Character, ...]()
    try:
        for values in map(json.loads, _lines_of(results)):
            if values["type"] == "frame":
                together.count(frame_of(values, _ANY_TIME_BASE))
            elif values["type"] == "end":
                characters = characters_of(values)
        yield from _joined(together.finished(_lines_of(views), characters))
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # of lines without digests
        raise ResultsDamaged(f"the views are damaged: {error}") from error


def _lines_of(lines: Lines) -> Iterator[bytes]:
    offset = 0
    while True:
        begin, page = lines.read(offset, PIECE_BYTES)
        if not page:
            return
        yield from page.splitlines(keepends=True)
        offset = begin + len(page)


def _joined(lines: Iterable[bytes]) -> Iterator[bytes]:
    piece = bytearray()
    for line in lines:
        piece += line
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
