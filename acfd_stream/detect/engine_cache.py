"""Engines of TensorRT on disk: under everything they depend on, and built by one process at a time."""

from __future__ import annotations

import fcntl
import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from acfd_stream.detect.compiled_cache import CompiledCache

_log = logging.getLogger(__name__)

BUILD_VERSION = 2
"""Rises when engines are built another way, so that those of before are built anew."""


@dataclass(frozen=True)
class EngineKey:
    """What an engine depends on; any other one must not be taken for it."""

    model: str  # SHA-256 of the model file
    tensorrt: str  # its version: engines of another one are refused
    gpu: str  # name and compute capability: kernels were chosen by how fast they are there
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
    """Engines by key in a folder; without one nothing is kept and everyone builds for himself."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder / "tensorrt" if folder is not None else None
        self._blobs = CompiledCache(self.folder)

    def load(self, key: EngineKey) -> bytes | None:
        """The engine under ``key``, or None; a file that is not whole counts as none."""
        return self._blobs.load(*astuple(key))

    def store(self, engine: bytes, key: EngineKey) -> None:
        """Keep ``engine``; a folder that cannot be written is no error."""
        self._blobs.store(engine, *astuple(key))

    def load_timings(self, tensorrt: str, gpu: str) -> bytes | None:
        """What kernels took in earlier builds: another build is quicker for it, and chooses the same."""
        return self._blobs.load("timings", tensorrt, gpu)

    def store_timings(self, timings: bytes, tensorrt: str, gpu: str) -> None:
        """Keep what a build has measured, in place of what earlier ones had."""
        self._blobs.store(timings, "timings", tensorrt, gpu)

    @contextmanager
    def building(self, key: EngineKey) -> Iterator[None]:
        """Others who want to build ``key``, in whatever process, wait outside; look again once you are inside."""
        try:
            file = self._lock_file(key)
        except OSError as error:
            _log.debug("no lock in %s, building all the same: %s", self.folder, error)
            file = None
        if file is None:
            yield
            return
        with file.open("w") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _log.warning("another process is building the same TensorRT engine: waiting for it")
                fcntl.flock(held, fcntl.LOCK_EX)
            yield  # the lock goes with the file; the file stays, for others may be waiting at it

    def _lock_file(self, key: EngineKey) -> Path | None:
        if self.folder is None:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{hashlib.sha256(repr(astuple(key)).encode()).hexdigest()[:32]}.lock"
        file.touch()
        return file
