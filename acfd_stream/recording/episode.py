"""One episode of an archive from its video to all its outputs, in one go or over any number of kills.

Its lines go to a file of the state folder, with checkpoints. When they are complete they take their final name, and
everything else is made from them. The bytes do not depend on where it was interrupted.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

from acfd_stream.below import open_folder
from acfd_stream.errors import ForeignFileError, MediaError
from acfd_stream.files import lock_file, remove, writing
from acfd_stream.outputs import ResultEnd, read_results
from acfd_stream.outputs.formats import RESULTS, VIEWS
from acfd_stream.outputs.recognise import is_result
from acfd_stream.pipeline.engine import Embedder, Engine
from acfd_stream.recording.cancellation import Cancellation, Cancelled
from acfd_stream.recording.checkpoint_file import CheckpointFile
from acfd_stream.recording.derived import DerivedJob, make_output, missing_outputs, remove_outputs
from acfd_stream.recording.failure_kind import FailureKind, SourceWatch, failure_kind, said_in_one_line
from acfd_stream.recording.lines import FileLines
from acfd_stream.recording.published import FinalNames, Journal
from acfd_stream.recording.record import Recorder, ignore
from acfd_stream.recording.settled import settle
from acfd_stream.recording.stats import Attempt, RecordingStats
from acfd_stream.recording.taken import take_lines
from acfd_stream.recording.task import (
    PARTS_FOLDER,
    RecordingOutcome,
    RecordingProgress,
    RecordingStage,
    RecordingState,
    RecordingTask,
)
from acfd_stream.types import FrameResult
from acfd_stream.video.origin import source_name

OnProgress = Callable[[RecordingProgress], None]
_PROGRESS_SECONDS = 0.25
_STATES = {
    FailureKind.MEDIA: RecordingState.BROKEN,
    FailureKind.SHORTAGE: RecordingState.NO_ROOM,
    FailureKind.FOREIGN: RecordingState.REFUSED,
}
_log = logging.getLogger(__name__)


def record_episode(
    task: RecordingTask,
    engine: Engine,
    on_progress: OnProgress = ignore,
    cancellation: Cancellation | None = None,
    embedder: Embedder | None = None,
) -> RecordingOutcome:
    """Do what is left of an episode: all of it, or what comes after the last checkpoint.

    Does not raise for what can go wrong with an episode: the outcome says it. When the outcome is noted elsewhere,
    ``clear_state`` removes the checkpoint; until then a second call does nothing twice.

    Args:
        task: the episode.
        engine: of ``task.model`` on ``task.device`` with ``task.detect``; it stays open.
        on_progress: called a few times per second.
        cancellation: saves a checkpoint and ends the work.
        embedder: of ``task.characters``, which stays open; None: it is opened for this episode.
    """
    work = _Episode(task, engine, on_progress, cancellation or Cancellation(), embedder)
    try:
        with writing(task.part), open_folder(task.out, PARTS_FOLDER, makes=True):
            pass  # nothing on the way to the state is a link
        with lock_file(task.lock) as is_ours:
            if not is_ours:
                return RecordingOutcome(RecordingState.BUSY, error=f"{task.name}: another run is working on it")
            return work.outcome(work.run())
    except Cancelled:
        return work.outcome(RecordingState.CANCELLED)
    except Exception as error:
        kind = failure_kind(error, task.source)
        if kind is FailureKind.PROGRAM:
            _log.exception("%s: a defect of the program", task.name)
        if kind is FailureKind.MEDIA and work.is_tracked:
            kind = FailureKind.TRANSIENT
        return work.outcome(_STATES.get(kind, RecordingState.FAILED), said_in_one_line(error, task.source))


def clear_state(task: RecordingTask) -> None:
    """Remove the checkpoint of ``task``, its journal and its parts, unless a process works on it; its outputs stay.

    Raises:
        OutputError: it cannot be removed.
    """
    if not task.lock.exists():
        return
    with lock_file(task.lock) as is_ours:
        if is_ours:
            with writing(task.part):
                for path in task.lock.parent.glob(f"{task.part.stem}.*"):
                    if path != task.lock:
                        remove(path)
                remove(task.journal)
                remove(task.lock)


class _Episode:
    """The work on one episode, whose lock is held."""

    def __init__(
        self,
        task: RecordingTask,
        engine: Engine,
        on_progress: OnProgress,
        cancellation: Cancellation,
        embedder: Embedder | None,
    ) -> None:
        self._embedder = embedder
        self.is_tracked = False  # the video could be read to its end
        self._task, self._engine, self._on_progress, self._cancellation = task, engine, on_progress, cancellation
        self._attempt = Attempt()
        self._checkpoints = CheckpointFile(task.checkpoint, task.checkpoint_seconds, task.name)
        self._results = task.path_of(RESULTS)
        self._finished = task.part if task.characters is None else task.settled
        self._names = FinalNames(task.out, (), Journal(task.journal).note)
        self._refused: list[str] = []
        self._end = ResultEnd(0)
        self._told_at = time.perf_counter()

    def run(self) -> RecordingState:
        """Do all that is left; DONE, BROKEN or REFUSED.

        Raises:
            Cancelled: a later call continues.
            MediaError: the video cannot be read from its first frame on, or any more.
            AcfdError: anything else.
        """
        self._cancellation.check()
        journal = Journal(self._task.journal)
        self._names = FinalNames(self._task.out, [*self._task.published, *journal.read()], journal.note)
        made = self._outputs_of_finished_results()
        if made is None:
            self._names.require_free(self._task.name_of(RESULTS), is_result)
            if not self._is_taken():
                self._track()
            made = ()
        if self._end.is_broken:
            return RecordingState.BROKEN
        self.is_tracked = True
        self._make_outputs(made)
        return RecordingState.REFUSED if self._refused else RecordingState.DONE

    def outcome(self, state: RecordingState, error: str | None = None) -> RecordingOutcome:
        """The outcome so far."""
        is_there = state in (RecordingState.DONE, RecordingState.BROKEN, RecordingState.REFUSED)
        paths = [self._task.path_of(output) for output in dict.fromkeys((RESULTS, *self._task.outputs))]
        if self._refused:
            error = "; ".join(self._refused)
        if error is None and self._end.error is not None:
            error = f"{source_name(self._task.source)}: {self._end.error}"
        return replace(
            self._attempt.outcome(state),
            error=error,
            warnings=self._end.warnings,
            gaps=self._end.gaps,
            paths=tuple(path for path in paths if is_there and path.exists()),
            published=self._names.files() if is_there and (self.is_tracked or state is RecordingState.BROKEN) else (),
        )

    # Results of earlier attempts

    def _outputs_of_finished_results(self) -> tuple[str, ...] | None:
        """The outputs that were made of results that are in place; None: there are no such results yet."""
        task, values = self._task, self._checkpoints.read()
        if values is not None and values["stage"] == "finish":
            return self._outputs_of_record(values)
        if task.is_tracked and values is None and self._results.exists():
            if self._task.published and not self._names.is_unchanged(task.name_of(RESULTS)):
                raise ForeignFileError(
                    f"DATA LOSS: {self._results} is not what this program wrote; it is kept; "
                    "move it away, then run again"
                )
            try:
                self._read_end(None)
            except MediaError as error:
                _log.warning("%s is tracked again: %s", task.name, error)
                return None
            # The run that wrote the results removed what was made of earlier ones.
            made = tuple(output for output in task.outputs if self._names.has(task.name_of(output)))
            return None if self._end.is_broken else made
        return None

    def _outputs_of_record(self, values: Mapping[str, Any]) -> tuple[str, ...] | None:
        task, size = self._task, values["bytes"]
        if self._finished.exists() and self._finished.stat().st_size == size:
            self._names.publish(self._finished, task.name_of(RESULTS))
        is_older = not task.published and not task.journal.exists()  # a version without digests named the results
        if is_older and self._results.exists() and self._results.stat().st_size == size and is_result(self._results):
            there = [output for output in (RESULTS, *values["made"]) if task.path_of(output).exists()]
            self._names.adopt(map(task.name_of, dict.fromkeys(there)))
        if self._results.exists() and self._names.is_unchanged(task.name_of(RESULTS)):
            self._read_end(RecordingStats.from_values(values["figures"]))
            return tuple(output for output in values["made"] if self._names.has(task.name_of(output)))
        return None

    def _read_end(self, stats: RecordingStats | None) -> None:
        """Read from the finished results how they end, and their statistics unless they are known."""
        results = read_results(self._results)
        self._end = results.end
        self._attempt.begin_with(stats or RecordingStats.of_results(results, self._task.speed))

    # Tracking

    def _track(self) -> None:
        """Track to the end; the results are then in place."""
        task = self._task
        recording = Recorder(
            source=task.source,
            settings=task,
            lines=FileLines(task.part),
            views=None if task.characters is None else FileLines(task.found_views),
            checkpoints=self._checkpoints,
            engine=self._engine,
            embedder=self._embedder,
            name=source_name(task.source),
            watch=SourceWatch(task.source),
            attempt=self._attempt,
            on_progress=self._tell_tracked,
            cancellation=self._cancellation,
        ).record()
        if recording.state is RecordingState.CANCELLED:
            raise Cancelled
        self._end = recording.end
        if self._finished != task.part:
            with closing(FileLines(self._finished)) as lines:
                settle(task.part, lines, self._end.characters)
        self._put_in_place()

    def _is_taken(self) -> bool:
        """Take the results of an equal video, if there are any, as they were written; whether they are in place."""
        task, equal = self._task, self._task.equal
        if equal is None or not FinalNames(task.out, [equal], ignore).is_unchanged(equal.path):
            return False
        if not self._are_views_taken():
            return False
        lines = FileLines(self._finished)
        try:
            take_lines(task.out / equal.path, lines, source_name(task.source))
            results = read_results(self._finished)
        except (MediaError, FileNotFoundError) as error:
            _log.warning("%s is tracked: %s", task.name, error)
            return False
        finally:
            lines.close()
        self._end = results.end
        self._attempt.begin_with(RecordingStats.of_results(results, task.speed))
        self._put_in_place()
        return True

    def _are_views_taken(self) -> bool:
        """Take the views of an equal video, if there are any to take; False: they are gone."""
        task, equal = self._task, self._task.equal_views
        if task.characters is None or VIEWS not in task.outputs:
            return True
        if equal is None or not FinalNames(task.out, [equal], ignore).is_unchanged(equal.path):
            return False
        with writing(task.found_views):
            shutil.copyfile(task.out / equal.path, task.found_views)
        return True

    def _put_in_place(self) -> None:
        """Give the results their name; what was made of those before is removed."""
        task = self._task
        self._checkpoints.save_finished(self._finished.stat().st_size, self._attempt.stats, ())
        self._names.require_replaceable(self._finished, task.name_of(RESULTS))
        remove_outputs(task, self._names)
        self._names.publish(self._finished, task.name_of(RESULTS))

    # Outputs

    def _make_outputs(self, made: tuple[str, ...]) -> None:
        results, speed = read_results(self._results), self._attempt.stats.speed()
        job = DerivedJob(self._task, results, self._names, self._cancellation, speed, self._tell_finishing)
        for output in missing_outputs(self._task, made):
            try:
                make_output(output, job)
            except ForeignFileError as error:
                self._refused.append(str(error))
                continue
            made = (*made, output)
            self._save_made(made)
        if not made:
            self._save_made(made)

    def _save_made(self, made: tuple[str, ...]) -> None:
        self._checkpoints.save_finished(self._results.stat().st_size, self._attempt.stats, made)

    # Progress

    def _tell_tracked(self, progress: RecordingProgress, result: FrameResult) -> None:
        if self._is_time_to_tell():
            self._on_progress(progress)

    def _tell_finishing(self) -> None:
        if self._is_time_to_tell():
            self._on_progress(self._attempt.progress(self._attempt.stats.frames, RecordingStage.FINISH))

    def _is_time_to_tell(self) -> bool:
        now = time.perf_counter()
        is_time = now - self._told_at >= _PROGRESS_SECONDS
        self._told_at = now if is_time else self._told_at
        return is_time
