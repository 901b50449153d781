"""Embeds the pictures of a cast anew, for another embedding network."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from acfd_stream.identity.cast.adding import set_model
from acfd_stream.identity.cast.database import CastDatabase
from acfd_stream.identity.views import CROP_SIDE
from acfd_stream.identity.views_file import ViewsHeader

if TYPE_CHECKING:
    from acfd_stream.identity.embedder import Embedder

_BATCH = 32
_ERRORS = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def rebuild(database: CastDatabase, embedder: Embedder) -> int:
    """Embed all crops of a cast with ``embedder``, inside one change.

    Returns:
        How many views had no picture that can be decoded; they are dropped.

    Raises:
        RunnerError: the network failed.
    """
    numbers = [number for (number,) in database.rows("SELECT id FROM views ORDER BY id")]
    dropped, dimensions = 0, 0
    for begin in range(0, len(numbers), _BATCH):
        crops: dict[int, NDArray[np.uint8]] = {}
        for number in numbers[begin : begin + _BATCH]:
            crop = _decoded(database.value("SELECT crop FROM views WHERE id = ?", number))
            if crop is None:
                database.run("DELETE FROM views WHERE id = ?", number)
                dropped += 1
            else:
                crops[number] = crop
        if not crops:
            continue
        embeddings = embedder.embed(np.stack(list(crops.values())))
        dimensions = embeddings.shape[1]
        for number, embedding in zip(crops, embeddings, strict=True):
            database.run("UPDATE views SET embedding = ? WHERE id = ?", embedding.astype("<f2").tobytes(), number)
    header = ViewsHeader(embedder.name, embedder.version, embedder.digest, embedder.link_similarity)
    set_model(database, header, dimensions)
    return dropped


def _decoded(jpeg: bytes) -> NDArray[np.uint8] | None:
    """The crop in a JPEG, uint8 [144, 144, 3] RGB; None: it is none."""
    try:
        with Image.open(BytesIO(jpeg), formats=["JPEG"]) as picture:
            if picture.size != (CROP_SIDE, CROP_SIDE):
                return None
            return np.asarray(picture.convert("RGB"))
    except _ERRORS:
        return None
