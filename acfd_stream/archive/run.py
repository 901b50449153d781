"""A run over an archive: finds the videos, skips those that are done, and has workers record the rest.

Processes and clusters are behind the class ``Workers``. This module hands out tasks and writes the manifest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from acfd_stream.archive import episode_checks
from acfd_stream.archive.episode_checks import EpisodeChecks, discard_state, expected_outputs, size_of
from acfd_stream.archive.episode_queue import EpisodeQueue, QueuedEpisode, is_for_good
from acfd_stream.archive.find import Fault, Findings, find
from acfd_stream.archive.key import Settings, known_content
from acfd_stream.archive.manifest import Manifest
from acfd_stream.archive.moved import EqualResults, forget_moved, withdraw_old_pages, without_results
from acfd_stream.archive.options import ArchiveOptions
from acfd_stream.archive.pause import Pause
from acfd_stream.archive.records import Claim, Episode, EpisodeStatus
from acfd_stream.archive.run_metrics import ArchiveMetrics
from acfd_stream.archive.run_progress import NoObserver, RunCounters, RunEnd, RunObserver, done_values
from acfd_stream.archive.workers import Began, Ended, Lost, Progressed, WorkerEvent, Workers
from acfd_stream.errors import AcfdError
from acfd_stream.outputs import FORMATS, check_format
from acfd_stream.outputs.formats import RESULTS
from acfd_stream.recording.task import RecordingOutcome, RecordingProgress, RecordingState, RecordingTask
from acfd_stream.shortage import is_shortage
from acfd_stream.video.origin import is_url, local_path, without_secrets

StartWorkers = Callable[[int], tuple[Workers[Any], int]]
"""Number of episodes → workers, which the run closes, and the threads that each of them may use."""
_TICK_SECONDS = 0.25
_NOTE_SECONDS = 2.0  # between writes of progress to the manifest
_PATIENCE_SECONDS = 20.0  # for the workers' last checkpoints
_log = logging.getLogger(__name__)


class ArchiveRun:
    """One run over an archive; use it once.

    Args:
        call: what to run.
        start_workers: makes the workers; not called where there is nothing to do.
        observer: shows the run.
        metrics: counts it.
        is_stopped: whether to save and end; called several times per second.
        find_videos: finds the videos; None: ``find`` at the places of ``call``.
        clock: seconds, never backwards.
    """

    def __init__(
        self,
        call: ArchiveOptions,
        start_workers: StartWorkers,
        *,
        observer: RunObserver | None = None,
        metrics: ArchiveMetrics | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
        find_videos: Callable[[], Findings] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._call, self._start_workers, self._is_stopped, self._clock = call, start_workers, is_stopped, clock
        self.out, self._find = call.out, find_videos or (lambda: find(call.places, call.out))
        self._observer = observer or NoObserver()
        self._metrics = metrics or ArchiveMetrics()
        self._counters = RunCounters(clock)
        self._running: dict[str, QueuedEpisode] = {}
        self._workers: Workers[Any] | None = None
        self._threads = 0
        self._has_changed = False
        self._fresh: dict[str, RecordingProgress] = {}  # not in the manifest yet
        self._shown_at = self._noted_at = 0.0
        self._run = 0  # its number; 0: the manifest does not have it yet
        self._manifest: Manifest
        limit = call.archive.wait_for_room_seconds
        self._pause = Pause(call.out, limit, tell=self._tell_pause, show=self._show, is_stopped=is_stopped, clock=clock)

    def run(self) -> RunEnd:
        """Work until every video is done or set aside, or until ``is_stopped``.

        Raises:
            AcfdError: no video can be recorded: there are none, the model or device is missing, the results cannot be
                written, or the library of an output is not installed.
        """
        call = self._call
        settings = Settings.of(call).digest()
        for format in sorted(set(call.outputs) & set(FORMATS)):
            check_format(format)
        findings = self._find()
        with self._pause.trying(lambda: Manifest(call.out, is_new=True, wait=self._pause.wait)) as manifest:
            self._manifest, self._checks = manifest, EpisodeChecks(call, settings)
            if any(is_url(place) and without_secrets(place) != place for place in call.places):
                manifest.keep_private()
            manifest.clear_dead_runs()
            self._run = manifest.begin_run(call.values())
            code = 1
            try:
                is_stopped = self._worked_off(findings)
                end = RunEnd(self._counters.snapshot(0), is_stopped, self._has_changed)
                code = 0 if end.is_all_done else 1
            finally:
                self._end_run(code)
        self._metrics.show(end.snapshot)
        self._observer.show(end.snapshot)
        return end

    def write_index(self) -> None:
        """Write the index of the archive after ``run``; waits for room as the run does.

        Raises:
            OutputError: it cannot be written.
        """
        from acfd_stream.archive.reports import write_index

        self._run = 0
        self._pause.trying(lambda: write_index(self._call.out, self._pause.wait))

    def _worked_off(self, findings: Findings) -> bool:
        """Record what needs work; whether the run was stopped before all was settled."""
        try:
            findings = without_results(findings, self.out, self._manifest)
            known = self._manifest.episodes()
            if "report" in self._call.outputs:
                withdraw_old_pages(self._manifest, self.out, known, findings)
            self._equal = EqualResults(self._manifest, self.out, known)
            episodes = self._sorted_out(findings, known)
            self._observer.note("begin", videos=self._counters.snapshot(0).total, to_do=len(episodes))
            self._show()
            is_stopped = self._worked_on(episodes) if episodes else False
            if not is_stopped and forget_moved(self._manifest, self.out, known, findings.names):
                self._has_changed = True
        except AcfdError as error:
            if self._is_stopped() and is_shortage(error):  # the manifest cannot be written: the next run sees that
                return True
            raise
        if not is_stopped:
            self._pause.end()
        return is_stopped

    def _end_run(self, code: int) -> None:
        try:
            self._manifest.end_run(self._run, code)
        except AcfdError as error:
            if not is_shortage(error):
                raise
            _log.warning("the end of the run could not be noted: %s", error)

    # Which episodes need work

    def _sorted_out(self, findings: Findings, episodes_before: list[Episode]) -> list[QueuedEpisode]:
        """The episodes that need work; everything that was found is entered in the manifest and the counters."""
        manifest = self._manifest
        known = {episode.name: episode for episode in episodes_before}
        new = [(v.name, v.source, v.size) for v in findings.videos if episode_checks.is_news(known.get(v.name), v)]
        manifest.expect([*new, *((fault.name, fault.source, None) for fault in findings.faults)])
        for fault in findings.faults:
            self._put_aside_fault(fault)
        episodes = []
        for video in findings.videos:
            queued = QueuedEpisode(video, content=known_content(video, manifest) or "", stamp=video.stamp)
            episode = known.get(video.name)
            state = self._checks.settled_state(queued, episode) if queued.content else None
            if state is None:
                episodes.append(queued)
            self._counters.put(
                video.name,
                state or EpisodeStatus.WAITING,
                episode.error if episode is not None and state is EpisodeStatus.BROKEN else "",
                video.size,
            )
        manifest.wait_all([queued.name for queued in episodes if queued.content])
        manifest.forget([name for name in known.keys() - findings.names if episode_checks.is_gone(known[name])])
        return episodes

    # Working

    def _worked_on(self, episodes: list[QueuedEpisode]) -> bool:
        """Have ``episodes`` recorded; whether the run was stopped before all were settled."""
        with ExitStack() as opened:
            queue = opened.enter_context(EpisodeQueue(episodes, self._call.archive, self._clock))
            opened.callback(self._equal.close)
            opened.callback(lambda: None if self._workers is None else self._workers.close())
            while queue or self._running:
                if self._is_stopped():
                    self._stop_workers()
                    return True
                is_going = self._pause.is_over()
                if is_going:
                    self._give(queue)
                if self._workers is not None and self._running:
                    self._hear(self._workers.events(_TICK_SECONDS), queue)
                elif is_going:
                    queue.wait(_TICK_SECONDS)
                else:
                    time.sleep(_TICK_SECONDS)
                self._show()
        return False

    def _give(self, queue: EpisodeQueue) -> None:
        """Hand out episodes while workers are idle; the workers start when the first episode is ready."""
        while self._workers is None or self._workers.idle:
            queued = queue.next(ahead=2 if self._workers is None else self._workers.count)
            if queued is None:
                return
            if queued.fault is not None:
                self._unreadable(queued, queued.fault, queue)
                continue
            if queued.may_remember and queued.stamp is not None:
                self._manifest.keep_digest(local_path(queued.video.source) or "", queued.stamp, queued.content)
            self._give_one(queued, queue)

    def _give_one(self, queued: QueuedEpisode, queue: EpisodeQueue) -> None:
        """Hand out one episode, unless another run has it, or has finished it."""
        claim, episode = self._manifest.claim(
            queued.name, self._run, lambda episode: self._checks.settled_state(queued, episode) is not None
        )
        if claim is Claim.SETTLED and episode is not None:
            self._settle(queued, episode.state, episode.error)
            return
        if claim is Claim.THEIRS:
            queue.busy(queued)
            return
        if self._workers is None:
            self._workers, self._threads = self._pause.trying(lambda: self._start_workers(len(queue) + 1))
        queued.frames = 0
        self._running[queued.name] = queued
        task = self._checks.task(
            queued,
            is_tracked=self._checks.is_tracked(queued, episode),
            threads=self._threads,
            published=self._manifest.published(queued.name),
            speed=None if episode is None else episode.speed,
        )
        self._workers.give(self._equal.added_to(task))

    def _hear(self, events: list[WorkerEvent], queue: EpisodeQueue | None) -> None:
        for event in events:
            queued = self._running[event.task.name]
            if isinstance(event, Began):
                self._manifest.began(queued.name, event.worker, self._run)
                self._counters.began(queued.name, event.worker, queued.video.size)
            elif isinstance(event, Progressed):
                queued.frames = event.progress.frames
                self._fresh[queued.name] = event.progress
                self._metrics.frames(self._counters.progressed(queued.name, event.progress))
            elif isinstance(event, Lost):
                self._lost(queued, event, queue)
            else:
                self._ended(queued, event, queue)

    def _ended(self, queued: QueuedEpisode, event: Ended, queue: EpisodeQueue | None) -> None:
        outcome, state = event.outcome, event.outcome.state
        self._remove_from_running(queued, outcome)
        self._metrics.attempt(state.value)
        if state in (RecordingState.DONE, RecordingState.BROKEN) and queued.forget_if_changed():
            state = RecordingState.FAILED  # its disk may have gone away: that is no damage of the video
            error = outcome.error or f"{queued.video.source}: was written to while it was read"
            outcome = RecordingOutcome(state, error=error)
        if state is RecordingState.DONE:
            self._done(queued, event.task, outcome)
        elif state is RecordingState.REFUSED:
            self._refused(queued, event.task, outcome)
        elif state is RecordingState.NO_ROOM:
            self._pause.begin(outcome.error or "there is no room")
            self._manifest_waits(queued, outcome.error or "")
            if queue is not None:
                queue.busy(queued)
        elif state is RecordingState.BROKEN:
            self._set_aside(queued, EpisodeStatus.BROKEN, outcome)
            discard_state(event.task)
        elif state is RecordingState.FAILED:
            self._failed(queued, outcome, queue)
        else:  # a worker of a run that was killed still records it, or the run stops
            self._manifest_waits(queued, "")
            if queue is not None:
                queue.busy(queued)

    def _refused(self, queued: QueuedEpisode, task: RecordingTask, outcome: RecordingOutcome) -> None:
        """Note what could be published of an episode; its other names are taken by files that are not ours."""
        if outcome.published:  # its JSONL is there
            paths = {file.path.rstrip("/") for file in outcome.published}
            expected = expected_outputs(task, self._manifest.get(queued.name))
            outputs, size = episode_checks.made_outputs(task, expected, paths), size_of(task.path_of(RESULTS))
            self._manifest.done(task, outcome, outputs, size, state=EpisodeStatus.FAILING)
            discard_state(task)
            self._note_set_aside(queued, EpisodeStatus.FAILING, outcome)
        else:
            self._set_aside(queued, EpisodeStatus.FAILING, outcome)

    def _done(self, queued: QueuedEpisode, task: RecordingTask, outcome: RecordingOutcome) -> None:
        outputs = expected_outputs(task, self._manifest.get(queued.name))
        self._manifest.done(task, outcome, outputs, size_of(task.path_of(RESULTS)))
        self._has_changed = True
        discard_state(task)
        self._settle(queued, EpisodeStatus.DONE, "")
        if not task.is_tracked:
            self._metrics.video_seconds(outcome.video_seconds)
            self._metrics.gaps(outcome.gaps)
        self._observer.note("episode", name=queued.name, state="done", **done_values(outcome))

    def _failed(self, queued: QueuedEpisode, outcome: RecordingOutcome, queue: EpisodeQueue | None) -> None:
        error = outcome.error or "failed without a reason"
        if outcome.frames > queued.best_frames:  # it got further: the cause of the earlier tries has passed
            queued.best_frames, queued.attempts = outcome.frames, 0
        if queue is not None and not queue.again(queued):
            self._set_aside(queued, EpisodeStatus.FAILING, outcome)
            return
        self._manifest_waits(queued, error)
        self._observer.note("retry", name=queued.name, attempt=queued.attempts, reason=error)

    def _lost(self, queued: QueuedEpisode, event: Lost, queue: EpisodeQueue | None) -> None:
        self._remove_from_running(queued, None)
        self._metrics.attempt("lost")
        if queue is not None and not queue.lost(queued):
            error = f"{queued.video.source}: {queued.losses} workers were lost at it ({event.reason}); check this video"
            outcome = RecordingOutcome(RecordingState.BROKEN, frames=queued.frames, error=error)
            self._set_aside(queued, EpisodeStatus.BROKEN, outcome)
            return
        self._manifest_waits(queued, f"worker lost: {event.reason}")
        self._observer.note("lost", name=queued.name, worker=event.worker, reason=event.reason)

    def _remove_from_running(self, queued: QueuedEpisode, outcome: RecordingOutcome | None) -> None:
        del self._running[queued.name]
        self._fresh.pop(queued.name, None)
        self._metrics.frames(self._counters.ended(queued.name, outcome))

    def _manifest_waits(self, queued: QueuedEpisode, error: str) -> None:
        self._manifest.wait(queued.name, self._run, error=error, attempts=queued.attempts + queued.losses)
        self._counters.put(queued.name, EpisodeStatus.WAITING)

    # Setting aside

    def _unreadable(self, queued: QueuedEpisode, fault: AcfdError, queue: EpisodeQueue) -> None:
        """Set aside, or try again, an episode whose content cannot be read."""
        outcome = RecordingOutcome(RecordingState.BROKEN, error=str(fault))
        if is_for_good(fault):
            self._set_aside(queued, EpisodeStatus.BROKEN, outcome)
        else:
            self._failed(queued, outcome, queue)

    def _set_aside(self, queued: QueuedEpisode, state: EpisodeStatus, outcome: RecordingOutcome) -> None:
        key = self._checks.key_of(queued) if queued.content else ""
        tries = max(1, queued.attempts + queued.losses)
        self._manifest.set_aside(queued.name, state, outcome, attempts=tries, key=key)
        self._note_set_aside(queued, state, outcome)

    def _note_set_aside(self, queued: QueuedEpisode, state: EpisodeStatus, outcome: RecordingOutcome) -> None:
        self._has_changed = True
        self._settle(queued, state, outcome.error or "")
        self._observer.note("episode", name=queued.name, state=state.value, frames=outcome.frames, reason=outcome.error)

    def _put_aside_fault(self, fault: Fault) -> None:
        outcome = RecordingOutcome(RecordingState.BROKEN, error=fault.reason)
        self._manifest.set_aside(fault.name, EpisodeStatus.BROKEN, outcome, attempts=0, key="")
        self._counters.put(fault.name, EpisodeStatus.BROKEN, fault.reason)

    def _settle(self, queued: QueuedEpisode, state: EpisodeStatus, error: str) -> None:
        self._counters.put(queued.name, state, error)
        self._counters.settled(queued.video.size)

    # Showing and ending

    def _tell_pause(self, reason: str) -> None:
        if self._run:
            self._manifest.note_pause(self._run, reason)
        if reason:
            self._observer.note("paused", reason=reason)
        else:
            self._observer.note("resumed")

    def _show(self) -> None:
        now = self._clock()
        if now - self._shown_at >= _TICK_SECONDS:
            self._shown_at = now
            workers = 0 if self._workers is None else self._workers.count
            snapshot = replace(self._counters.snapshot(workers), pause=self._pause.reason)
            self._metrics.show(snapshot)
            self._observer.show(snapshot)
        # While a call of the manifest waits here, it is not asked again.
        if now - self._noted_at >= _NOTE_SECONDS and not self._pause.reason:
            self._noted_at = now
            self._manifest.progressed(self._run, self._fresh)
            self._fresh.clear()

    def _stop_workers(self) -> None:
        """Have the workers save checkpoints, and wait for them for a limited time."""
        workers = self._workers
        if workers is None:
            return
        workers.stop()
        until = self._clock() + _PATIENCE_SECONDS
        while self._running and self._clock() < until:
            self._hear(workers.events(_TICK_SECONDS), None)
