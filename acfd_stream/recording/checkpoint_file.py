"""The checkpoint of an unfinished episode: where the work stands, in a file with a digest.

The record is replaced as a whole, after what it speaks of has reached the disk; what lies behind it in the part is
cut off when the work goes on. So a kill or a power cut at any moment leaves a record that is true, or none.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from acfd_stream.files import sync_folder, writing
from acfd_stream.recording.task import EpisodeTask

RECORD_FORMAT = 1
_log = logging.getLogger(__name__)


def save_record(task: EpisodeTask, values: Mapping[str, Any]) -> None:
    """Replace the record of ``task``; when this returns it survives a power cut.

    Raises:
        OutputError: it cannot be written; the one before it stands.
    """
    text = json.dumps({"format": RECORD_FORMAT, **values}, separators=(",", ":"), allow_nan=False)
    body = text.encode()
    fresh = task.checkpoint.with_suffix(".checkpoint.part")
    with writing(task.checkpoint):
        task.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with open(fresh, "wb") as file:
            file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, task.checkpoint)
        sync_folder(task.checkpoint.parent)


def load_record(task: EpisodeTask) -> dict[str, Any] | None:
    """The record of ``task``; None where there is none, or none that can be trusted."""
    try:
        digest, _, body = task.checkpoint.read_bytes().partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            return None
        values = json.loads(body)
    except (OSError, ValueError):
        return None
    found = values.get("format") if isinstance(values, dict) else None
    if found == RECORD_FORMAT:
        return dict(values)
    _log.warning("%s: checkpoint of format %r; begins again", task.name, found)
    return None
