"""Made-up videos for casts: each identity is a seeded direction, and its views scatter round it."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from acfd_stream.identity.views_file import StoredView, ViewsHeader, end_line, header_line, view_line

DIMENSIONS = 64
SCATTER = 0.5  # length of the noise beside a direction of length 1: two views of one identity have cosines near 0.8
HEADER = ViewsHeader("acfd-id", "1", "ab" * 32, 0.5)


def looks(identity: int, count: int = 5, *, seed: int = 0, scatter: float = SCATTER) -> NDArray[np.float32]:
    """``count`` embeddings of one identity, float32 [count, D], unit length, as float16 holds them."""
    center = np.random.default_rng(identity).normal(size=DIMENSIONS)
    noise = np.random.default_rng([identity, seed]).normal(size=(count, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    views = center / np.linalg.norm(center) + scatter * noise
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    return views.astype(np.float16).astype(np.float32)


def crop_of(identity: int) -> bytes:
    """A JPEG of 144×144 in the identity's own colour."""
    color = np.random.default_rng(identity).integers(0, 256, 3, np.uint8)
    data = io.BytesIO()
    Image.fromarray(np.broadcast_to(color, (144, 144, 3)).copy()).save(data, "JPEG")
    return data.getvalue()


def write_views(
    path: Path,
    identities: Sequence[int],
    *,
    together: Collection[tuple[int, int]] = (),
    seed: int = 0,
    count: int = 5,
    header: ViewsHeader = HEADER,
    tracks: Sequence[int] | None = None,
) -> Path:
    """A finished views file whose characters 1, 2, … are these identities, with a track each; returns ``path``."""
    lines = [header_line(header)]
    own_tracks = range(1, len(identities) + 1) if tracks is None else tracks
    for character, (identity, track) in enumerate(zip(identities, own_tracks, strict=True), start=1):
        for number, embedding in enumerate(looks(identity, count, seed=seed)):
            quality = 0.5 + number / 100
            half = embedding.astype(np.float16)
            lines.append(view_line(StoredView(track, character, number, number / 24, quality, half, crop_of(identity))))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join([*lines, end_line(together)]))
    return path
