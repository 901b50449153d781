"""What the manifest remembers, over processes and kills, and how fast it says it."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from acfd_stream.archive.database import DATABASE
from acfd_stream.archive.manifest import Manifest
from acfd_stream.archive.records import Claim, EpisodeStatus
from acfd_stream.cli.archive.status import gather, lines
from acfd_stream.errors import ConfigError, OutputError
from acfd_stream.recording.task import (
    STATE_FOLDER,
    RecordingOutcome,
    RecordingProgress,
    RecordingStage,
    RecordingState,
    RecordingTask,
)
from acfd_stream.types import Gap, GapCause
from acfd_stream.video.origin import FileStamp

DONE = RecordingOutcome(
    RecordingState.DONE,
    frames=48,
    tracks=2,
    shots=3,
    reused=20,
    video_seconds=2.0,
    seconds=4.0,
    new_frames=48,
    stage_seconds=(("infer", 3.0),),
    warnings=("odd",),
)


def task_of(name: str, *, is_tracked: bool = False) -> RecordingTask:
    return RecordingTask("k" * 32, f"library/{name}", name, Path("out"), is_tracked=is_tracked)


def test_gaps_are_remembered_and_a_manifest_of_before_has_none(tmp_path: Path) -> None:
    with Manifest(tmp_path, is_new=True) as manifest:
        manifest.expect([("a.mkv", "library/a.mkv", 100), ("b.mkv", "library/b.mkv", 100)])
        manifest.done(task_of("b.mkv"), DONE, [], 1000)
    with sqlite3.connect(tmp_path / STATE_FOLDER / DATABASE) as database:
        for column in ("gaps", "missing_seconds"):
            database.execute(f"ALTER TABLE episodes DROP COLUMN {column}")
    gaps = (Gap(1.0, 0.25, GapCause.LOST_PACKETS), Gap(1.5, 0.5, GapCause.TIME_HOLE))
    with Manifest(tmp_path) as manifest:
        manifest.done(task_of("a.mkv"), replace(DONE, gaps=gaps), [], 1000)
    facts = gather(tmp_path)
    assert facts["gaps"] == [{"name": "a.mkv", "gaps": 2, "missing_seconds": 0.75}]
    assert facts["videos"]["done"] == 2
    assert {"2 gaps in the videos, 0.750 s are missing", "  a.mkv: 2 gaps, 0.750 s"} <= set(lines(facts))


def test_the_speed_of_tracking_stays_while_outputs_are_added(tmp_path: Path) -> None:
    with Manifest(tmp_path, is_new=True) as manifest:
        manifest.expect([("a.mkv", "library/a.mkv", 100)])
        manifest.done(task_of("a.mkv"), DONE, [], 1000)
        run = manifest.begin_run({})
        manifest.began("a.mkv", "local-0", run)
        finishing = RecordingProgress(48, 48, 2, 0.1, 0, 2.0, RecordingStage.FINISH)
        manifest.progressed(run, {"a.mkv": finishing})
        manifest.done(task_of("a.mkv", is_tracked=True), DONE, ["report"], 1000)
        episode = manifest.get("a.mkv")
        assert episode is not None
        assert (episode.seconds, episode.new_frames, episode.frames_per_second) == (4.0, 48, 12.0)
        assert manifest.sums()["new_frames"] == 48


def test_an_episode_goes_through_its_states(tmp_path: Path) -> None:
    with Manifest(tmp_path, is_new=True, clock=lambda: 7.0) as manifest:
        manifest.expect([("a.mkv", "library/a.mkv", 100)])
        run = manifest.begin_run({})
        manifest.began("a.mkv", "local-0", run)
        manifest.progressed(run, {"a.mkv": RecordingProgress(24, 48, 1, 2.0, 24, 1.0)})
        episode = manifest.get("a.mkv")
        assert episode is not None
        assert (episode.state, episode.worker, episode.frames) == (EpisodeStatus.RUNNING, "local-0", 24)
        manifest.done(task_of("a.mkv"), DONE, ["vtt", "mot"], 1234)
        manifest.end_run(run, 0)
    with Manifest(tmp_path) as manifest:
        episode = manifest.get("a.mkv")
        assert episode is not None
        assert (episode.state, episode.key, episode.result_bytes) == (EpisodeStatus.DONE, "k" * 32, 1234)
        assert (episode.outputs, episode.warnings, episode.stage_seconds) == (("mot", "vtt"), ("odd",), {"infer": 3.0})
        assert (episode.frames_per_second, episode.reused, episode.changed) == (12.0, 20, 7.0)
        assert manifest.counts()[EpisodeStatus.DONE] == 1
        assert manifest.get("b.mkv") is None


def test_figures_stay_those_of_the_tracking(tmp_path: Path) -> None:
    with Manifest(tmp_path, is_new=True) as manifest:
        manifest.expect([("a.mkv", "a.mkv", 100)])
        manifest.done(task_of("a.mkv"), DONE, [], 1234)
        later = RecordingOutcome(RecordingState.DONE, frames=48, seconds=0.1)
        manifest.done(task_of("a.mkv", is_tracked=True), later, ["vtt"], 1234)
        assert manifest.episodes()[0].frames_per_second == 12.0


def test_what_is_known_already_is_not_reset(tmp_path: Path) -> None:
    with Manifest(tmp_path, is_new=True) as manifest:
        manifest.expect([("a.mkv", "a.mkv", 100), ("b.mkv", "b.mkv", None)])
        manifest.done(task_of("a.mkv"), DONE, [], 1)
        manifest.expect([("a.mkv", "elsewhere/a.mkv", 101), ("c.mkv", "c.mkv", 1)])
        found = [(each.name, each.source, each.size, each.state.value) for each in manifest.episodes()]
        assert found == [
            ("a.mkv", "elsewhere/a.mkv", 101, "done"),
            ("b.mkv", "b.mkv", None, "waiting"),
            ("c.mkv", "c.mkv", 1, "waiting"),
        ]
        manifest.forget(["b.mkv"])
        assert [each.name for each in manifest.episodes()] == ["a.mkv", "c.mkv"]


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 '\";.mkv")
    with Manifest(tmp_path, is_new=True) as manifest:
        manifest.expect([(name, name, 1)])
        run = manifest.begin_run({})
        assert manifest.claim(name, run, lambda episode: False)[0] is Claim.OURS
        manifest.wait(name, run, error="because", attempts=2)
        episode = manifest.episodes()[0]
        assert (episode.name, episode.source, episode.attempts) == (name, name, 2)
        manifest.keep_digest(name, FileStamp(1, 2, 3), "d")
    with Manifest(tmp_path) as manifest:
        assert manifest.digest_of(name, FileStamp(1, 2, 3)) == "d"
        assert manifest.digest_of(name, FileStamp(1, 9, 3)) is None


def run_and_die(out: Path) -> None:
    """Begin to work on an episode, and be gone."""
    manifest = Manifest(out, is_new=True)
    manifest.expect([("a.mkv", "a.mkv", 1)])
    manifest.began("a.mkv", "local-0", manifest.begin_run({"places": ["x"]}))
    os._exit(9)


def test_a_run_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=run_and_die, args=(tmp_path,))
    process.start()
    process.join()
    with Manifest(tmp_path) as manifest:
        assert manifest.living_runs() == []
        assert manifest.episodes()[0].state is EpisodeStatus.RUNNING
        run = manifest.begin_run({})
        manifest.clear_dead_runs()
        assert manifest.episodes()[0].state is EpisodeStatus.WAITING
        assert [each.run for each in manifest.living_runs()] == [run]
    with Manifest(tmp_path) as manifest:  # closed without an end: as good as killed
        assert manifest.living_runs() == []


def test_the_end_of_one_run_leaves_what_another_is_at(tmp_path: Path) -> None:
    with Manifest(tmp_path, is_new=True) as one, Manifest(tmp_path) as other:
        one.expect([("a.mkv", "a.mkv", 1), ("b.mkv", "b.mkv", 1)])
        first, second = one.begin_run({}), other.begin_run({})
        one.began("a.mkv", "local-0", first)
        other.began("b.mkv", "local-0", second)
        one.wait_all(["a.mkv", "b.mkv"])
        one.end_run(first, 1)
        other.clear_dead_runs()
        assert [each.state.value for each in other.episodes()] == ["waiting", "running"]
        assert [each.run for each in other.living_runs()] == [second]


def test_an_episode_is_one_runs_at_a_time(tmp_path: Path) -> None:
    with Manifest(tmp_path, is_new=True) as one, Manifest(tmp_path) as other:
        one.expect([("a.mkv", "a.mkv", 1)])
        first, second = one.begin_run({}), other.begin_run({})
        assert one.claim("a.mkv", first, lambda episode: False)[0] is Claim.OURS
        assert other.claim("a.mkv", second, lambda episode: False)[0] is Claim.THEIRS
        other.wait("a.mkv", second)  # not its own: nothing happens
        assert other.claim("a.mkv", second, lambda episode: False)[0] is Claim.THEIRS
        one.close()  # as good as killed
        assert other.claim("a.mkv", second, lambda episode: False)[0] is Claim.OURS
        assert other.claim("a.mkv", second, lambda episode: True)[0] is Claim.SETTLED


def note_many(out: Path, number: int) -> None:
    """Write as a run does."""
    with Manifest(out, is_new=True) as manifest:
        run = manifest.begin_run({})
        for step in range(20):
            manifest.expect([(f"{number}-{step}.mkv", "x", 1)])
        manifest.end_run(run, 0)


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=note_many, args=(tmp_path, number)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    with Manifest(tmp_path) as manifest:
        assert len(manifest.episodes()) == 60


def test_ten_thousand_files_are_told_of_at_once(tmp_path: Path) -> None:
    names = [f"show/{number:05}.mkv" for number in range(10_000)]
    with Manifest(tmp_path, is_new=True) as manifest:
        manifest.expect([(name, name, 5) for name in names])
        with manifest._transaction() as database:
            database.execute("UPDATE episodes SET state = 'done', frames = 10, video_seconds = 1")
            database.execute("UPDATE episodes SET state = 'broken', error = 'odd' WHERE name LIKE '%7.mkv'")
    begun = time.process_time()  # CPU time, which other programs take little of: about 0.03 s
    facts = gather(tmp_path)
    assert time.process_time() - begun < 1.0
    assert facts["videos"] == {"waiting": 0, "running": 0, "done": 9000, "broken": 1000, "failing": 0}
    assert facts["done"]["frames"] == 90_000
    assert len(facts["failures"]) == 20


def test_another_version_or_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no archive; name the --out"):
        Manifest(tmp_path)
    assert list(tmp_path.iterdir()) == []
    Manifest(tmp_path, is_new=True).close()
    with sqlite3.connect(tmp_path / STATE_FOLDER / DATABASE) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(ConfigError, match="archive of version 99, this program knows 1"):
        Manifest(tmp_path, is_new=True)


def test_a_place_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / STATE_FOLDER).write_text("a file")
    with pytest.raises(OutputError, match=rf"{STATE_FOLDER} is a file where results need a folder; it is kept"):
        Manifest(tmp_path, is_new=True)
    Manifest(tmp_path / "b", is_new=True).close()
    (tmp_path / "b" / STATE_FOLDER / DATABASE).write_bytes(b"no database" * 100)
    with pytest.raises(OutputError, match="file is not a database"):
        Manifest(tmp_path / "b")
