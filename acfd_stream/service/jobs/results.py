"""The result lines of each job: a file ``JOB.jsonl`` of the state folder, or memory.

They are those of ``acfd-stream track --format jsonl``, byte for byte.
"""

from __future__ import annotations

from pathlib import Path

from acfd_stream.files import writing
from acfd_stream.recording.lines import FileLines, Limit, Lines, MemoryLines

SUFFIX = ".jsonl"


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
        return {path.stem for path in self._folder.glob(f"*{SUFFIX}")}
