"""The network that recognises characters and the cast that names them, for all streams and jobs of a server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acfd_stream.identity.cast.cast import Cast
from acfd_stream.identity.cast.matching import CastMatcher
from acfd_stream.identity.embedder import FaceEmbedder
from acfd_stream.identity.spec import find_embedder, read_embedder_spec
from acfd_stream.metrics import Metrics
from acfd_stream.networks.precision import digest
from acfd_stream.service.access.file_watch import FileWatch
from acfd_stream.service.model_messages import embedder_pb
from acfd_stream.types import Closeable, FloatArray
from acfd_stream.v1 import stream_pb2


class SharedEmbedder(Closeable):
    """Opens the network for the first stream or job that needs it, and keeps it for the others. Thread-safe.

    Args:
        model: a shipped network's name or the path of an ONNX file.
        metrics: where embedded faces are counted.
        cast: file of the cast, which is read again when it changes; None: there is none.

    Raises:
        CastError: the cast is damaged, no cast, or has embeddings of another network.
        ConfigError: there is no such cast.
        RunnerError: there is no such network, or its file is refused.
    """

    def __init__(self, model: str, metrics: Metrics, cast: Path | None = None) -> None:
        path = find_embedder(model)
        self._spec = read_embedder_spec(path)
        self._cast: FileWatch[CastMatcher] | None = None
        if cast is not None:
            network = f"{self._spec.name} {self._spec.version}"
            read = partial(Cast.matcher_for, cast, digest(path), network)
            self._cast = FileWatch("members of the cast", [cast], read)
        self._model, self._count = model, metrics.embedded.inc
        self._opening = threading.Lock()
        self._embedder: _CountingEmbedder | None = None

    def open(self) -> FaceEmbedder:
        """The network, which stays open until ``close``.

        Raises:
            BackendUnavailable: OpenVINO is not installed.
            RunnerError: the network cannot be loaded.
        """
        with self._opening:
            if self._embedder is None:
                self._embedder = _CountingEmbedder.open(self._model)
                self._embedder.count = self._count
            return self._embedder

    @property
    def cast(self) -> CastMatcher | None:
        """The members of the cast as they are now; None: there is no cast."""
        return None if self._cast is None else self._cast.value

    def message(self) -> stream_pb2.ModelInfo:
        """The network as a message."""
        return embedder_pb(self._spec, self._embedder)

    def close(self) -> None:
        """Free the network; a second call does nothing."""
        with self._opening:
            if self._embedder is not None:
                self._embedder.close()


class _CountingEmbedder(FaceEmbedder):
    """Counts what it embeds."""

    count: Callable[[int], None]

    def embed(self, crops: NDArray[np.uint8]) -> FloatArray:
        embeddings = super().embed(crops)
        self.count(len(embeddings))
        return embeddings
