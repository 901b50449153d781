"""The views file of a recording: written while tracks end, and finished when the characters are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from acfd_stream.characters import Character
from acfd_stream.files import writing
from acfd_stream.identity.views_file import StoredView, finished_lines, view_line
from acfd_stream.outputs import ResultFile
from acfd_stream.types import FrameResult

if TYPE_CHECKING:
    from acfd_stream.identity.views import TrackView


def view_lines(views: Iterable[TrackView]) -> bytes:
    """The lines of views that belong to no character yet."""
    return b"".join(
        view_line(StoredView(view.track_id, 0, view.frame_index, view.seconds, view.quality, view.embedding, view.jpeg))
        for view in views
    )


def write_views(found: Path, target: Path, results: ResultFile) -> None:
    """Write the finished views file of ``results``.

    Args:
        found: what was written while the video was tracked.
        target: the new file.
        results: with their final characters.

    Raises:
        MediaError: the results cannot be read.
        OutputError: a file cannot be read or written.
    """
    together = characters_together(results)
    with writing(target), open(found, "rb") as lines, open(target, "wb") as file:
        file.writelines(finished_lines(lines, character_of_track(results.end.characters), together))


def character_of_track(characters: Sequence[Character]) -> dict[int, int]:
    """Track → number of its character."""
    return {track: character.number for character in characters for track in character.tracks}


def characters_together(results: Iterable[FrameResult]) -> set[tuple[int, int]]:
    """Pairs of characters that are in one frame, the lower number first."""
    return {pair for result in results for pair in _pairs(result)}


def _pairs(result: FrameResult) -> Iterator[tuple[int, int]]:
    return combinations(sorted({face.character for face in result.faces if face.character}), 2)
