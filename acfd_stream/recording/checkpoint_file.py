"""The checkpoint of an unfinished episode, in a file with a digest.

The file is replaced as a whole, after the results that it describes have reached the disk. Results after those are cut
off when the work continues. So a kill or a power cut at any moment leaves a checkpoint that is true, or none.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acfd_stream.below import create
from acfd_stream.errors import ResumeError
from acfd_stream.files import PART_SUFFIX, remove, sync_folder, writing
from acfd_stream.recording.checkpoint import Checkpoint
from acfd_stream.recording.stats import RecordingStats

FORMAT = 1
_log = logging.getLogger(__name__)


class CheckpointFile:
    """A ``CheckpointStore`` of an episode; it also knows which outputs were made after tracking.

    Args:
        path: the file; its folder is made when missing.
        interval_seconds: how often a recording saves.
        name: what the log calls the episode; None: the path.
    """

    def __init__(self, path: Path, interval_seconds: float = 30.0, name: str | None = None) -> None:
        self.path, self.interval_seconds = path, interval_seconds
        self._name = name or os.fspath(path)

    def load(self) -> Checkpoint | None:
        """See ``CheckpointStore``; None also where tracking is over."""
        values = self.read()
        if values is None or values["stage"] != "track":
            return None
        try:
            stats = RecordingStats.from_values(values["figures"])
        except ResumeError as error:
            _log.warning("%s begins again: %s", self._name, error)
            return None
        return Checkpoint(values["session"], values["lines"], values["bytes"], stats)

    def save(self, checkpoint: Checkpoint) -> None:
        """See ``CheckpointStore``."""
        state = {"session": checkpoint.session, "lines": checkpoint.lines}
        self.write({"stage": "track", "bytes": checkpoint.size, "figures": checkpoint.stats.values(), **state})

    def save_finished(self, size: int, stats: RecordingStats, made: tuple[str, ...]) -> None:
        """Note that tracking is over, with ``size`` bytes of lines, and which outputs were ``made`` since.

        Raises:
            OutputError: it cannot be written; the record before it stays.
        """
        self.write({"stage": "finish", "bytes": size, "figures": stats.values(), "made": list(made)})

    def clear(self) -> None:
        """See ``CheckpointStore``."""
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            remove(self.path)
            sync_folder(self.path.parent)

    def read(self) -> dict[str, Any] | None:
        """The record in the file; None where there is none, or none that can be trusted."""
        try:
            digest, _, body = self.path.read_bytes().partition(b"\n")
            if hashlib.sha256(body).hexdigest().encode() != digest:
                return None
            values = json.loads(body)
        except (OSError, ValueError):
            return None
        found = values.get("format") if isinstance(values, dict) else None
        if found == FORMAT:
            return dict(values)
        _log.warning("%s: checkpoint of format %r; begins again", self._name, found)
        return None

    def write(self, values: Mapping[str, Any]) -> None:
        """Replace the record; on return it survives a power cut.

        Raises:
            OutputError: it cannot be written; the one before it stays.
        """
        text = json.dumps({"format": FORMAT, **values}, separators=(",", ":"), allow_nan=False)
        body = text.encode()
        fresh = Path(f"{self.path}{PART_SUFFIX}")
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(create(fresh), "wb") as file:
                file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self.path)
            sync_folder(self.path.parent)
