"""Where a recording stands, and the protocol of what keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from acfd_stream import stored
from acfd_stream.outputs.formats import VIEWS
from acfd_stream.recording.stats import RecordingStats

_MOST_BYTES = 2**62


@dataclass(frozen=True)
class Checkpoint:
    """From here a recording continues, and its results are those that it would have given."""

    session: Mapping[str, Any]  # values of the SessionState
    lines: Mapping[str, Any]  # what later lines depend on, and the bytes of the views so far
    size: int  # bytes of the lines so far
    stats: RecordingStats

    @property
    def views_size(self) -> int:
        """Bytes of the views so far.

        Raises:
            ResumeError: it is damaged.
        """
        return stored.whole(self.lines.get(VIEWS, 0), "lines.views", 0, _MOST_BYTES)


class CheckpointStore(Protocol):
    """The last checkpoint of one recording."""

    interval_seconds: float
    """How old the last checkpoint becomes while frames come."""

    def load(self) -> Checkpoint | None:
        """The last one; None, and a warning in the log, where it cannot be used."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep it; it survives a power cut on return. Its lines are on the disk already.

        Raises:
            OutputError: it cannot be written; the one before stays.
        """

    def clear(self) -> None:
        """Forget it: the recording begins at the beginning, and its lines are emptied next.

        Raises:
            OutputError: it cannot be removed.
        """
