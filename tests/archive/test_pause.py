"""A run waits for room, for descriptors and for the manifest, says so, and goes on; it never ends by it."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from acfd_stream.archive.manifest import Manifest
from acfd_stream.archive.pause import Pause
from acfd_stream.archive.records import EpisodeStatus
from acfd_stream.cli.archive.status import gather, lines
from acfd_stream.config import ArchiveConfig
from acfd_stream.errors import OutputError
from acfd_stream.recording.task import STATE_FOLDER, RecordingOutcome, RecordingState, RecordingTask
from acfd_stream.shortage import is_shortage
from tests.archive.scripted import DONE, Answer, RunFixture

FULL = RecordingOutcome(RecordingState.NO_ROOM, frames=5, error="cannot write a.jsonl: No space left on device")


@pytest.fixture
def fixture(tmp_path: Path, tiny_model: Path) -> RunFixture:
    return RunFixture(tmp_path, tiny_model)


def full() -> OutputError:
    error = OutputError("cannot write it")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    return error


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def pause_in(out: Path, limit: float | None = None) -> tuple[Pause, list[str], Clock]:
    (out / STATE_FOLDER).mkdir(parents=True)
    told: list[str] = []
    clock = Clock()
    return Pause(out, limit, tell=told.append, clock=clock), told, clock


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE])
def test_what_passes_is_a_shortage_and_nothing_else(number: int) -> None:
    error = OutputError("cannot write")
    error.__cause__ = OSError(number, "x")
    assert is_shortage(error)
    assert is_shortage(OSError(number, "x"))
    assert not is_shortage(OSError(errno.EIO, "x"))
    assert not is_shortage(OutputError("cannot write"))


def test_a_pause_is_said_once_a_minute_and_ends_when_there_is_room(tmp_path: Path) -> None:
    pause, told, clock = pause_in(tmp_path)
    assert pause.is_over()
    pause.begin("full")
    pause.begin("full")
    assert (pause.is_over(), told) == (False, ["full"])
    os.rename(tmp_path / STATE_FOLDER, tmp_path / "away")  # nothing can be written
    for clock.now in range(1, 122):
        assert not pause.is_over()
    assert told == ["full"] * 3
    os.rename(tmp_path / "away", tmp_path / STATE_FOLDER)
    clock.now += 2
    assert pause.is_over()
    assert told == ["full", "full", "full", ""]
    assert list((tmp_path / STATE_FOLDER).iterdir()) == []


def test_what_comes_again_at_once_is_tried_less_often(tmp_path: Path) -> None:
    pause, told, clock = pause_in(tmp_path)
    waited = []
    for _ in range(8):
        pause.begin("full")
        began = clock.now
        while not pause.is_over():
            clock.now += 1.0
        waited.append(clock.now - began)
    assert waited == [1, 2, 4, 8, 16, 30, 30, 30]
    assert told.count("full") == 3  # at first, and each minute


def test_a_pause_has_no_end_unless_the_caller_sets_one(tmp_path: Path) -> None:
    pause, _, clock = pause_in(tmp_path, 100.0)
    (tmp_path / STATE_FOLDER).rmdir()
    pause.begin("the disk is full")
    clock.now = 99.0
    assert not pause.is_over()
    clock.now = 101.0
    with pytest.raises(OutputError, match="the disk is full"):
        pause.is_over()


def test_a_link_with_the_name_of_the_probe_is_not_followed(tmp_path: Path) -> None:
    pause, _, clock = pause_in(tmp_path)
    (tmp_path / "mine").write_text("mine")
    (tmp_path / STATE_FOLDER / "room").symlink_to(tmp_path / "mine")
    pause.begin("full")
    clock.now = 2.0
    assert pause.is_over()
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_full_disk_costs_no_attempt_and_the_run_goes_on(fixture: RunFixture) -> None:
    fixture.add("a.mkv", "b.mkv")
    answers: dict[str, list[Answer]] = {"a.mkv": [FULL, DONE], "b.mkv": [FULL, DONE]}
    config = ArchiveConfig(attempts=1, losses=1)
    assert fixture.run(lambda task: answers[task.name].pop(0), archive=config).is_all_done
    said = [(event, about) for event, about in fixture.observer.events if event in ("paused", "resumed")]
    assert said[0] == ("paused", {"reason": FULL.error})
    assert ("resumed", {}) in said
    assert any(snapshot.pause == FULL.error for snapshot in fixture.observer.snapshots)
    assert not fixture.observer.snapshots[-1].pause
    value = fixture.metrics.registry.get_sample_value
    assert (value("acfd_archive_paused"), value("acfd_archive_attempts_total", {"outcome": "no_room"})) == (0, 2)


def test_a_run_that_waits_ends_when_it_is_told_to(fixture: RunFixture) -> None:
    fixture.add("a.mkv")

    def is_stopped() -> bool:
        return any(snapshot.pause for snapshot in fixture.observer.snapshots)

    end = fixture.run(lambda task: FULL, is_stopped)
    assert end.is_stopped
    with Manifest(fixture.out) as manifest:
        assert manifest.living_runs() == []
        assert manifest.counts()[EpisodeStatus.WAITING] == 1


def test_a_limit_ends_the_run_with_the_reason(fixture: RunFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    fixture.add("a.mkv")
    monkeypatch.setattr(Pause, "_has_room", lambda self: False)
    with pytest.raises(OutputError, match="No space left on device"):
        fixture.run(lambda task: FULL, archive=ArchiveConfig(wait_for_room_seconds=0.1))


class Holder:
    """Another process's transaction, as SQLite sees it: it holds the manifest until it is told to let go."""

    def __init__(self, out: Path) -> None:
        self._path, self._free, self._held = (
            out / STATE_FOLDER / "manifest.sqlite3",
            threading.Event(),
            threading.Event(),
        )
        self._thread = threading.Thread(target=self._hold)

    def hold(self) -> None:
        self._thread.start()
        assert self._held.wait(30)

    def let_go(self) -> None:
        self._free.set()
        self._thread.join()

    def _hold(self) -> None:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            self._held.set()
            self._free.wait(30)
            database.execute("ROLLBACK")


def held_until(fixture: RunFixture, is_enough: Callable[[], bool]) -> tuple[Callable[[RecordingTask], Answer], Holder]:
    """An answer during which another process takes the manifest; it lets go when the run has said that it waits."""
    holder = Holder(fixture.out)
    note = fixture.observer.note

    def answer(task: RecordingTask) -> Answer:
        if not holder._held.is_set():
            holder.hold()
            show = fixture.observer.show

            def see(snapshot: object) -> None:
                show(snapshot)  # type: ignore[arg-type]
                if is_enough():
                    holder.let_go()

            fixture.observer.show = see  # type: ignore[method-assign]
        return DONE

    assert note is not None
    return answer, holder


def test_a_locked_manifest_is_waited_for(fixture: RunFixture) -> None:
    fixture.add("a.mkv", "b.mkv")
    answer, _ = held_until(fixture, lambda: any("locked" in each.pause for each in fixture.observer.snapshots))
    assert fixture.run(answer).is_all_done
    assert [event for event, _ in fixture.observer.events if event in ("paused", "resumed")] == ["paused", "resumed"]


def test_a_run_that_waits_for_the_manifest_can_be_stopped(fixture: RunFixture) -> None:
    fixture.add("a.mkv")
    answer, holder = held_until(fixture, lambda: False)
    end = fixture.run(answer, lambda: any(each.pause for each in fixture.observer.snapshots))
    assert end.is_stopped
    holder.let_go()
    assert fixture.run().is_all_done


def test_status_says_why_a_run_waits(tmp_path: Path) -> None:
    with Manifest(tmp_path, is_new=True) as manifest:
        run = manifest.begin_run({})
        assert gather(tmp_path)["pauses"] == []
        manifest.note_pause(run, "the disk\nis full " + "x" * 2000)
        (said,) = gather(tmp_path)["pauses"]
        assert said.startswith("the disk is full x")
        assert f"the run waits: {said}" in lines(gather(tmp_path))
        manifest.note_pause(run, "")
        assert gather(tmp_path)["pauses"] == []


def test_the_manifest_tries_again_and_keeps_nothing_of_a_try_that_failed(tmp_path: Path) -> None:
    waits: list[float] = []

    def let_go(error: Exception, seconds: float) -> None:
        assert is_shortage(error)
        waits.append(seconds)
        holder.let_go()

    with Manifest(tmp_path, is_new=True, wait=let_go) as manifest:
        holder = Holder(tmp_path)
        holder.hold()
        run = manifest.begin_run({})
        assert (run, len(waits)) == (1, 1)
        assert [each.run for each in manifest.living_runs()] == [1]


def test_pausing_goes_around_a_call_and_only_for_want_of_room(tmp_path: Path) -> None:
    pause, told, _ = pause_in(tmp_path)
    failures = [full(), full()]

    def act() -> str:
        if failures:
            raise failures.pop()
        return "done"

    assert pause.trying(act) == "done"
    assert told == ["cannot write it", ""]
    with pytest.raises(OutputError, match="no such folder"):
        pause.trying(lambda: (_ for _ in ()).throw(OutputError("no such folder")))


def test_a_lack_of_descriptors_that_lasts_ends_with_our_error(tmp_path: Path) -> None:
    pause, _, clock = pause_in(tmp_path, 5.0)

    def act() -> None:
        clock.now += 10.0
        raise OSError(errno.EMFILE, "Too many open files")

    with pytest.raises(OutputError, match=r"the run cannot go on: .*Too many open files"):
        pause.trying(act)
