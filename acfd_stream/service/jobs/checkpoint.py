"""The checkpoint of a job, in the job store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from acfd_stream.errors import ConfigError, ResumeError
from acfd_stream.recording.checkpoint import Checkpoint
from acfd_stream.recording.lines import Lines
from acfd_stream.recording.stats import RecordingStats
from acfd_stream.recording.task import RecordingProgress
from acfd_stream.service.access import resume_token as tokens
from acfd_stream.service.jobs.digests import SEGMENT_BYTES, Segment
from acfd_stream.service.jobs.record import Job
from acfd_stream.service.jobs.results import JobLines
from acfd_stream.service.jobs.store import JobStore
from acfd_stream.video.origin import FileStamp

_CHECKSUM = (b"",)  # the key of ``pack`` where none is given: it finds damage, and no forgery
_MOST_BYTES = tokens.most_state_bytes(2**31)  # of any frame that FFmpeg decodes
_log = logging.getLogger(__name__)


class JobCheckpoint:
    """A ``CheckpointStore`` of one job. Of the statistics it keeps what the job shows as its progress.

    Args:
        store: knows the job.
        job: as it was claimed.
        lines: of the job, whose digests are stored, too.
        interval_seconds: how often its recording saves.
        on_saved: called when the store has a new checkpoint.
    """

    def __init__(
        self, store: JobStore, job: Job, lines: Lines, interval_seconds: float, on_saved: Callable[[], None]
    ) -> None:
        self._store, self._job, self._lines, self.interval_seconds = store, job, lines, interval_seconds
        self._on_saved = on_saved
        self._saved_bytes = 0  # of the lines, whose digests are stored
        self.stamp: FileStamp | None = None
        """Of the video, a local file; a checkpoint of another one is not used."""
        self._began_at = time.monotonic()

    @property
    def worked_seconds(self) -> float:
        """For how long the job has run, in all."""
        return self._job.worked_seconds + time.monotonic() - self._began_at

    def new_digests(self) -> list[Segment]:
        """Of the lines, what the store does not know yet."""
        lines = self._lines
        return lines.digests.segments(self._saved_bytes // SEGMENT_BYTES) if isinstance(lines, JobLines) else []

    def load(self) -> Checkpoint | None:
        """See ``CheckpointStore``."""
        if self._job.checkpoint is None:
            return None
        try:
            values = tokens.unpack(self._job.checkpoint, _CHECKSUM, _MOST_BYTES)
            if not all(isinstance(values.get(name), Mapping) for name in ("session", "lines")):
                raise ResumeError("checkpoint lacks its session or its lines; begin at the beginning")
            if self.stamp is not None and values.get("stamp", self._stamp_values()) != self._stamp_values():
                raise ResumeError("its video has changed since the checkpoint")
        except (ConfigError, ResumeError) as error:
            _log.warning("job %s begins again: %s", self._job.job_id, error)
            return None
        progress = self._job.progress
        stats = RecordingStats(frames=progress.frames, tracks=progress.tracks)
        return Checkpoint(values["session"], values["lines"], progress.result_bytes, stats)

    def save(self, checkpoint: Checkpoint) -> None:
        """See ``CheckpointStore``."""
        stats = checkpoint.stats
        progress = RecordingProgress(frames=stats.frames, tracks=stats.tracks, result_bytes=checkpoint.size)
        values = {"session": checkpoint.session, "lines": checkpoint.lines, "stamp": self._stamp_values()}
        packed = tokens.pack(values)
        self._store.save(self._job.job_id, progress, packed, self.new_digests(), self.worked_seconds)
        self._saved_bytes = checkpoint.size
        self._on_saved()

    def _stamp_values(self) -> list[int]:
        stamp = self.stamp
        return [] if stamp is None else [stamp.size, stamp.mtime_ns, stamp.inode]

    def clear(self) -> None:
        """See ``CheckpointStore``."""
        if self._job.checkpoint is not None:
            self._store.save(self._job.job_id, RecordingProgress(), None, (), self.worked_seconds)
            self._saved_bytes = 0
