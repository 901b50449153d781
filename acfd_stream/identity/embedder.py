"""Crops of faces to embeddings."""

from __future__ import annotations

from acfd_stream.types import Closeable


class FaceEmbedder(Closeable):
    """Embeds crops of faces with one network."""

    def close(self) -> None:
        """Free the network; a second call does nothing."""
