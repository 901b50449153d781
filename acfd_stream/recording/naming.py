"""Names of a cast for the characters of one video, by the views of their tracks.

The views are those of the views file. So the cast, which is built from this file, finds what the results say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from acfd_stream.characters import Character
from acfd_stream.identity.cast.cast import Cast
from acfd_stream.identity.cast.matching import CastMatcher
from acfd_stream.identity.views_file import read_views
from acfd_stream.outputs import read_results
from acfd_stream.recording.views import TracksTogether, character_of_tracks
from acfd_stream.types import FrameResult

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Namer:
    """Collects what it takes to know the members of a cast in one video; it keeps embeddings, no pictures.

    Args:
        matcher: of the cast.
    """

    def __init__(self, matcher: CastMatcher) -> None:
        self._matcher = matcher
        self._views: list[tuple[int, NDArray[np.float16]]] = []
        self._together = TracksTogether()

    def take(self, track: int, embedding: NDArray[np.float16]) -> None:
        """Enter a view of a track."""
        self._views.append((track, embedding))

    def count(self, result: FrameResult) -> None:
        """Enter a frame."""
        self._together.count(result)

    def named(self, characters: Iterable[Character]) -> tuple[Character, ...]:
        """The characters of the finished video with the names that the cast has for them."""
        characters = tuple(characters)
        of_track = character_of_tracks(characters)
        looks: dict[int, list[NDArray[np.float16]]] = {}
        for track, embedding in self._views:
            if track in of_track:
                looks.setdefault(of_track[track], []).append(embedding)
        stacked = {number: np.stack(views).astype(np.float32) for number, views in looks.items()}
        found = self._matcher.assign(stacked, self._together.between(characters))
        names = {number: match.name for number, match in found.items()}
        return tuple(replace(each, name=names.get(each.number, "")) for each in characters)


def named_from_files(
    cast: Path, found_views: Path, results: Path, characters: Sequence[Character]
) -> tuple[Character, ...]:
    """The characters of a recording with the names that a cast has for them.

    Args:
        cast: the file of the cast.
        found_views: what was written while the video was tracked.
        results: the recording's JSON lines with their closing line.
        characters: of the whole video.

    Raises:
        CastError: the cast is damaged, or has embeddings of another network.
        MediaError: a file cannot be read.
    """
    if not characters or not found_views.stat().st_size:
        return tuple(characters)
    views = read_views(found_views, with_crops=False, is_finished=False)
    namer = Namer(Cast.matcher_for(cast, views.header.digest))
    for view in views.views:
        namer.take(view.track, view.embedding)
    for result in read_results(results):
        namer.count(result)
    return namer.named(characters)
