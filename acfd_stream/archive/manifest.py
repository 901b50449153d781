"""The manifest of an archive, in SQLite below OUT: every episode's status, tries, errors and speed; every run.

Several processes may use it at once, runs as well as ``status``. How an episode ended survives a power cut when the
method returns. The file must be on a disk of this machine: SQLite's log is shared memory. Only runs write to it,
their workers do not.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acfd_stream.archive.database import ADD_PUBLISHED, Database, patient, published_values, text_bytes
from acfd_stream.archive.records import Claim, Episode, EpisodeStatus, Run, episode_of, statistics_of
from acfd_stream.below import open_own
from acfd_stream.errors import OutputError
from acfd_stream.files import lock_file, writing
from acfd_stream.recording.published import PublishedFile
from acfd_stream.recording.task import (
    RecordingOutcome,
    RecordingProgress,
    RecordingStage,
    RecordingTask,
    TrackingSpeed,
)

if TYPE_CHECKING:
    from acfd_stream.video.origin import FileStamp

_NOTE_BYTES = 512  # of the reason why a run waits


class Manifest(Database):
    """The manifest of one archive; a context manager. To be used by one thread."""

    _digests: dict[str, tuple[FileStamp, str]] | None = None
    _lock: AbstractContextManager[bool] | None = None  # of the run that this object began

    def close(self) -> None:
        """Close the files."""
        self._unlock()
        super().close()

    # Runs

    @patient
    def begin_run(self, call: Mapping[str, Any]) -> int:
        """Note a run with what is needed to repeat it, and return its number."""
        now = self._clock()
        with self._transaction() as database:
            added = database.execute(
                "INSERT INTO runs (pid, call, started, seen) VALUES (?, ?, ?, ?)",
                (os.getpid(), json.dumps(dict(call)), now, now),
            )
            run = int(added.lastrowid or 0)
            self._unlock()  # of a try that found no room
            self._lock = lock_file(self._lock_of(run), is_patient=True)  # before the run becomes visible
            self._lock.__enter__()
            self._reserve_note(run)
        return run

    def note_pause(self, run: int, reason: str) -> None:
        """Let ``pauses`` say why the run waits; empty: it does not. Takes no room on the disk; never raises."""
        text = " ".join(reason.split()).encode("utf-8", "backslashreplace")[:_NOTE_BYTES]
        with contextlib.suppress(OSError, OutputError), open(open_own(self._lock_of(run), os.O_RDWR), "r+b") as file:
            file.write(text.ljust(_NOTE_BYTES))

    def pauses(self) -> list[str]:
        """Why living runs wait for the disk or for this file."""
        notes = []
        for run in self.living_runs():
            with contextlib.suppress(OSError):
                notes.append(self._lock_of(run.run).read_bytes()[:_NOTE_BYTES].decode("utf-8", "replace").strip())
        return [note for note in notes if note]

    def keep_private(self) -> None:
        """Let only its owner read the file: the options of the run contain secrets."""
        with contextlib.suppress(OSError):  # a disk without permissions
            self._path.chmod(0o600)

    @patient
    def end_run(self, run: int, code: int) -> None:
        """Note how a run ended, and that its episodes wait again."""
        with self._transaction() as database:
            database.execute("UPDATE runs SET ended = ?, code = ? WHERE run = ?", (self._clock(), code, run))
            self._release_episodes(database, run)
        self._release(run)

    @patient
    def last_run(self) -> Run | None:
        """The run that began last."""
        row = self._database.execute("SELECT * FROM runs ORDER BY run DESC LIMIT 1").fetchone()
        return None if row is None else Run(**{**dict(row), "call": json.loads(row["call"])})

    @patient
    def folders(self) -> set[str]:
        """The folders in which runs began; relative sources were found from there."""
        calls = self._database.execute("SELECT call FROM runs").fetchall()
        return {str(json.loads(call).get("folder", ".")) for (call,) in calls}

    @patient
    def living_runs(self) -> list[Run]:
        """Runs that have neither ended nor been killed."""
        rows = self._database.execute("SELECT * FROM runs WHERE ended IS NULL ORDER BY run").fetchall()
        runs = [Run(**{**dict(row), "call": json.loads(row["call"])}) for row in rows]
        return [run for run in runs if self._is_held(run.run)]

    @patient
    def clear_dead_runs(self) -> None:
        """Note that runs that were killed have ended, and that their episodes wait again."""
        with self._transaction() as database:
            living = {run.run for run in self.living_runs()}
            for (run,) in database.execute("SELECT run FROM runs WHERE ended IS NULL").fetchall():
                if run not in living:
                    database.execute("UPDATE runs SET ended = seen, code = -1 WHERE run = ?", (run,))
                    self._release_episodes(database, run)
                    self._lock_of(run).unlink(missing_ok=True)

    # Digests

    @patient
    def digest_of(self, path: str, stamp: FileStamp) -> str | None:
        """See ``Digests``; all are read at once, the first time."""
        from acfd_stream.video.origin import FileStamp  # here, so that ``status`` does not load the decoder

        if self._digests is None:
            rows = self._database.execute("SELECT path, size, mtime_ns, inode, digest FROM files")
            self._digests = {path: (FileStamp(size, mtime, inode), digest) for path, size, mtime, inode, digest in rows}
        known = self._digests.get(os.path.realpath(path))
        return known[1] if known is not None and known[0] == stamp else None

    @patient
    def keep_digest(self, path: str, stamp: FileStamp, digest: str) -> None:
        """See ``Digests``."""
        real = os.path.realpath(path)
        with self._transaction() as database:
            database.execute(
                "INSERT OR REPLACE INTO files (path, size, mtime_ns, inode, digest)"
                " VALUES (CAST(? AS TEXT), ?, ?, ?, ?)",
                (text_bytes(real), stamp.size, stamp.mtime_ns, stamp.inode, digest),
            )
        if self._digests is not None:
            self._digests[real] = (stamp, digest)

    # Episodes: written

    @patient
    def expect(self, found: Sequence[tuple[str, str, int | None]]) -> None:
        """Note episodes that were found, (name, source, bytes); of those that are known only the source changes."""
        now = self._clock()
        values = [(text_bytes(name), text_bytes(source), size, now) for name, source, size in found]
        with self._transaction() as database:
            database.executemany(
                "INSERT INTO episodes (name, source, state, size, changed)"
                f" VALUES (CAST(? AS TEXT), CAST(? AS TEXT), '{EpisodeStatus.WAITING.value}', ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET source = excluded.source, size = excluded.size",
                values,
            )

    @patient
    def forget(self, names: Sequence[str]) -> None:
        """Drop episodes whose videos are gone."""
        with self._transaction() as database:
            database.executemany("DELETE FROM episodes WHERE name = CAST(? AS TEXT)", [(text_bytes(n),) for n in names])

    @patient
    def wait(self, name: str, run: int, *, error: str = "", attempts: int = 0) -> None:
        """Note that an episode of the run waits again; after a try, with its error."""
        query = (
            "UPDATE episodes SET state = ?, error = ?, attempts = ?, worker = '', run = 0, changed = ?"
            " WHERE name = CAST(? AS TEXT) AND run = ?"
        )
        values = (EpisodeStatus.WAITING.value, error, attempts, self._clock(), text_bytes(name), run)
        with self._transaction() as database:
            database.execute(query, values)

    @patient
    def wait_all(self, names: Sequence[str]) -> None:
        """Note that these wait, unless a worker records them."""
        query = "UPDATE episodes SET state = ?, error = '', attempts = 0 WHERE name = CAST(? AS TEXT) AND state != ?"
        waiting, running = EpisodeStatus.WAITING.value, EpisodeStatus.RUNNING.value
        with self._transaction() as database:
            database.executemany(query, [(waiting, text_bytes(name), running) for name in names])

    @patient
    def claim(self, name: str, run: int, is_settled: Callable[[Episode | None], bool]) -> tuple[Claim, Episode | None]:
        """Claim an episode for a run, unless another one has it or it is settled; and the episode as it was."""
        with self._transaction() as database:
            episode = self.get(name)
            if is_settled(episode):
                return Claim.SETTLED, episode
            is_running = episode is not None and episode.state is EpisodeStatus.RUNNING
            if episode is not None and is_running and episode.run != run and self._is_held(episode.run):
                return Claim.THEIRS, episode
            values = (EpisodeStatus.RUNNING.value, run, self._clock(), text_bytes(name))
            database.execute(
                "UPDATE episodes SET state = ?, worker = '', run = ?, changed = ? WHERE name = CAST(? AS TEXT)", values
            )
        return Claim.OURS, episode

    @patient
    def began(self, name: str, worker: str, run: int) -> None:
        """Note that a worker began to record the episode."""
        with self._transaction() as database:
            self._set(database, name, state=EpisodeStatus.RUNNING.value, worker=worker, run=run)

    @patient
    def progressed(self, run: int, progress: Mapping[str, RecordingProgress]) -> None:
        """Note that a run is alive, and how far its episodes are, by name.

        While outputs are made of finished results, the speed stays that of the tracking.
        """
        now = self._clock()
        counts = [
            (p.frames, p.expected_frames, p.tracks, p.video_seconds, now, text_bytes(name), run)
            for name, p in progress.items()
        ]
        speeds = [
            (p.seconds, p.new_frames, text_bytes(name), run)
            for name, p in progress.items()
            if p.stage is RecordingStage.TRACK
        ]
        where = "WHERE name = CAST(? AS TEXT) AND run = ?"
        columns = "frames = ?, expected_frames = ?, tracks = ?, video_seconds = ?, changed = ?"
        with self._transaction() as database:
            database.execute("UPDATE runs SET seen = ? WHERE run = ?", (now, run))
            database.executemany(f"UPDATE episodes SET {columns} {where}", counts)
            database.executemany(f"UPDATE episodes SET seconds = ?, new_frames = ? {where}", speeds)

    @patient
    def done(
        self,
        task: RecordingTask,
        outcome: RecordingOutcome,
        outputs: Collection[str],
        result_bytes: int,
        *,
        state: EpisodeStatus = EpisodeStatus.DONE,
    ) -> None:
        """Note that ``outputs`` of the episode are there; ``result_bytes`` is the size of the JSONL.

        Where nothing was tracked, the speed is that of the tracking. ``state`` is FAILING if an output could not get
        its name.
        """
        about = statistics_of(outcome, task.speed)
        error = "" if state is EpisodeStatus.DONE else outcome.error or ""
        about |= {"error": error, "outputs": json.dumps(sorted(outputs)), "result_bytes": result_bytes, "run": 0}
        with self._transaction() as database:
            self._set(database, task.name, state=state.value, key=task.key, worker="", **about)
            self._replace_published(database, task.name, outcome.published)

    @patient
    def note_outputs(self, name: str, outputs: Collection[str]) -> None:
        """Note the outputs of an episode that is done, without the JSONL."""
        with self._transaction() as database:
            self._set(database, name, outputs=json.dumps(sorted(outputs)))

    @patient
    def renamed(
        self, name: str, outputs: Collection[str], result_bytes: int, published: Sequence[PublishedFile]
    ) -> None:
        """Note that the JSONL of an episode has other names of characters, and which outputs are left."""
        with self._transaction() as database:
            self._set(database, name, outputs=json.dumps(sorted(outputs)), result_bytes=result_bytes)
            self._replace_published(database, name, published)

    @patient
    def set_aside(self, name: str, state: EpisodeStatus, outcome: RecordingOutcome, *, attempts: int, key: str) -> None:
        """Note that this run does not record the episode any more, with the reason.

        Results that are there stay known where only outputs of them failed.
        """
        about = {"error": outcome.error or "no reason given", "attempts": attempts, "key": key}
        with self._transaction() as database:
            before = self.get(name)
            has_results = before is not None and before.result_bytes and before.key == key and not outcome.new_frames
            if not has_results or state is not EpisodeStatus.FAILING:
                about |= {**statistics_of(outcome, TrackingSpeed(0.0, 0)), "result_bytes": 0}
            self._set(database, name, state=state.value, worker="", run=0, **about)
            if outcome.published:
                self._replace_published(database, name, outcome.published)

    # Published files

    @patient
    def published(self, episode: str | None = None) -> list[PublishedFile]:
        """The files of an episode, or all; those that belong to none have the episode ""."""
        query = "SELECT path, size, sha256, mtime_ns FROM published"
        if episode is None:
            rows = self._database.execute(f"{query} ORDER BY path")
        else:
            rows = self._database.execute(f"{query} WHERE episode = CAST(? AS TEXT)", (text_bytes(episode),))
        return [PublishedFile(*row) for row in rows]

    @patient
    def note_published(self, episode: str, files: Sequence[PublishedFile]) -> None:
        """Add files of an episode, before they get their names."""
        with self._transaction() as database:
            database.executemany(ADD_PUBLISHED, [published_values(episode, file) for file in files])

    @patient
    def replace_published(self, episode: str, files: Sequence[PublishedFile]) -> None:
        """Note all files of an episode."""
        with self._transaction() as database:
            self._replace_published(database, episode, files)

    def _replace_published(self, database: sqlite3.Connection, episode: str, files: Sequence[PublishedFile]) -> None:
        database.execute("DELETE FROM published WHERE episode = CAST(? AS TEXT)", (text_bytes(episode),))
        database.executemany(ADD_PUBLISHED, [published_values(episode, file) for file in files])

    # Episodes: read

    @patient
    def get(self, name: str) -> Episode | None:
        """The episode of this name."""
        query = "SELECT * FROM episodes WHERE name = CAST(? AS TEXT)"
        row = self._database.execute(query, (text_bytes(name),)).fetchone()
        return None if row is None else episode_of(row)

    @patient
    def episodes(self, *states: EpisodeStatus, limit: int = -1) -> list[Episode]:
        """Episodes by name; those in ``states``, or all."""
        marks = ", ".join("?" for _ in states)
        where = f" WHERE state IN ({marks})" if states else ""
        values = (*(state.value for state in states), limit)
        rows = self._database.execute(f"SELECT * FROM episodes{where} ORDER BY name LIMIT ?", values)
        return [episode_of(row) for row in rows]

    @patient
    def with_gaps(self, limit: int = -1) -> list[Episode]:
        """Episodes that are done and whose videos have gaps, by name."""
        query = "SELECT * FROM episodes WHERE state = ? AND gaps > 0 ORDER BY name LIMIT ?"
        return [episode_of(row) for row in self._database.execute(query, (EpisodeStatus.DONE.value, limit))]

    @patient
    def counts(self) -> dict[EpisodeStatus, int]:
        """How many episodes are in every state."""
        rows = self._database.execute("SELECT state, COUNT(*) FROM episodes GROUP BY state").fetchall()
        found = {EpisodeStatus(state): count for state, count in rows}
        return {state: found.get(state, 0) for state in EpisodeStatus}

    @patient
    def sums(self) -> dict[str, float]:
        """Frames, tracks, seconds of video and of work, bytes of video and gaps of all episodes that are done."""
        names = ("frames", "tracks", "video_seconds", "seconds", "new_frames", "size", "gaps", "missing_seconds")
        columns = ", ".join(f"TOTAL({name}) AS {name}" for name in names)
        query = f"SELECT {columns} FROM episodes WHERE state = '{EpisodeStatus.DONE.value}'"
        return dict(self._database.execute(query).fetchone())

    def _set(self, database: sqlite3.Connection, name: str, **values: Any) -> None:
        columns = ", ".join(f"{column} = ?" for column in values)
        database.execute(
            f"UPDATE episodes SET {columns}, changed = ? WHERE name = CAST(? AS TEXT)",
            (*values.values(), self._clock(), text_bytes(name)),
        )

    def _release_episodes(self, database: sqlite3.Connection, run: int) -> None:
        waiting, running = EpisodeStatus.WAITING.value, EpisodeStatus.RUNNING.value
        database.execute(
            "UPDATE episodes SET state = ?, worker = '', run = 0 WHERE run = ? AND state = ?", (waiting, run, running)
        )

    def _lock_of(self, run: int) -> Path:
        """The file that a living run locks: a process ID would soon be another process."""
        return self._path.parent / f"run-{run}.lock"

    def _reserve_note(self, run: int) -> None:
        """Take the room of the note now: a full disk has none."""
        path = self._lock_of(run)
        with writing(path), open(open_own(path, os.O_WRONLY), "wb") as file:
            file.write(b" " * _NOTE_BYTES)

    def _is_held(self, run: int) -> bool:
        if not self._lock_of(run).exists():
            return False
        with lock_file(self._lock_of(run)) as is_free:
            return not is_free

    def _release(self, run: int) -> None:
        self._lock_of(run).unlink(missing_ok=True)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.__exit__(None, None, None)
            self._lock = None
