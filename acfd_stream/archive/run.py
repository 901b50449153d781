"""An archive from its folder to its results: finds the videos, skips what is done, and has a crew do the rest.

Knows nothing of processes or clusters: it gives tasks to a ``Crew`` and writes what comes back to the manifest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from acfd_stream.archive.episode_queue import Agenda, Item, is_for_good
from acfd_stream.archive.find import Fault, Findings, Video, find
from acfd_stream.archive.key import Settings, episode_key, known_content
from acfd_stream.archive.manifest import Manifest
from acfd_stream.archive.options import ArchiveCall
from acfd_stream.archive.records import Claim, Episode, EpisodeRowState
from acfd_stream.archive.run_metrics import ArchiveMetrics
from acfd_stream.archive.run_progress import Tally, Unwatched, View, Watcher
from acfd_stream.archive.workers import Began, Crew, CrewEvent, Ended, Lost, Progressed
from acfd_stream.errors import AcfdError
from acfd_stream.outputs import FORMATS, check_format
from acfd_stream.outputs.formats import RESULTS
from acfd_stream.recording.task import EpisodeOutcome, EpisodeProgress, EpisodeState, EpisodeTask
from acfd_stream.video.origin import is_url, local_path, without_secrets

Enlist = Callable[[int], tuple[Crew, int]]
"""Episodes to work on → a crew that is the run's to close, and the threads that each worker may use."""
_TICK_SECONDS = 0.25
_NOTE_SECONDS = 2.0  # how often the manifest learns how far the episodes are
_PATIENCE_SECONDS = 20.0  # for the workers' last checkpoints
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunEnd:
    """How a run ended."""

    view: View
    is_stopped: bool
    has_changed: bool  # False: what is done and set aside is what it was before

    @property
    def is_all_done(self) -> bool:
        """Whether every video has its results."""
        return self.view.counts[EpisodeRowState.DONE] == self.view.total


class ArchiveRun:
    """One run over an archive; use it once.

    Args:
        call: what is asked for.
        enlist: makes the crew; not called where there is nothing to do.
        watcher: who shows it.
        metrics: where it is counted.
        is_stopped: whether to save and end; asked several times a second.
        clock: seconds, never backwards.
    """

    def __init__(
        self,
        call: ArchiveCall,
        enlist: Enlist,
        *,
        watcher: Watcher | None = None,
        metrics: ArchiveMetrics | None = None,
        is_stopped: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._call, self._enlist, self._is_stopped, self._clock = call, enlist, is_stopped, clock
        self._watcher = watcher or Unwatched()
        self._metrics = metrics or ArchiveMetrics()
        self._tally = Tally(clock)
        self._under_way: dict[str, Item] = {}
        self._crew: Crew | None = None
        self._threads = 0
        self._has_changed = False  # what is done or set aside is not what it was before
        self._fresh: dict[str, EpisodeProgress] = {}  # not in the manifest yet
        self._shown_at = self._noted_at = 0.0

    def run(self) -> RunEnd:
        """Work until every video is done or set aside, or until told to stop.

        Raises:
            AcfdError: nothing can be worked on: no videos, no such model or device, no place for the results, an
                output's library is not installed.
        """
        from acfd_stream.detect.detector import find_model

        call = self._call
        settings = Settings(find_model(call.model), call.detect, call.track, call.shot, call.video).digest()
        for format in sorted(set(call.outputs) & set(FORMATS)):
            check_format(format)
        findings = find(call.places, call.out)
        with Manifest(call.out, is_new=True) as manifest:
            self._manifest, self._settings = manifest, settings
            if any(is_url(place) and without_secrets(place) != place for place in call.places):
                manifest.keep_private()
            manifest.clear_dead_runs()
            self._run = manifest.begin_run(call.values())
            code = 1
            try:
                items = self._sorted_out(findings)
                self._watcher.note("begin", videos=self._tally.view(0).total, to_do=len(items))
                self._show(0)
                is_stopped = self._worked_on(items) if items else False
                end = RunEnd(self._tally.view(0), is_stopped, self._has_changed)
                code = 0 if end.is_all_done else 1
            finally:
                manifest.end_run(self._run, code)
        self._metrics.show(end.view)
        self._watcher.show(end.view)
        return end

    # What there is to do

    def _sorted_out(self, findings: Findings) -> list[Item]:
        """Items that are to be worked on; everything that was found stands in the manifest and in the tally."""
        manifest = self._manifest
        known = {episode.name: episode for episode in manifest.episodes()}
        new = [(v.name, v.source, v.size) for v in findings.videos if _is_news(known.get(v.name), v)]
        manifest.expect([*new, *((fault.name, fault.source, None) for fault in findings.faults)])
        for fault in findings.faults:
            self._put_aside_fault(fault)
        items = []
        for video in findings.videos:
            item = Item(video, content=known_content(video, manifest) or "", stamp=video.stamp)
            episode = known.get(video.name)
            state = self._settled_state(item, episode) if item.content else None
            if state is None:
                items.append(item)
            self._tally.put(
                video.name,
                state or EpisodeRowState.WAITING,
                episode.error if episode is not None and state is EpisodeRowState.BROKEN else "",
                video.size,
            )
        manifest.wait_all(item.name for item in items if item.content)
        found = {video.name for video in findings.videos} | {fault.name for fault in findings.faults}
        manifest.forget(name for name, episode in known.items() if name not in found and _is_gone(episode))
        return items

    def _settled_state(self, item: Item, episode: Episode | None) -> EpisodeRowState | None:
        """The state of an item that needs no work, as the manifest and the folder say; None: it needs some."""
        if episode is None or episode.key != self._key_of(item):
            return None
        if episode.state is EpisodeRowState.BROKEN and not self._call.retries_broken:
            return EpisodeRowState.BROKEN
        is_done = episode.state is EpisodeRowState.DONE and self._is_tracked(item, episode)
        wanted = set(self._call.outputs) - {RESULTS}
        there = {name for name in wanted & set(episode.outputs) if self._task(item).place(name).exists()}
        return EpisodeRowState.DONE if is_done and wanted == there else None

    def _is_tracked(self, item: Item, episode: Episode | None) -> bool:
        """Whether the JSONL of the item's key lies whole under its name."""
        if episode is None or episode.key != self._key_of(item) or not episode.result_bytes:
            return False
        try:
            return self._task(item).place(RESULTS).stat().st_size == episode.result_bytes
        except OSError:
            return False

    def _key_of(self, item: Item) -> str:
        return episode_key(item.content, self._settings)

    def _task(self, item: Item, *, is_tracked: bool = False) -> EpisodeTask:
        video = item.video
        return self._call.task(
            self._key_of(item), video.source, video.name, is_tracked=is_tracked, threads=self._threads
        )

    # Working

    def _worked_on(self, items: list[Item]) -> bool:
        """Have a crew work on ``items``; whether it was told to stop before they were through."""
        with ExitStack() as opened:
            agenda = opened.enter_context(Agenda(items, self._call.archive, self._clock))
            opened.callback(lambda: None if self._crew is None else self._crew.close())
            while agenda or self._under_way:
                if self._is_stopped():
                    self._let_go()
                    return True
                self._give(agenda)
                if self._crew is not None and self._under_way:
                    self._hear(self._crew.events(_TICK_SECONDS), agenda)
                else:
                    agenda.wait(_TICK_SECONDS)
                self._show(0 if self._crew is None else self._crew.workers)
        return False

    def _give(self, agenda: Agenda) -> None:
        """Hand out what is ready while there are free workers; none is enlisted before there is something to do."""
        while self._crew is None or self._crew.free:
            item = agenda.next(ahead=2 if self._crew is None else self._crew.workers)
            if item is None:
                return
            if item.fault is not None:
                self._unreadable(item, item.fault, agenda)
                continue
            if item.may_remember and item.stamp is not None:
                self._manifest.keep_digest(local_path(item.video.source) or "", item.stamp, item.content)
            self._give_one(item, agenda)

    def _give_one(self, item: Item, agenda: Agenda) -> None:
        """Hand out one item, unless another run has it, or has done it."""
        claim, episode = self._manifest.claim(
            item.name, self._run, lambda episode: self._settled_state(item, episode) is not None
        )
        if claim is Claim.SETTLED and episode is not None:
            self._settle(item, episode.state, episode.error)
            return
        if claim is Claim.THEIRS:
            agenda.busy(item)
            return
        if self._crew is None:
            self._crew, self._threads = self._enlist(len(agenda) + 1)
        item.frames = 0
        self._under_way[item.name] = item
        self._crew.give(self._task(item, is_tracked=self._is_tracked(item, episode)))

    def _hear(self, events: list[CrewEvent], agenda: Agenda | None) -> None:
        for event in events:
            item = self._under_way[event.task.name]
            if isinstance(event, Began):
                self._manifest.began(item.name, event.worker, self._run)
                self._tally.began(item.name, event.worker, item.video.size)
            elif isinstance(event, Progressed):
                item.frames = event.progress.frames
                self._fresh[item.name] = event.progress
                self._metrics.frames(self._tally.progressed(item.name, event.progress))
            elif isinstance(event, Lost):
                self._lost(item, event, agenda)
            else:
                self._ended(item, event, agenda)

    def _ended(self, item: Item, event: Ended, agenda: Agenda | None) -> None:
        outcome, state = event.outcome, event.outcome.state
        self._no_longer_at(item, outcome)
        self._metrics.attempt(state.value)
        if state in (EpisodeState.DONE, EpisodeState.BROKEN) and item.forget_if_changed():
            state = EpisodeState.FAILED_PASSING  # its disk may have gone away: that is no fault of the video
            error = outcome.error or f"{item.video.source}: was written to while it was read"
            outcome = EpisodeOutcome(state, error=error)
        if state is EpisodeState.DONE:
            self._done(item, event.task, outcome)
        elif state is EpisodeState.BROKEN:
            self._set_aside(item, EpisodeRowState.BROKEN, outcome)
            _forget(event.task)
        elif state is EpisodeState.FAILED_PASSING:
            self._failed(item, outcome, agenda)
        else:  # a worker of a run that was killed is still at it, or it was told to stop
            self._manifest_waits(item, "")
            if agenda is not None:
                agenda.busy(item)

    def _done(self, item: Item, task: EpisodeTask, outcome: EpisodeOutcome) -> None:
        episode = self._manifest.get(item.name)
        outputs = set(task.outputs) - {RESULTS}
        if task.is_tracked and episode is not None:  # what an earlier call asked for is there still
            outputs |= {name for name in episode.outputs if task.place(name).exists()}
        self._manifest.done(task, outcome, outputs, _size_of(task.place(RESULTS)))
        self._has_changed = True
        _forget(task)
        self._settle(item, EpisodeRowState.DONE, "")
        self._metrics.video_seconds(0.0 if task.is_tracked else outcome.video_seconds)
        speed = outcome.new_frames / outcome.seconds if outcome.seconds > 0 else None
        self._watcher.note(
            "episode",
            name=item.name,
            state="done",
            frames=outcome.frames,
            tracks=outcome.tracks,
            seconds=round(outcome.seconds, 3),
            fps=None if speed is None else round(speed, 1),
            warnings=list(outcome.warnings),
        )

    def _failed(self, item: Item, outcome: EpisodeOutcome, agenda: Agenda | None) -> None:
        error = outcome.error or "failed without a reason"
        if outcome.frames > item.best_frames:  # it got further: the cause of the earlier tries has passed
            item.best_frames, item.attempts = outcome.frames, 0
        if agenda is not None and not agenda.again(item):
            self._set_aside(item, EpisodeRowState.FAILING, outcome)
            return
        self._manifest_waits(item, error)
        self._watcher.note("retry", name=item.name, attempt=item.attempts, reason=error)

    def _lost(self, item: Item, event: Lost, agenda: Agenda | None) -> None:
        self._no_longer_at(item, None)
        self._metrics.attempt("lost")
        if agenda is not None and not agenda.lost(item):
            error = f"{item.video.source}: {item.losses} workers were lost at it ({event.reason}); look at this video"
            outcome = EpisodeOutcome(EpisodeState.BROKEN, frames=item.frames, error=error)
            self._set_aside(item, EpisodeRowState.BROKEN, outcome)
            return
        self._manifest_waits(item, f"worker lost: {event.reason}")
        self._watcher.note("lost", name=item.name, worker=event.worker, reason=event.reason)

    def _no_longer_at(self, item: Item, outcome: EpisodeOutcome | None) -> None:
        del self._under_way[item.name]
        self._fresh.pop(item.name, None)
        self._metrics.frames(self._tally.ended(item.name, outcome))

    def _manifest_waits(self, item: Item, error: str) -> None:
        self._manifest.wait(item.name, self._run, error=error, attempts=item.attempts + item.losses)
        self._tally.put(item.name, EpisodeRowState.WAITING)

    # Setting aside

    def _unreadable(self, item: Item, fault: AcfdError, agenda: Agenda) -> None:
        """Deal with an item whose content cannot be digested."""
        outcome = EpisodeOutcome(EpisodeState.BROKEN, error=str(fault))
        if is_for_good(fault):
            self._set_aside(item, EpisodeRowState.BROKEN, outcome)
        else:
            self._failed(item, outcome, agenda)

    def _set_aside(self, item: Item, state: EpisodeRowState, outcome: EpisodeOutcome) -> None:
        key = self._key_of(item) if item.content else ""
        tries = max(1, item.attempts + item.losses)
        self._manifest.set_aside(item.name, state, outcome, attempts=tries, key=key)
        self._has_changed = True
        self._settle(item, state, outcome.error or "")
        self._watcher.note("episode", name=item.name, state=state.value, frames=outcome.frames, reason=outcome.error)

    def _put_aside_fault(self, fault: Fault) -> None:
        outcome = EpisodeOutcome(EpisodeState.BROKEN, error=fault.reason)
        self._manifest.set_aside(fault.name, EpisodeRowState.BROKEN, outcome, attempts=0, key="")
        self._tally.put(fault.name, EpisodeRowState.BROKEN, fault.reason)

    def _settle(self, item: Item, state: EpisodeRowState, error: str) -> None:
        self._tally.put(item.name, state, error)
        self._tally.settled(item.video.size)

    # Showing and ending

    def _show(self, workers: int) -> None:
        now = self._clock()
        if now - self._shown_at >= _TICK_SECONDS:
            self._shown_at = now
            view = self._tally.view(workers)
            self._metrics.show(view)
            self._watcher.show(view)
        if now - self._noted_at >= _NOTE_SECONDS:
            self._noted_at = now
            self._manifest.progressed(self._run, self._fresh)
            self._fresh.clear()

    def _let_go(self) -> None:
        """Have the workers save where they are, and wait for them, though not for ever."""
        crew = self._crew
        if crew is None:
            return
        crew.stop()
        until = self._clock() + _PATIENCE_SECONDS
        while self._under_way and self._clock() < until:
            self._hear(crew.events(_TICK_SECONDS), None)


def _is_news(episode: Episode | None, video: Video) -> bool:
    return episode is None or (episode.source, episode.size) != (video.source, video.size)


def _is_gone(episode: Episode) -> bool:
    """Whether the video of an episode without results is not there any more."""
    path = local_path(episode.source)
    return episode.state is not EpisodeRowState.DONE and path is not None and not Path(path).exists()


def _forget(task: EpisodeTask) -> None:
    """Clear what the work on an episode left for going on, now that the manifest knows how it ended."""
    from acfd_stream.recording.episode import forget

    try:
        forget(task)
    except AcfdError as error:
        _log.warning("%s: %s", task.name, error)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
