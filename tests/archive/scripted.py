"""A crew whose workers do what a test says, at once and in its own process, and a run over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from acfd_stream.archive.options import ArchiveCall
from acfd_stream.archive.run import ArchiveRun, RunEnd
from acfd_stream.archive.run_metrics import ArchiveMetrics
from acfd_stream.archive.run_progress import View
from acfd_stream.archive.workers import Began, CrewEvent, Ended, Lost, Progressed
from acfd_stream.recording.task import EpisodeOutcome, EpisodeProgress, EpisodeState, EpisodeTask

Answer = EpisodeOutcome | Lost | Exception | None
"""What comes of a task; None: it goes on until the crew is told to stop."""
DONE = EpisodeOutcome(EpisodeState.DONE, frames=48, tracks=2, video_seconds=2.0, seconds=4.0, new_frames=48)


class ScriptedCrew:
    """One worker that answers each task with what ``answer`` gives for it, and leaves results where they are due."""

    workers = 1

    def __init__(self, answer: Callable[[EpisodeTask], Answer]) -> None:
        self._answer = answer
        self._task: EpisodeTask | None = None
        self.given: list[EpisodeTask] = []
        self.is_stopped = self.is_closed = False

    @property
    def free(self) -> int:
        return int(self._task is None)

    def give(self, task: EpisodeTask) -> None:
        self.given.append(task)
        self._task = task

    def events(self, timeout_seconds: float) -> list[CrewEvent]:
        task = self._task
        if task is None:
            return []
        answer = EpisodeOutcome(EpisodeState.STOPPED) if self.is_stopped else self._answer(task)
        if answer is None:
            return [Began(task, "one"), Progressed(task, "one", EpisodeProgress(5, 48, 1, 1.0, 5, 0.2))]
        self._task = None
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Lost):
            return [Lost(task, "one", answer.reason)]
        if answer.state in (EpisodeState.DONE, EpisodeState.BROKEN):
            for output in ("jsonl", *task.outputs):
                task.place(output).parent.mkdir(parents=True, exist_ok=True)
                task.place(output).write_text(f"{task.key}\n")
        return [Began(task, "one"), Ended(task, "one", answer)]

    def stop(self) -> None:
        self.is_stopped = True

    def close(self) -> None:
        self.is_closed = True


class Memo:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.views: list[View] = []

    def show(self, view: View) -> None:
        self.views.append(view)

    def note(self, event: str, **about: Any) -> None:
        self.events.append((event, about))


class Bench:
    """A folder of videos and all that a run over it takes; each ``run`` is a run of its own."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.library, self.out, self.model = folder / "library", folder / "out", model
        self.library.mkdir()
        self.crew: ScriptedCrew | None = None
        self.watcher, self.metrics = Memo(), ArchiveMetrics()

    def add(self, *names: str) -> None:
        """Put videos into the folder, each with its name as content."""
        for name in names:
            (self.library / name).parent.mkdir(parents=True, exist_ok=True)
            (self.library / name).write_text(name)

    def call(self, **changes: Any) -> ArchiveCall:
        return ArchiveCall(**{"places": (str(self.library),), "out": self.out, "model": str(self.model), **changes})

    def run(
        self,
        answer: Callable[[EpisodeTask], Answer] = lambda task: DONE,
        is_stopped: Callable[[], bool] = lambda: False,
        **changes: Any,
    ) -> RunEnd:
        """One run, with ``answer`` for every task; ``crew`` is then None where none was needed."""
        self.crew, self.watcher, self.metrics = None, Memo(), ArchiveMetrics()

        def enlist(episodes: int) -> tuple[ScriptedCrew, int]:
            self.crew = ScriptedCrew(answer)
            return self.crew, 0

        run = ArchiveRun(
            self.call(**changes), enlist, watcher=self.watcher, metrics=self.metrics, is_stopped=is_stopped
        )
        return run.run()

    def given(self) -> list[str]:
        """Names of the tasks of the last run, in order."""
        return [] if self.crew is None else [task.name for task in self.crew.given]
