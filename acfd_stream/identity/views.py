"""The best views of a track: pictures of its face, and their embeddings."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from acfd_stream import stored
from acfd_stream.types import FloatArray

CROP_SIDE = 144
"""Height and width of a crop, pixels."""
MOST_DIMENSIONS = 4096
"""Most numbers of an embedding."""
MOST_JPEG_BYTES = 2**17
"""Above the size of every JPEG of a crop, which has 62,208 bytes of pixels."""
_MOST_QUALITY = 1.0
_JPEG_QUALITY = 90

EmbeddingArray = NDArray[np.float16]


class _View(Protocol):
    """What counts of a view for the mean of its track."""

    @property
    def quality(self) -> float: ...
    @property
    def embedding(self) -> EmbeddingArray: ...


@dataclass(frozen=True, slots=True, eq=False)
class TrackView:
    """One view of a track."""

    track_id: int  # 0: not known yet
    frame_index: int
    seconds: float  # of the frame
    quality: float  # in [0, 1]
    embedding: EmbeddingArray  # [D], of unit length up to rounding
    jpeg: bytes = b""  # of the crop, 144×144; b"": it was not kept

    @property
    def crop(self) -> NDArray[np.uint8]:
        """uint8 [144, 144, 3] RGB, decoded from ``jpeg``."""
        from PIL import Image

        with Image.open(io.BytesIO(self.jpeg)) as picture:
            return np.asarray(picture.convert("RGB"))

    def values(self) -> list[Any]:
        """The view for JSON."""
        embedding, jpeg = packed_embedding(self.embedding), base64.b64encode(self.jpeg).decode("ascii")
        return [self.track_id, self.frame_index, self.seconds, self.quality, embedding, jpeg]

    @classmethod
    def from_values(cls, values: Any) -> TrackView:
        """The view that ``values`` returned.

        Raises:
            ResumeError: it is damaged.
        """
        track_id, frame_index, seconds, quality, embedding, jpeg = stored.items(values, "a view", 6, 6)
        return cls(
            stored.whole(track_id, "track of a view"),
            stored.whole(frame_index, "frame of a view"),
            stored.real(seconds, "time of a view", -stored.MOST_PTS, stored.MOST_PTS),
            stored.real(quality, "quality of a view", 0.0, _MOST_QUALITY),
            restored_embedding(embedding),
            restored_jpeg(jpeg),
        )


def with_view(views: Sequence[TrackView], view: TrackView, most: int) -> tuple[TrackView, ...]:
    """``views`` and ``view``, by frame, or the best and most different ``most`` of them.

    Of the two views that are most alike, the one of lower quality goes; the later one where both are equal.
    """
    kept = [*views, view]
    if len(kept) > most:
        vectors = np.stack([each.embedding for each in kept]).astype(np.float32)
        likeness = vectors @ vectors.T
        np.fill_diagonal(likeness, -np.inf)
        first, second = divmod(int(likeness.argmax()), len(kept))
        del kept[first if kept[first].quality < kept[second].quality else second]
    return tuple(kept)


def mean_of(views: Sequence[_View]) -> tuple[EmbeddingArray, float]:
    """The mean of embeddings by quality, float16 [D], and the sum of their qualities.

    The mean is shorter than 1 where the views differ. The product of the means of two tracks is the mean cosine of
    their views.
    """
    weights = np.array([max(view.quality, 1e-3) for view in views])
    vectors = np.stack([view.embedding for view in views]).astype(np.float64)
    total = float(weights.sum())
    return ((weights[:, None] * vectors).sum(axis=0) / total).astype(np.float16), total


def look_of(means: Iterable[tuple[EmbeddingArray, float]]) -> FloatArray:
    """The mean of all views of some tracks by quality, float32 [1, D], unit length.

    Args:
        means: ``mean_of`` the views of each track, in an order that does not vary.
    """
    total = np.sum([weight * mean.astype(np.float64) for mean, weight in means], axis=0)
    return np.asarray(total / max(float(np.linalg.norm(total)), 1e-9), np.float32)[None]


def jpeg_of(crop: NDArray[np.uint8]) -> bytes:
    """A JPEG of a crop, uint8 [144, 144, 3] RGB, with colour in full resolution."""
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(crop).save(target, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return target.getvalue()


def packed_embedding(embedding: EmbeddingArray) -> str:
    """Base64 of the numbers as little-endian float16."""
    return base64.b64encode(embedding.astype("<f2").tobytes()).decode("ascii")


def restored_embedding(value: Any) -> EmbeddingArray:
    """The embedding that ``packed_embedding`` was given: float16 [D], finite and of unit length up to rounding.

    Raises:
        ResumeError: it is damaged.
    """
    packed = stored.text(value, "an embedding", MOST_DIMENSIONS * 3)
    data = stored.data(packed, "an embedding", len(packed) // 4 * 3 - packed[-2:].count("="))
    if len(data) % 2:
        stored.damaged("an embedding", len(data), "an even number of bytes")
    embedding = np.frombuffer(data, "<f2").astype(np.float16)
    if not np.isfinite(embedding).all():
        stored.damaged("an embedding", "others", "finite numbers")
    return embedding


def restored_jpeg(value: Any) -> bytes:
    """The bytes of a JPEG from base64.

    Raises:
        ResumeError: they are damaged.
    """
    packed = stored.text(value, "a crop", MOST_JPEG_BYTES * 4 // 3)
    return stored.data(packed, "a crop", len(packed) // 4 * 3 - packed[-2:].count("="))
