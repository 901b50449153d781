"""The views that a cast keeps of its members: few, good and unlike each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acfd_stream.types import FloatArray

if TYPE_CHECKING:
    from acfd_stream.identity.cast.database import CastDatabase

MOST_VIEWS = 16
"""Of one member."""
_COLUMNS = "views.id, member, sources.path, character, track, frame, time, quality, embedding"


@dataclass(frozen=True, eq=False)
class CastView:
    """One picture of a member."""

    number: int  # never used again
    member: int
    source: str  # path of the views file that it came from, relative to the folder of the cast
    character: int  # in this source
    track: int
    frame: int
    time: float  # seconds
    quality: float  # in [0, 1]
    embedding: FloatArray  # float32 [D], unit length
    crop: bytes = b""  # JPEG of 144×144; empty where it was not asked for


def views_of(database: CastDatabase, members: Iterable[int], *, with_crops: bool = False) -> list[CastView]:
    """The views of members, by rising member, then in the order in which the cast got them."""
    columns = _COLUMNS + (", crop" if with_crops else "")
    marks = ", ".join(str(int(member)) for member in members)
    query = (
        f"SELECT {columns} FROM views JOIN sources ON sources.id = views.source"
        f" WHERE member IN ({marks}) ORDER BY member, views.id"
    )
    return [_view(row) for row in database.rows(query)]


def prune(database: CastDatabase, member: int) -> None:
    """Drop views of a member until it has no more than ``MOST_VIEWS``."""
    views = views_of(database, [member])
    if len(views) <= MOST_VIEWS:
        return
    kept = best_views(np.stack([view.embedding for view in views]), [view.quality for view in views], MOST_VIEWS)
    for number, view in enumerate(views):
        if number not in kept:
            database.run("DELETE FROM views WHERE id = ?", view.number)


def best_views(embeddings: FloatArray, qualities: Sequence[float], most: int) -> set[int]:
    """The indices of at most ``most`` views that are good and unlike each other.

    The first is the best one. Each next one has the largest product of its quality and its distance to those before.

    Args:
        embeddings: [V, D], unit length.
        qualities: in [0, 1], as many.
        most: >= 1.
    """
    weights = np.maximum(np.asarray(qualities, np.float64), 1e-3)
    nearest = np.full(len(weights), -1.0)  # the highest cosine to a view that was taken
    taken: list[int] = []
    while len(taken) < min(most, len(weights)):
        gains = weights * (1.0 - nearest + 1e-6)  # equal pictures differ by their quality
        gains[taken] = -1.0
        taken.append(int(np.argmax(gains)))
        nearest = np.maximum(nearest, np.round(embeddings @ embeddings[taken[-1]], 6))
    return set(taken)


def _view(row: tuple[object, ...]) -> CastView:
    number, member, source, character, track, frame, time, quality, embedding, *crop = row
    values = np.frombuffer(embedding, "<f2").astype(np.float32)  # type: ignore[call-overload]
    return CastView(number, member, source, character, track, frame, time, quality, values, *crop)  # type: ignore[arg-type]
