"""One episode from its video to all its outputs, in one go or over any number of kills, with the same bytes.

Its lines go to a part with checkpoints, the part takes its final name, and everything else is made from it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from acfd_stream.errors import AcfdError, MediaError, OverloadedError, ResumeError
from acfd_stream.files import held, put_in_place, remove, sync_folder, writing
from acfd_stream.outputs import ResultEnd, read_results
from acfd_stream.outputs.formats import RESULTS
from acfd_stream.pipeline.checkpoint import SessionState
from acfd_stream.pipeline.engine import Engine
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.recording.checkpoint_file import load_record, save_record
from acfd_stream.recording.derived import Finishing, Stopped, make_output, missing_outputs, remove_outputs
from acfd_stream.recording.failure_kind import Reading, is_passing, said_in_one_line
from acfd_stream.recording.lines import Part
from acfd_stream.recording.record import Closing, expected_frames, write_down
from acfd_stream.recording.remote import opened
from acfd_stream.recording.stats import Figures
from acfd_stream.recording.task import (
    EpisodeOutcome,
    EpisodeProgress,
    EpisodeStage,
    EpisodeState,
    EpisodeTask,
)
from acfd_stream.types import FrameResult
from acfd_stream.video.origin import source_name

Report = Callable[[EpisodeProgress], None]
_REPORT_SECONDS = 0.25
_log = logging.getLogger(__name__)


def work_on(
    task: EpisodeTask,
    detector: Engine,
    report: Report = lambda progress: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> EpisodeOutcome:
    """Do what is left of an episode: all of it, or what lies behind the last checkpoint.

    Never raises for what can go wrong with an episode: the outcome says it. Once the outcome is noted elsewhere
    ``forget`` clears what is kept for going on; until then calling this again does nothing twice.

    Args:
        task: the episode.
        detector: of ``task.model`` on ``task.device`` with ``task.detect``; it stays open.
        report: told a few times a second how far it is.
        is_stopped: asked between frames and outputs whether to save a checkpoint and end.
    """
    work = _Work(task, detector, report, is_stopped)
    try:
        with held(task.lock) as is_ours:
            if not is_ours:
                return EpisodeOutcome(EpisodeState.BUSY, error=f"{task.name}: another run is working on it")
            return work.outcome(work.done())
    except Stopped:
        return work.outcome(EpisodeState.STOPPED)
    except MediaError as error:
        is_broken = not (work.is_media_failure_passing or is_passing(error, task.source))
        state = EpisodeState.BROKEN if is_broken else EpisodeState.FAILED_PASSING
        return work.outcome(state, said_in_one_line(error, task.source))
    except Exception as error:
        if not isinstance(error, AcfdError | OSError | MemoryError):
            _log.exception("%s: a fault of the program", task.name)
        return work.outcome(EpisodeState.FAILED_PASSING, said_in_one_line(error, task.source))


def forget(task: EpisodeTask) -> None:
    """Clear what is kept for going on with ``task``, unless somebody is working on it; its outputs stay.

    Raises:
        OutputError: it cannot be removed.
    """
    if not task.lock.exists():
        return
    with held(task.lock) as is_ours:
        if is_ours:
            with writing(task.part):
                for path in task.lock.parent.glob(f"{task.part.stem}.*"):
                    if path != task.lock:
                        remove(path)
                remove(task.lock)


class _Work:
    """The work on one episode, by whoever holds its lock."""

    def __init__(self, task: EpisodeTask, detector: Engine, report: Report, is_stopped: Callable[[], bool]) -> None:
        self.task, self.report, self.is_stopped = task, report, is_stopped
        self.figures = Figures()
        self.is_media_failure_passing = False
        self._detector = detector
        self._end = ResultEnd(0)
        self._before = Figures()  # when this attempt began
        self._begun = self._told_at = time.perf_counter()

    def done(self) -> EpisodeState:
        """Do all that is left; DONE or BROKEN.

        Raises:
            Stopped: told to.
            MediaError: the video cannot be read from its first frame on, or any more.
            AcfdError: anything else.
        """
        if self.is_stopped():
            raise Stopped
        record = load_record(self.task)
        made = self._take_up(record)
        if made is None:
            self._track(record)
            made = ()
        if not self._end.is_complete:
            return EpisodeState.BROKEN
        self.is_media_failure_passing = True  # it could be read to its end
        self._make_outputs(made)
        return EpisodeState.DONE

    def outcome(self, state: EpisodeState, error: str | None = None) -> EpisodeOutcome:
        """What there is to say now."""
        is_there = state in (EpisodeState.DONE, EpisodeState.BROKEN)
        places = [self.task.place(output) for output in dict.fromkeys((RESULTS, *self.task.outputs))]
        if error is None and self._end.error is not None:
            error = f"{source_name(self.task.source)}: {self._end.error}"
        return replace(
            self.figures.outcome(state, self._before),
            error=error,
            warnings=self._end.warnings,
            places=tuple(place for place in places if is_there and place.exists()),
        )

    # Taking up what is there

    def _take_up(self, record: Mapping[str, Any] | None) -> tuple[str, ...] | None:
        """The outputs that are made of results that are in place; None: there are no such results yet."""
        task, place = self.task, self.task.place(RESULTS)
        if record is not None and record["stage"] == "finish":
            if task.part.exists() and task.part.stat().st_size == record["bytes"]:
                self._put_results_in_place()
            if place.exists() and place.stat().st_size == record["bytes"]:
                self._know_results(Figures.from_values(record["figures"]))
                return tuple(output for output in record["made"] if task.place(output).exists())
        if task.is_tracked and record is None and place.exists():
            try:
                self._know_results(None)
            except MediaError as error:
                _log.warning("%s is tracked again: %s", task.name, error)
                return None
            # Whoever put the results there removed what was made of others.
            made = tuple(output for output in task.outputs if task.place(output).exists())
            return made if self._end.is_complete else None
        return None

    def _know_results(self, figures: Figures | None) -> None:
        """Read from the finished results what there is to say of them."""
        results = read_results(self.task.place(RESULTS))
        self._end = results.end
        self._begin_with(figures or Figures.of_results(results))

    def _begin_with(self, figures: Figures) -> None:
        self.figures, self._before = figures, deepcopy(figures)

    # Tracking

    def _track(self, record: Mapping[str, Any] | None) -> None:
        """Track to the end; the results are then in place."""
        saved = record if record is not None and record["stage"] == "track" else None
        if saved is not None:
            try:
                self._track_from(saved)
                return
            except ResumeError as error:
                _log.warning("%s begins again: %s", self.task.name, error)
        with writing(self.task.checkpoint):  # before the part is emptied: it speaks of what lies there
            self.task.checkpoint.parent.mkdir(parents=True, exist_ok=True)
            remove(self.task.checkpoint)
            sync_folder(self.task.checkpoint.parent)
        self._track_from(None)

    def _track_from(self, saved: Mapping[str, Any] | None) -> None:
        task = self.task
        self._begin_with(Figures() if saved is None else Figures.from_values(saved["figures"]))
        reading = Reading(source_name(task.source), task.source)
        with ExitStack() as stack:
            part = stack.enter_context(Part(task.part, 0 if saved is None else saved["bytes"]))
            source = stack.enter_context(opened(task.source))
            try:
                session = stack.enter_context(self._session(reading.watched(source), saved))
                sheet = _EpisodeSheet(self, part, session)
                stack.callback(sheet.count_work)
                closing = write_down(session, sheet, source=reading.name, saved=saved)
            except (MediaError, ResumeError):
                self.is_media_failure_passing = reading.failure is not None
                reading.require_unchanged()
                raise
            if closing is None:
                raise Stopped
            self._require_sound(reading, closing)
            sheet.count_work()
            part.write(closing.line)
            part.sync()
            self._end = closing.end
            self.figures.video_seconds = json.loads(closing.line)["duration"]
            save_record(task, {"stage": "finish", "bytes": part.size, "figures": self.figures.values(), "made": []})
        remove_outputs(task)
        self._put_results_in_place()

    def _session(self, source: Any, saved: Mapping[str, Any] | None) -> TrackSession:
        task = self.task
        return TrackSession(
            source,
            detector=self._detector,
            video_config=task.video,
            track_config=task.track,
            shot_config=task.shot,
            resume=None if saved is None else SessionState(saved["session"]),
        )

    def _require_sound(self, reading: Reading, closing: Closing) -> None:
        """Raise unless these results are those of the video, whole or broken as it is: nothing failed beside it.

        The last checkpoint stands: what came after it was made of an end that is none.
        """
        reading.require_unchanged()
        if closing.end.error is not None and reading.is_break_passing(closing.end.error):
            raise OverloadedError(f"{reading.name}: {closing.end.error}; a later try goes on from there")

    def _put_results_in_place(self) -> None:
        put_in_place(self.task.part, self.task.place(RESULTS))

    # Finishing

    def _make_outputs(self, made: tuple[str, ...]) -> None:
        task = self.task
        place = task.place(RESULTS)
        finishing = Finishing(task, read_results(place), self.is_stopped, self.figures.speed(), self._tell_finish)
        for output in missing_outputs(task, made):
            make_output(output, finishing)
            made = (*made, output)
            self._save_finish(place, made)
        if not made:
            self._save_finish(place, made)

    def _save_finish(self, place: Path, made: tuple[str, ...]) -> None:
        size = place.stat().st_size
        values = {"stage": "finish", "bytes": size, "figures": self.figures.values(), "made": list(made)}
        save_record(self.task, values)

    def _tell_finish(self) -> None:
        self.tell(EpisodeStage.FINISH, self.figures.frames)

    def tell(self, stage: EpisodeStage, expected_frames: int | None) -> None:
        """Report how far it is, unless that was said just now."""
        now, figures = time.perf_counter(), self.figures
        if now - self._told_at < _REPORT_SECONDS:
            return
        self._told_at = now
        self.report(
            EpisodeProgress(
                frames=figures.frames,
                expected_frames=expected_frames,
                tracks=figures.tracks,
                seconds=now - self._begun,
                new_frames=figures.worked_frames - self._before.worked_frames,
                video_seconds=figures.video_seconds,
                stage=stage,
            )
        )


class _EpisodeSheet:
    """The part of an episode as a ``Sheet``."""

    def __init__(self, work: _Work, part: Part, session: TrackSession) -> None:
        self._work, self._part, self._session = work, part, session
        self._expected_frames = expected_frames(session.info, session.video_config)
        self._saved_at = self._counted_at = time.perf_counter()
        self._ledger: dict[str, float] = {}

    @property
    def is_stopped(self) -> bool:
        return self._work.is_stopped()

    @property
    def wants_checkpoint(self) -> bool:
        return time.perf_counter() - self._saved_at >= self._work.task.checkpoint_seconds

    def begin(self, header: bytes, session: TrackSession, *, is_resumed: bool) -> None:
        if not is_resumed:
            self._part.write(header)
        elif not self._part.begins_with(header):
            raise ResumeError("its lines have another header; begin at the beginning")

    def write(self, line: bytes, result: FrameResult, tracks: int) -> None:
        self._part.write(line)
        self._work.figures.count(result, tracks)
        self._work.tell(EpisodeStage.TRACK, self._expected_frames)

    def save(self, state: Mapping[str, Any]) -> None:
        self.count_work()
        self._part.sync()
        figures = self._work.figures.values()
        save_record(self._work.task, {"stage": "track", "bytes": self._part.size, "figures": figures, **state})
        self._saved_at = time.perf_counter()

    def count_work(self) -> None:
        """Enter into the figures what was worked since this was last called."""
        now = time.perf_counter()
        seconds, self._counted_at = now - self._counted_at, now
        totals = {stage: times.count * times.mean_seconds for stage, times in self._session.ledger.summary().items()}
        fresh = {stage: total - self._ledger.get(stage, 0.0) for stage, total in totals.items()}
        self._ledger = totals
        self._work.figures.count_work(seconds, fresh)
