"""All kinds of workers keep the promises of its protocol: one end a task, whatever becomes of the worker."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acfd_stream.archive.local_workers import LocalWorkers
from acfd_stream.archive.ray_workers import RayWorkers
from acfd_stream.archive.worker import Opener
from acfd_stream.archive.workers import Began, Ended, Lost, Progressed, WorkerEvent, Workers
from acfd_stream.errors import BackendUnavailable, ConfigError, RunnerError
from acfd_stream.recording.task import RecordingState, RecordingTask
from tests.archive import stand_ins

MakeTask = Callable[[str], RecordingTask]
HOW_IT_ENDED = {LocalWorkers: "killed by SIGSEGV", RayWorkers: "its process on .* ended: "}  # Ray does not know how
MakeWorkers = Callable[..., LocalWorkers | RayWorkers]


@pytest.fixture
def make_task(tmp_path: Path) -> MakeTask:
    return lambda name: RecordingTask("k" * 32, "nowhere.mkv", name, tmp_path / "out")


def local(workers: int, stall_seconds: float = 60.0, open_detector: Opener = stand_ins.Pretender) -> LocalWorkers:
    return LocalWorkers(workers, stall_seconds=stall_seconds, work=stand_ins.work, open_detector=open_detector)


def on_ray(workers: int, stall_seconds: float = 60.0, open_detector: Opener = stand_ins.Pretender) -> RayWorkers:
    return RayWorkers(workers, stall_seconds=stall_seconds, work=stand_ins.work, open_detector=open_detector)


@pytest.fixture(params=[local, on_ray])
def make_workers(request: pytest.FixtureRequest) -> MakeWorkers:
    if request.param is on_ray:
        request.getfixturevalue("cluster")
    workers: MakeWorkers = request.param
    return workers


@pytest.fixture
def two(make_workers: MakeWorkers) -> Iterator[Workers]:
    workers = make_workers(2)
    try:
        yield workers
    finally:
        workers.close()


def heard(workers: Workers, is_enough: Callable[[list[WorkerEvent]], bool]) -> list[WorkerEvent]:
    """What comes until it is enough."""
    events: list[WorkerEvent] = []
    until = time.monotonic() + stand_ins.PATIENCE
    while not is_enough(events) and time.monotonic() < until:
        events += workers.events(0.5)
    return events


def over(events: list[WorkerEvent]) -> list[Ended | Lost]:
    return [event for event in events if isinstance(event, Ended | Lost)]


def test_a_task_begins_goes_on_and_ends(two: Workers, make_task: MakeTask) -> None:
    assert (two.count, two.idle) == (2, 2)
    two.give(make_task("fine"))
    assert two.idle == 1
    events = heard(two, over)
    assert [type(event) for event in events] == [Began, Progressed, Ended]
    assert {event.task.name for event in events} == {"fine"}
    assert over(events)[0].outcome.state is RecordingState.DONE
    assert two.idle == 2


def test_a_worker_keeps_its_model(make_workers: MakeWorkers, make_task: MakeTask, tmp_path: Path) -> None:
    with make_workers(1) as workers:
        for number in range(3):
            workers.give(make_task(f"fine/{number}"))
            heard(workers, over)
    assert len((tmp_path / "out" / "opened").read_text().split()) == 1


def test_a_worker_that_dies_is_replaced_and_its_task_comes_back(two: Workers, make_task: MakeTask) -> None:
    two.give(make_task("crash"))
    two.give(make_task("wait"))
    events = heard(two, over)
    assert [(type(event), event.task.name) for event in over(events)] == [(Lost, "crash")]
    assert re.search(HOW_IT_ENDED[type(two)], over(events)[0].reason)
    two.give(make_task("fine"))
    assert [event.task.name for event in over(heard(two, over))] == ["fine"]


def test_a_worker_that_leaves_is_lost_too(make_task: MakeTask) -> None:
    with local(1) as workers:
        workers.give(make_task("leave"))
        assert over(heard(workers, over))[0].reason == "ended by itself with code 3"


def test_a_fault_in_the_work_is_an_outcome(make_task: MakeTask) -> None:
    with local(1) as workers:
        workers.give(make_task("fault"))
        ended = over(heard(workers, over))[0]
    assert ended.outcome.state is RecordingState.FAILED
    assert "defect of the program: LookupError" in ended.outcome.error


def test_all_let_go_when_told_to_stop(two: Workers, make_task: MakeTask) -> None:
    for number in range(2):
        two.give(make_task(f"wait/{number}"))
    heard(two, lambda events: sum(isinstance(event, Began) for event in events) == 2)
    two.stop()
    assert two.idle == 0
    events = heard(two, lambda events: len(over(events)) == 2)
    assert [event.outcome.state for event in over(events)] == [RecordingState.CANCELLED] * 2
    with pytest.raises(ConfigError, match="every worker has a task"):
        two.give(make_task("fine"))


def test_signals_to_all_processes_of_a_terminal_are_the_runs_business(make_task: MakeTask) -> None:
    with local(1) as workers:
        workers.give(make_task("deaf"))
        assert over(heard(workers, over))[0].outcome.state is RecordingState.DONE


def test_a_worker_that_stands_still_is_lost(make_workers: MakeWorkers, make_task: MakeTask) -> None:
    with make_workers(1, stall_seconds=0.5) as workers:
        workers.give(make_task("hang"))
        events = heard(workers, over)
        assert over(events)[0].reason == "no progress for 0.5 s"
        workers._stall_seconds = stand_ins.PATIENCE  # a busy machine may pause for longer
        workers.give(make_task("fine"))
        assert isinstance(over(heard(workers, over))[0], Ended)


def test_a_crew_that_cannot_work_at_all_says_so(make_workers: MakeWorkers, make_task: MakeTask) -> None:
    with make_workers(1, open_detector=stand_ins.no_device) as workers:
        workers.give(make_task("fine"))
        with pytest.raises(BackendUnavailable, match="device 'cuda' cannot be used"):
            heard(workers, over)


def test_workers_that_all_die_before_they_begin_end_the_run(make_workers: MakeWorkers, make_task: MakeTask) -> None:
    with make_workers(1, open_detector=stand_ins.stillborn) as workers:
        how = HOW_IT_ENDED[type(workers)]
        for _ in range(2):
            workers.give(make_task("fine"))
            assert re.search(how, over(heard(workers, over))[0].reason)
        workers.give(make_task("fine"))
        with pytest.raises(RunnerError, match=rf"workers end before they begin \({how}"):
            heard(workers, over)


def test_closing_ends_workers_that_are_in_the_middle(make_workers: MakeWorkers, make_task: MakeTask) -> None:
    workers = make_workers(1)
    workers.give(make_task("hang"))
    heard(workers, lambda events: any(isinstance(event, Progressed) for event in events))
    begun = time.monotonic()
    workers.close()
    assert time.monotonic() - begun < stand_ins.PATIENCE / 2  # its task lasts longer
    assert workers.count == 0
