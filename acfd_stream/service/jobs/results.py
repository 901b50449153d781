"""The result lines of each job: a file ``JOB.jsonl`` of the state folder, or memory.

They are those of ``acfd-stream track --format jsonl -o -``, byte for byte.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from acfd_stream.errors import AcfdError, ResumeError
from acfd_stream.files import writing
from acfd_stream.recording.lines import FileLines, Limit, Lines, MemoryLines
from acfd_stream.service.jobs.digests import SEGMENT_BYTES, RunningDigests, Segment
from acfd_stream.service.jobs.waiting import StoreTrouble, storage_reason

SUFFIX = ".jsonl"
VIEWS_SUFFIX = ".views.ndjson"
LOST = "lost+found"
"""Folder beside that of the results, for those whose job is not known."""
_Known = Callable[[int, int], Mapping[int, Segment]]
_OURS = re.compile(r"[0-9a-f]{24}\.jsonl")  # names that a job may have


class ResultsDamaged(AcfdError):
    """Stored results are not those that were written."""


class JobLines(FileLines):
    """The lines of a job in a file, with digests: a writer makes them, readers compare.

    Args:
        path: of the file.
        name: what messages call the lines.
        limit: of their size.
        known: the stored segments between two numbers, both included, for a reader; None: it does not compare.
    """

    def __init__(self, path: Path, name: str, limit: Limit, known: _Known | None = None) -> None:
        super().__init__(path, name, limit)
        self.digests = RunningDigests()
        self.expected: Mapping[int, Segment] = {}
        """Of the checkpoint that a writer continues from."""
        self._known = known
        self._checked: set[Segment] = set()

    def truncate(self, size: int) -> None:
        """See ``Lines``; what is kept must be as expected, else that is a ResumeError, too."""
        super().truncate(size)
        damaged = self.digests.damaged(self.expected)
        if damaged is not None:
            raise ResumeError(f"{self._name} are damaged: {_where(damaged)}; begin at the beginning")

    def read(self, offset: int, most_bytes: int) -> tuple[int, bytes]:
        """See ``Lines``; a reader compares every segment of it.

        Raises:
            ResultsDamaged: they are not as they were written.
            StoreTrouble: they cannot be read now.
        """
        try:
            begin, lines = self._read(offset, most_bytes) if self.path.exists() else (offset, b"")
            if self._known is not None:
                last = max(offset, begin + len(lines) - 1)
                self._check(self._known, offset // SEGMENT_BYTES, last // SEGMENT_BYTES)
        except OSError as error:
            text = f"{self._name} cannot be read now: {error.strerror}; try again later"
            raise StoreTrouble(text, storage_reason(error)) from error
        return begin, lines

    def _check(self, known: _Known, first: int, last: int) -> None:
        for segment in known(first, last).values():
            if segment in self._checked:
                continue
            if not segment.is_of(self._bytes_of(segment.number)):
                # A job that began again has written other bytes meanwhile, and has other digests then.
                if known(segment.number, segment.number).get(segment.number) == segment:
                    raise ResultsDamaged(f"{self._name} are damaged: {_where(segment)}")
                continue
            self._checked.add(segment)

    def _bytes_of(self, number: int) -> bytes:
        try:
            with open(self.path, "rb") as file:
                file.seek(number * SEGMENT_BYTES)
                return file.read(SEGMENT_BYTES)
        except FileNotFoundError:
            return b""

    def _truncate(self, size: int) -> None:
        super()._truncate(size)
        covered = self.digests.cut(size)
        with writing(self._name):
            while covered < size:
                data = self._bytes_of(covered // SEGMENT_BYTES)[: size - covered]
                if not data:
                    raise OSError(f"it ends at byte {covered}, and not at {size}")
                self.digests.add(data)
                covered += len(data)

    def _append(self, lines: bytes) -> None:
        super()._append(lines)
        self.digests.add(lines)


class JobResults:
    """Lines by job.

    Args:
        folder: where the files are; None: in memory, lost with the process.
        most_bytes: of one job's lines.
    """

    def __init__(self, folder: Path | None, most_bytes: int) -> None:
        self._folder, self._limit = folder, Limit(most_bytes, "jobs.kept_bytes")
        self._memory: dict[str, MemoryLines] = {}
        self._views: dict[str, MemoryLines] = {}

    def lines_of(self, job_id: str, known: _Known | None = None) -> Lines:
        """The lines of a job: one writer, and any number of readers with an object of their own.

        Args:
            job_id: of the job.
            known: for a reader of files, see ``JobLines``.
        """
        name = f"the results of job {job_id}"
        if self._folder is None:
            return self._memory.setdefault(job_id, MemoryLines(name, self._limit))
        return JobLines(self._folder / f"{job_id}{SUFFIX}", name, self._limit, known)

    def views_of(self, job_id: str) -> Lines:
        """The views of a job's tracks, as they were when the tracks ended; one writer, readers as for ``lines_of``."""
        name = f"the views of job {job_id}"
        if self._folder is None:
            return self._views.setdefault(job_id, MemoryLines(name, self._limit))
        return FileLines(self._folder / f"{job_id}{VIEWS_SUFFIX}", name, self._limit)

    def forget(self, job_id: str) -> None:
        """Remove a job's lines and views; no error where there are none.

        Raises:
            OutputError: they cannot be removed.
        """
        if self._folder is None:
            self._memory.pop(job_id, None)
            self._views.pop(job_id, None)
            return
        for suffix in (VIEWS_SUFFIX, SUFFIX):  # no job is known by its views
            path = self._folder / f"{job_id}{suffix}"
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


def _where(segment: Segment) -> str:
    begin = segment.number * SEGMENT_BYTES
    return f"bytes {begin} to {begin + segment.size - 1}"
