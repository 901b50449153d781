"""Keys of episodes: equal for the same video, model and settings; everything that changes results changes the key.

The whole content of a file is digested. The digest is stored with the file's size, time and inode, so that an unchanged
archive is not read again. A file of a remote store is identified by the version that the store reports.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Protocol

from acfd_stream.archive.find import Video
from acfd_stream.config import DetectConfig, ShotConfig, TrackConfig, VideoConfig, effective
from acfd_stream.errors import MediaError, OverloadedError
from acfd_stream.networks.precision import int8_path_of
from acfd_stream.recording import remote
from acfd_stream.video.origin import FileStamp, local_path, stamp_of

RESULTS_VERSION = 1
"""Rises with every change to the program after which the same video and settings give other results."""
_DIGITS = 32
_PIECE_BYTES = 2**20
_FRESH_NS = 2_000_000_000  # a file that was written to just now may be written to again without its time changing


@dataclass(frozen=True)
class Settings:
    """Everything that decides results besides the video, except the precision that "auto" chooses on a device."""

    model: Path
    detect: DetectConfig
    track: TrackConfig
    shot: ShotConfig
    video: VideoConfig

    def digest(self) -> str:
        """A digest of the settings and of the model file's content, without what changes no result."""
        values = {room: effective(getattr(self, room)) for room in ("detect", "track", "shot")}
        about = {
            **values,
            "start": self.video.start_seconds,
            "end": self.video.end_seconds,
            "every_frame": self.video.every_frame,
            "model": [hashlib.sha256(path.read_bytes()).hexdigest() for path in self._model_files()],
            "precision": self.detect.precision,
            "version": RESULTS_VERSION,
        }
        return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()

    def _model_files(self) -> list[Path]:
        """The model's own file, and its int8 one where it has one: which is run, the CPU of a worker says."""
        int8_path = int8_path_of(self.model)
        return [self.model, int8_path] if int8_path.is_file() else [self.model]


class Digests(Protocol):
    """Stores the digests of files."""

    def digest_of(self, path: str, stamp: FileStamp) -> str | None:
        """The digest of the file at ``path`` when it had this stamp; None: not known."""

    def keep_digest(self, path: str, stamp: FileStamp, digest: str) -> None:
        """Store it."""


def episode_key(content: str, settings: str) -> str:
    """The key of a content digest under a digest of settings; see ``RecordingTask.key``."""
    return hashlib.sha256(f"{content}\n{settings}".encode()).hexdigest()[:_DIGITS]


def known_content(video: Video, digests: Digests) -> str | None:
    """The stored digest of a local video's content; None: there is none."""
    path = local_path(video.source)
    return None if path is None or video.stamp is None else digests.digest_of(path, video.stamp)


def read_content(video: Video, is_stopped: Callable[[], bool] = lambda: False) -> tuple[str, FileStamp | None, bool]:
    """The digest of a video's content, read now; the stamp that it has; whether both may be remembered together.

    Args:
        video: what to read.
        is_stopped: whether to stop; called while the file is read.

    Raises:
        MediaError: there is no such video, or it may not be read.
        OverloadedError: it is being written to, or its disk or server failed; a later try may succeed.
    """
    path = local_path(video.source)
    if path is None:
        return hashlib.sha256(remote.remote_version(video.source).encode()).hexdigest(), None, False
    before = stamp_of(path)
    try:
        with open(path, "rb", buffering=0) as file:
            digest = _digest(file, before.size, is_stopped)
    except FileNotFoundError as error:
        raise MediaError(f"{path}: no such file; check the name") from error
    except PermissionError as error:
        raise MediaError(f"{path}: permission denied; make the file readable for this user") from error
    except OSError as error:
        raise OverloadedError(f"{path}: cannot be read ({error.strerror}); check the disk") from error
    if stamp_of(path) != before:
        raise OverloadedError(f"{path}: another program is writing to it; it is read later")
    return digest, before, time.time_ns() - before.mtime_ns > _FRESH_NS


def _digest(file: FileIO, size: int, is_stopped: Callable[[], bool]) -> str:
    """The digest of ``size`` bytes, or of a little more: a file may grow as fast as it is read."""
    found, buffer, done = hashlib.sha256(), bytearray(_PIECE_BYTES), 0
    while done <= size and (read := file.readinto(buffer)):
        if is_stopped():
            raise OverloadedError("reading was stopped")
        found.update(memoryview(buffer)[:read])
        done += read
    return found.hexdigest()
