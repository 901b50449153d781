"""TensorRT engines on disk, by everything that they depend on; one process at a time builds an engine."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from acfd_stream.files import lock
from acfd_stream.networks.compiled_cache import CompiledCache

_log = logging.getLogger(__name__)

BUILD_VERSION = 2
"""Rises when engines are built differently, so that older ones are rebuilt."""


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on."""

    model: str  # SHA-256 of the model file
    tensorrt: str  # its version; it rejects engines of another one
    gpu: str  # name and compute capability; kernels are chosen by their speed on it
    precision: str
    size: tuple[int, int]  # of the network's view
    batches: tuple[int, ...]  # of the profile
    build: int = BUILD_VERSION

    @classmethod
    def of_file(
        cls, path: Path, tensorrt: str, gpu: str, precision: str, size: tuple[int, int], batches: tuple[int, ...]
    ) -> EngineKey:
        """The key of the engine of the model file at ``path``."""
        return cls(hashlib.sha256(path.read_bytes()).hexdigest(), tensorrt, gpu, precision, size, batches)


class EngineCache:
    """Engines by key in a folder. Without a folder, engines are not cached."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder / "tensorrt" if folder is not None else None
        self._blobs = CompiledCache(self.folder)

    def load(self, key: EngineKey) -> bytes | None:
        """The engine under ``key``, or None, also if its file is damaged."""
        return self._blobs.load(*astuple(key))

    def store(self, engine: bytes, key: EngineKey) -> None:
        """Store ``engine``; a folder that cannot be written is no error."""
        self._blobs.store(engine, *astuple(key))

    def load_timings(self, tensorrt: str, gpu: str) -> bytes | None:
        """Times of kernels in earlier builds, which make the next build faster and choose the same kernels; or None."""
        return self._blobs.load("timings", tensorrt, gpu)

    def store_timings(self, timings: bytes, tensorrt: str, gpu: str) -> None:
        """Store the times of a build in place of earlier ones."""
        self._blobs.store(timings, "timings", tensorrt, gpu)

    @contextmanager
    def building(self, key: EngineKey) -> Iterator[None]:
        """Lock the build of ``key`` against other threads and processes; check the cache again inside."""
        try:
            file = self._lock_file(key)
        except OSError as error:
            _log.debug("no lock in %s, building without it: %s", self.folder, error)
            file = None
        if file is None:
            yield
            return
        with file.open("w") as held:
            if not lock(held.fileno()):
                _log.warning("another process is building the same TensorRT engine: waiting for it")
                lock(held.fileno(), is_patient=True)
            yield  # closing the file unlocks it; the file stays because others may wait for it

    def _lock_file(self, key: EngineKey) -> Path | None:
        if self.folder is None:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{hashlib.sha256(repr(astuple(key)).encode()).hexdigest()[:32]}.lock"
        file.touch()
        return file
