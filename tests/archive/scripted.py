"""Workers that do what a test says, at once and in its own process, and a run over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from acfd_stream.archive.options import ArchiveOptions
from acfd_stream.archive.run import ArchiveRun
from acfd_stream.archive.run_metrics import ArchiveMetrics
from acfd_stream.archive.run_progress import RunEnd, RunSnapshot
from acfd_stream.archive.workers import Began, Ended, Lost, Progressed, WorkerEvent
from acfd_stream.recording.task import RecordingOutcome, RecordingProgress, RecordingState, RecordingTask

Answer = RecordingOutcome | Lost | Exception | None
"""What comes of a task; None: it runs until the workers are told to stop."""
DONE = RecordingOutcome(RecordingState.DONE, frames=48, tracks=2, video_seconds=2.0, seconds=4.0, new_frames=48)


class ScriptedWorkers:
    """One worker that answers each task with what ``answer`` gives for it, and leaves results where they are due."""

    count = 1

    def __init__(self, answer: Callable[[RecordingTask], Answer]) -> None:
        self._answer = answer
        self._task: RecordingTask | None = None
        self.given: list[RecordingTask] = []
        self.is_stopped = self.is_closed = False

    @property
    def idle(self) -> int:
        return int(self._task is None)

    def give(self, task: RecordingTask) -> None:
        self.given.append(task)
        self._task = task

    def events(self, timeout_seconds: float) -> list[WorkerEvent]:
        task = self._task
        if task is None:
            return []
        answer = RecordingOutcome(RecordingState.CANCELLED) if self.is_stopped else self._answer(task)
        if answer is None:
            return [Began(task, "one"), Progressed(task, "one", RecordingProgress(5, 48, 1, 1.0, 5, 0.2))]
        self._task = None
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Lost):
            return [Lost(task, "one", answer.reason)]
        if answer.state in (RecordingState.DONE, RecordingState.BROKEN):
            for output in ("jsonl", *task.outputs):
                task.path_of(output).parent.mkdir(parents=True, exist_ok=True)
                task.path_of(output).write_text(f"{task.key}\n")
        return [Began(task, "one"), Ended(task, "one", answer)]

    def stop(self) -> None:
        self.is_stopped = True

    def close(self) -> None:
        self.is_closed = True


class Memo:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.snapshots: list[RunSnapshot] = []

    def show(self, snapshot: RunSnapshot) -> None:
        self.snapshots.append(snapshot)

    def note(self, event: str, **about: Any) -> None:
        self.events.append((event, about))


class RunFixture:
    """A folder of videos and all that a run over it takes; each ``run`` is a run of its own."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.library, self.out, self.model = folder / "library", folder / "out", model
        self.library.mkdir()
        self.workers: ScriptedWorkers | None = None
        self.observer, self.metrics = Memo(), ArchiveMetrics()

    def add(self, *names: str) -> None:
        """Put videos into the folder, each with its name as content."""
        for name in names:
            (self.library / name).parent.mkdir(parents=True, exist_ok=True)
            (self.library / name).write_text(name)

    def call(self, **changes: Any) -> ArchiveOptions:
        return ArchiveOptions(**{"places": (str(self.library),), "out": self.out, "model": str(self.model), **changes})

    def run(
        self,
        answer: Callable[[RecordingTask], Answer] = lambda task: DONE,
        is_stopped: Callable[[], bool] = lambda: False,
        **changes: Any,
    ) -> RunEnd:
        """One run, with ``answer`` for every task; ``workers`` is then None where none was needed."""
        self.workers, self.observer, self.metrics = None, Memo(), ArchiveMetrics()

        def start_workers(episodes: int) -> tuple[ScriptedWorkers, int]:
            self.workers = ScriptedWorkers(answer)
            return self.workers, 0

        run = ArchiveRun(
            self.call(**changes), start_workers, observer=self.observer, metrics=self.metrics, is_stopped=is_stopped
        )
        return run.run()

    def given(self) -> list[str]:
        """Names of the tasks of the last run, in order."""
        return [] if self.workers is None else [task.name for task in self.workers.given]
