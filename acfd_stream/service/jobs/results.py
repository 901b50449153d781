"""The result lines of each job: a file ``JOB.jsonl`` of the state folder, or memory.

They are those of ``acfd-stream track --format jsonl``, byte for byte.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from acfd_stream.files import writing
from acfd_stream.recording.lines import FileLines, Limit, Lines, MemoryLines

SUFFIX = ".jsonl"
LOST = "lost+found"
"""Folder beside that of the results, for those whose job is not known."""
_OURS = re.compile(r"[0-9a-f]{24}\.jsonl")  # names that a job may have


class JobResults:
    """Lines by job.

    Args:
        folder: where the files are; None: in memory, lost with the process.
        most_bytes: of one job's lines.
    """

    def __init__(self, folder: Path | None, most_bytes: int) -> None:
        self._folder, self._limit = folder, Limit(most_bytes, "jobs.kept_bytes")
        self._memory: dict[str, MemoryLines] = {}

    def lines_of(self, job_id: str) -> Lines:
        """The lines of a job: one writer, and any number of readers with an object of their own."""
        name = f"the results of job {job_id}"
        if self._folder is None:
            return self._memory.setdefault(job_id, MemoryLines(name, self._limit))
        return FileLines(self._folder / f"{job_id}{SUFFIX}", name, self._limit)

    def forget(self, job_id: str) -> None:
        """Remove a job's lines; no error where there are none.

        Raises:
            OutputError: they cannot be removed.
        """
        if self._folder is None:
            self._memory.pop(job_id, None)
            return
        path = self._folder / f"{job_id}{SUFFIX}"
        with writing(path):
            path.unlink(missing_ok=True)

    def ids(self) -> set[str]:
        """The jobs that have lines."""
        if self._folder is None:
            return {job_id for job_id, lines in [*self._memory.items()] if lines.size}
        return {path.stem for path in self._folder.glob(f"*{SUFFIX}") if _OURS.fullmatch(path.name)}

    def set_aside(self, job_id: str) -> Path | None:
        """Move lines whose job is not known to ``LOST``; where they are now, None: they are in memory.

        Raises:
            OutputError: they cannot be moved.
        """
        if self._folder is None:
            self.forget(job_id)
            return None
        folder = self._folder.parent / LOST
        with writing(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            name, number = f"{job_id}{SUFFIX}", 0
            while os.path.lexists(folder / name):
                number += 1
                name = f"{job_id}.{number}{SUFFIX}"
            os.rename(self._folder / f"{job_id}{SUFFIX}", folder / name)
        return folder / name
