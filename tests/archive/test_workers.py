"""Every crew keeps the promises of its protocol: one end a task, whatever becomes of the worker."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acfd_stream.archive.local_workers import LocalCrew
from acfd_stream.archive.ray_workers import RayCrew
from acfd_stream.archive.worker import Opener
from acfd_stream.archive.workers import Began, Crew, CrewEvent, Ended, Lost, Progressed
from acfd_stream.errors import BackendUnavailable, ConfigError, RunnerError
from acfd_stream.recording.task import EpisodeState, EpisodeTask
from tests.archive import stand_ins

MakeTask = Callable[[str], EpisodeTask]
HOW_IT_ENDED = {LocalCrew: "killed by SIGSEGV", RayCrew: "its process on .* ended: "}  # Ray does not know how
MakeCrew = Callable[..., LocalCrew | RayCrew]


@pytest.fixture
def make_task(tmp_path: Path) -> MakeTask:
    return lambda name: EpisodeTask("k" * 32, "nowhere.mkv", name, tmp_path / "out")


def local(workers: int, stall_seconds: float = 60.0, open_detector: Opener = stand_ins.Pretender) -> LocalCrew:
    return LocalCrew(workers, stall_seconds=stall_seconds, work=stand_ins.work, open_detector=open_detector)


def on_ray(workers: int, stall_seconds: float = 60.0, open_detector: Opener = stand_ins.Pretender) -> RayCrew:
    return RayCrew(workers, stall_seconds=stall_seconds, work=stand_ins.work, open_detector=open_detector)


@pytest.fixture(params=[local, on_ray])
def make_crew(request: pytest.FixtureRequest) -> MakeCrew:
    if request.param is on_ray:
        request.getfixturevalue("cluster")
    crew: MakeCrew = request.param
    return crew


@pytest.fixture
def two(make_crew: MakeCrew) -> Iterator[Crew]:
    crew = make_crew(2)
    try:
        yield crew
    finally:
        crew.close()


def heard(crew: Crew, is_enough: Callable[[list[CrewEvent]], bool]) -> list[CrewEvent]:
    """What comes until it is enough."""
    events: list[CrewEvent] = []
    until = time.monotonic() + stand_ins.PATIENCE
    while not is_enough(events) and time.monotonic() < until:
        events += crew.events(0.5)
    return events


def over(events: list[CrewEvent]) -> list[Ended | Lost]:
    return [event for event in events if isinstance(event, Ended | Lost)]


def test_a_task_begins_goes_on_and_ends(two: Crew, make_task: MakeTask) -> None:
    assert (two.workers, two.free) == (2, 2)
    two.give(make_task("fine"))
    assert two.free == 1
    events = heard(two, over)
    assert [type(event) for event in events] == [Began, Progressed, Ended]
    assert {event.task.name for event in events} == {"fine"}
    assert over(events)[0].outcome.state is EpisodeState.DONE
    assert two.free == 2


def test_a_worker_keeps_its_model(make_crew: MakeCrew, make_task: MakeTask, tmp_path: Path) -> None:
    with make_crew(1) as crew:
        for number in range(3):
            crew.give(make_task(f"fine/{number}"))
            heard(crew, over)
    assert len((tmp_path / "out" / "opened").read_text().split()) == 1


def test_a_worker_that_dies_is_replaced_and_its_task_comes_back(two: Crew, make_task: MakeTask) -> None:
    two.give(make_task("crash"))
    two.give(make_task("wait"))
    events = heard(two, over)
    assert [(type(event), event.task.name) for event in over(events)] == [(Lost, "crash")]
    assert re.search(HOW_IT_ENDED[type(two)], over(events)[0].reason)
    two.give(make_task("fine"))
    assert [event.task.name for event in over(heard(two, over))] == ["fine"]


def test_a_worker_that_leaves_is_lost_too(make_task: MakeTask) -> None:
    with local(1) as crew:
        crew.give(make_task("leave"))
        assert over(heard(crew, over))[0].reason == "ended by itself with code 3"


def test_a_fault_in_the_work_is_an_outcome(make_task: MakeTask) -> None:
    with local(1) as crew:
        crew.give(make_task("fault"))
        ended = over(heard(crew, over))[0]
    assert ended.outcome.state is EpisodeState.FAILED_PASSING
    assert "fault of the program: LookupError" in ended.outcome.error


def test_all_let_go_when_told_to_stop(two: Crew, make_task: MakeTask) -> None:
    for number in range(2):
        two.give(make_task(f"wait/{number}"))
    heard(two, lambda events: sum(isinstance(event, Began) for event in events) == 2)
    two.stop()
    assert two.free == 0
    events = heard(two, lambda events: len(over(events)) == 2)
    assert [event.outcome.state for event in over(events)] == [EpisodeState.STOPPED] * 2
    with pytest.raises(ConfigError, match="every worker has a task"):
        two.give(make_task("fine"))


def test_signals_to_all_processes_of_a_terminal_are_the_runs_business(make_task: MakeTask) -> None:
    with local(1) as crew:
        crew.give(make_task("deaf"))
        assert over(heard(crew, over))[0].outcome.state is EpisodeState.DONE


def test_a_worker_that_stands_still_is_lost(make_crew: MakeCrew, make_task: MakeTask) -> None:
    with make_crew(1, stall_seconds=0.5) as crew:
        crew.give(make_task("hang"))
        events = heard(crew, over)
        assert over(events)[0].reason == "no progress for 0.5 s"
        crew.give(make_task("fine"))
        assert isinstance(over(heard(crew, over))[0], Ended)


def test_a_crew_that_cannot_work_at_all_says_so(make_crew: MakeCrew, make_task: MakeTask) -> None:
    with make_crew(1, open_detector=stand_ins.no_device) as crew:
        crew.give(make_task("fine"))
        with pytest.raises(BackendUnavailable, match="device 'cuda' cannot be used"):
            heard(crew, over)


def test_workers_that_all_die_before_they_begin_end_the_run(make_crew: MakeCrew, make_task: MakeTask) -> None:
    with make_crew(1, open_detector=stand_ins.stillborn) as crew:
        how = HOW_IT_ENDED[type(crew)]
        for _ in range(2):
            crew.give(make_task("fine"))
            assert re.search(how, over(heard(crew, over))[0].reason)
        crew.give(make_task("fine"))
        with pytest.raises(RunnerError, match=rf"workers end before they begin \({how}"):
            heard(crew, over)


def test_closing_ends_workers_that_are_in_the_middle(make_crew: MakeCrew, make_task: MakeTask) -> None:
    crew = make_crew(1)
    crew.give(make_task("hang"))
    heard(crew, lambda events: any(isinstance(event, Progressed) for event in events))
    begun = time.monotonic()
    crew.close()
    assert time.monotonic() - begun < 5
    assert crew.workers == 0
