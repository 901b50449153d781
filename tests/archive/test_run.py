"""What a run does with what its workers answer, and what the next one makes of that."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from acfd_stream.archive.manifest import Manifest
from acfd_stream.archive.records import Episode
from acfd_stream.archive.workers import Lost
from acfd_stream.config import ArchiveConfig, DetectConfig
from acfd_stream.errors import BackendUnavailable, MediaError, RunnerError
from acfd_stream.recording.task import RecordingOutcome, RecordingState, RecordingTask, TrackingSpeed
from acfd_stream.types import Gap, GapCause
from tests.archive.scripted import DONE, Answer, RunFixture

EAGER = ArchiveConfig(backoff_seconds=0.001, longest_backoff_seconds=0.002, attempts=3)
PASSING = RecordingOutcome(RecordingState.FAILED, error="the net was away")
BROKEN = RecordingOutcome(RecordingState.BROKEN, frames=7, error="film: damaged data")
BUSY = RecordingOutcome(RecordingState.BUSY)


@pytest.fixture
def fixture(tmp_path: Path, tiny_model: Path) -> RunFixture:
    return RunFixture(tmp_path, tiny_model)


def episodes(fixture: RunFixture) -> dict[str, Episode]:
    with Manifest(fixture.out) as manifest:
        return {episode.name: episode for episode in manifest.episodes()}


def states(fixture: RunFixture) -> dict[str, str]:
    return {name: episode.state.value for name, episode in episodes(fixture).items()}


def test_all_videos_are_done_once(fixture: RunFixture) -> None:
    fixture.add("b.mkv", "a.mkv", "show/c.mkv")
    end = fixture.run()
    assert end.is_all_done
    assert fixture.given() == ["a.mkv", "b.mkv", "show/c.mkv"]
    assert set(states(fixture).values()) == {"done"}
    again = fixture.run()
    assert again.is_all_done
    assert not again.has_changed
    assert fixture.workers is None  # no worker, no model


def test_a_video_with_gaps_is_done_counted_and_not_tried_again(fixture: RunFixture) -> None:
    fixture.add("a.mkv")
    gaps = (Gap(1.0, 0.25, GapCause.LOST_PACKETS), Gap(1.5, 0.5, GapCause.TIME_HOLE))
    end = fixture.run(lambda task: replace(DONE, gaps=gaps))
    assert end.is_all_done
    assert (episodes(fixture)["a.mkv"].gaps, episodes(fixture)["a.mkv"].missing_seconds) == (2, 0.75)
    values = [
        fixture.metrics.registry.get_sample_value(f"acfd_archive_{name}_total") for name in ("gaps", "missing_seconds")
    ]
    assert values == [2, 0.75]
    assert fixture.run().is_all_done
    assert fixture.workers is None


@pytest.mark.parametrize("changed", ["settings", "content", "result gone", "result cut", "output", "output gone"])
def test_what_changed_is_done_again(fixture: RunFixture, changed: str) -> None:
    fixture.add("a.mkv", "b.mkv")
    fixture.run(outputs=("vtt",))
    given, outputs = ["a.mkv"], ("vtt",)
    if changed == "settings":
        fixture.run(detect=DetectConfig(size=256), outputs=outputs)
        assert fixture.given() == ["a.mkv", "b.mkv"]
        return
    if changed == "content":
        (fixture.library / "a.mkv").write_text("another film")
    elif changed == "result gone":
        (fixture.out / "a.mkv.jsonl").unlink()
    elif changed == "result cut":
        (fixture.out / "a.mkv.jsonl").write_text("")
    elif changed == "output":
        given, outputs = ["a.mkv", "b.mkv"], ("vtt", "mot")
    else:
        (fixture.out / "a.mkv.vtt").unlink()
    assert fixture.run(outputs=outputs).is_all_done
    assert fixture.given() == given
    assert fixture.workers is not None
    is_only_finishing = changed.startswith("output")
    assert [task.is_tracked for task in fixture.workers.given] == [is_only_finishing] * len(given)


def test_a_copy_or_a_new_date_is_not_a_change(fixture: RunFixture) -> None:
    fixture.add("a.mkv")
    fixture.run()
    os.utime(fixture.library / "a.mkv", (1, 1))
    fixture.run()
    assert fixture.given() == []
    assert fixture.run(detect=DetectConfig(batch=1, threads=1)).is_all_done
    assert fixture.given() == []


def test_what_an_earlier_call_asked_for_is_still_known(fixture: RunFixture) -> None:
    fixture.add("a.mkv")
    fixture.run(outputs=("vtt",))
    fixture.run(outputs=("mot",))
    assert episodes(fixture)["a.mkv"].outputs == ("mot", "vtt")
    fixture.run(outputs=("vtt", "mot"))
    assert fixture.given() == []


ONLY_OUTPUTS = replace(DONE, seconds=0.0, new_frames=0)


def test_outputs_that_are_added_leave_the_speed_of_the_tracking(fixture: RunFixture) -> None:
    fixture.add("a.mkv")
    fixture.run()
    before = episodes(fixture)["a.mkv"].speed
    assert before == TrackingSpeed(4.0, 48)
    fixture.run(lambda task: ONLY_OUTPUTS, outputs=("vtt",))
    assert fixture.workers is not None
    assert fixture.workers.given[0].speed == before
    assert episodes(fixture)["a.mkv"].speed == before
    (done,) = [about for event, about in fixture.observer.events if event == "episode"]
    assert done["fps"] is None


def test_outputs_that_fail_cost_neither_the_results_nor_their_speed(fixture: RunFixture) -> None:
    fixture.add("a.mkv")
    fixture.run()
    fixture.run(lambda task: PASSING, archive=EAGER, outputs=("vtt",))
    assert states(fixture) == {"a.mkv": "failing"}
    fixture.run(lambda task: ONLY_OUTPUTS, outputs=("vtt",))
    assert fixture.workers is not None
    assert [task.is_tracked for task in fixture.workers.given] == [True]
    assert episodes(fixture)["a.mkv"].speed == TrackingSpeed(4.0, 48)


def test_what_is_broken_is_set_aside_with_its_reason(fixture: RunFixture) -> None:
    fixture.add("a.mkv", "b.mkv")
    end = fixture.run(lambda task: BROKEN if task.name == "a.mkv" else DONE)
    assert not end.is_all_done
    assert end.snapshot.failures == (("a.mkv", "film: damaged data"),)
    assert states(fixture) == {"a.mkv": "broken", "b.mkv": "done"}
    end = fixture.run()
    assert fixture.given() == []
    assert end.snapshot.failures == (("a.mkv", "film: damaged data"),)  # still said, still not all done
    assert not end.is_all_done
    assert fixture.run(retries_broken=True).is_all_done
    assert fixture.given() == ["a.mkv"]


def test_a_passing_cause_is_tried_again_with_patience(fixture: RunFixture) -> None:
    fixture.add("a.mkv", "b.mkv")
    answers: dict[str, list[Answer]] = {"a.mkv": [PASSING, PASSING, DONE], "b.mkv": [DONE]}
    assert fixture.run(lambda task: answers[task.name].pop(0), archive=EAGER).is_all_done
    assert fixture.given()[:2] == ["a.mkv", "b.mkv"]  # the others do not wait for it
    assert sorted(fixture.given()) == ["a.mkv"] * 3 + ["b.mkv"]
    retries = [about["attempt"] for event, about in fixture.observer.events if event == "retry"]
    assert retries == [1, 2]


def test_what_fails_too_often_waits_for_the_next_run(fixture: RunFixture) -> None:
    fixture.add("a.mkv")
    end = fixture.run(lambda task: PASSING, archive=EAGER)
    assert fixture.given() == ["a.mkv"] * 3
    assert end.snapshot.failures == (("a.mkv", "the net was away"),)
    assert (states(fixture)["a.mkv"], episodes(fixture)["a.mkv"].attempts) == ("failing", 3)
    assert fixture.run().is_all_done


def test_progress_between_failures_gives_new_tries(fixture: RunFixture) -> None:
    fixture.add("a.mkv")
    frames = iter(range(10, 80, 10))

    def answer(task: RecordingTask) -> Answer:
        reached = next(frames)
        return DONE if reached == 70 else RecordingOutcome(RecordingState.FAILED, frames=reached, error="net")

    assert fixture.run(answer, archive=EAGER).is_all_done
    assert len(fixture.given()) == 7


def test_a_lost_worker_means_another_try_but_not_for_ever(fixture: RunFixture) -> None:
    fixture.add("a.mkv", "b.mkv")
    answers: dict[str, list[Answer]] = {
        "a.mkv": [Lost(None, "", "killed by SIGKILL"), DONE],  # type: ignore[arg-type]
        "b.mkv": [Lost(None, "", "killed by SIGSEGV")] * 3,  # type: ignore[arg-type]
    }
    end = fixture.run(lambda task: answers[task.name].pop(0), archive=EAGER)
    assert states(fixture) == {"a.mkv": "done", "b.mkv": "broken"}
    assert "3 workers were lost at it (killed by SIGSEGV)" in end.snapshot.failures[0][1]


def test_what_another_run_is_at_is_waited_for(fixture: RunFixture) -> None:
    fixture.add("a.mkv")
    answers: list[Answer] = [BUSY, DONE]
    assert fixture.run(lambda task: answers.pop(0)).is_all_done
    assert fixture.given() == ["a.mkv"] * 2


def test_what_another_run_does_meanwhile_is_not_done_again(fixture: RunFixture) -> None:
    fixture.add("a.mkv")
    fixture.run()
    assert fixture.workers is not None
    (theirs,) = fixture.workers.given
    fixture.add("b.mkv")
    with Manifest(fixture.out) as other:
        other.claim("a.mkv", other.begin_run({}), lambda episode: False)

        def answer(task: RecordingTask) -> Answer:
            other.done(theirs, DONE, [], theirs.path_of("jsonl").stat().st_size)
            return DONE

        assert fixture.run(answer).is_all_done
    assert fixture.given() == ["b.mkv"]


def test_a_video_that_changes_while_it_is_read_is_read_again(fixture: RunFixture) -> None:
    fixture.add("a.mkv")
    contents = iter(["longer", "longer still"])

    def answer(task: RecordingTask) -> Answer:
        text = next(contents, None)
        if text is not None:
            (fixture.library / "a.mkv").write_text(text)
        return DONE

    assert fixture.run(answer, archive=EAGER).is_all_done
    assert fixture.workers is not None
    keys = [task.key for task in fixture.workers.given]
    assert len(set(keys)) == 3
    assert episodes(fixture)["a.mkv"].key == keys[-1]


def test_a_video_whose_disk_went_away_is_not_broken_for_good(fixture: RunFixture) -> None:
    fixture.add("a.mkv")

    def answer(task: RecordingTask) -> Answer:
        (fixture.library / "a.mkv").unlink(missing_ok=True)
        return RecordingOutcome(RecordingState.BROKEN, error="a.mkv: no such file")

    assert not fixture.run(answer, archive=EAGER).is_all_done
    assert episodes(fixture)["a.mkv"].key == ""
    fixture.add("a.mkv")
    assert fixture.run().is_all_done


def test_a_stop_leaves_everything_for_the_next_run(fixture: RunFixture) -> None:
    fixture.add("a.mkv", "b.mkv")

    def is_stopped() -> bool:
        return bool(fixture.observer.snapshots and fixture.observer.snapshots[-1].at_work)

    end = fixture.run(lambda task: None, is_stopped)
    assert end.is_stopped
    assert not end.is_all_done
    assert fixture.workers is not None
    assert fixture.workers.is_stopped
    assert fixture.workers.is_closed
    assert states(fixture) == {"a.mkv": "waiting", "b.mkv": "waiting"}
    assert fixture.run().is_all_done


def test_files_that_cannot_be_read_are_set_aside(fixture: RunFixture) -> None:
    fixture.add("a.mkv")
    (fixture.library / "gone.mkv").symlink_to(fixture.library / "nothing")
    end = fixture.run()
    assert states(fixture) == {"a.mkv": "done", "gone.mkv": "broken"}
    assert not end.is_all_done
    (fixture.library / "gone.mkv").unlink()
    assert fixture.run().is_all_done
    assert states(fixture) == {"a.mkv": "done"}  # what is gone and was never done is forgotten


def test_secrets_of_urls_are_for_their_owner_alone(fixture: RunFixture) -> None:
    fixture.add("a.mkv")
    fixture.run()
    manifest = fixture.out / ".acfd" / "manifest.sqlite3"
    assert manifest.stat().st_mode & 0o044
    places = (str(fixture.library), "rtsp://me:secret@camera/film.mkv")
    end = fixture.run(lambda task: BROKEN, places=places)
    assert manifest.stat().st_mode & 0o077 == 0
    assert "secret" not in str(end.snapshot)


def test_a_crew_that_cannot_work_ends_the_run_and_frees_it(fixture: RunFixture) -> None:
    fixture.add("a.mkv")
    with pytest.raises(BackendUnavailable, match="no such device"):
        fixture.run(lambda task: BackendUnavailable("no such device"))
    assert fixture.workers is not None
    assert fixture.workers.is_closed
    with Manifest(fixture.out) as manifest:
        assert manifest.living_runs() == []


def test_a_call_that_cannot_be_done_leaves_nothing(fixture: RunFixture, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="has no video"):
        fixture.run()
    fixture.add("a.mkv")
    with pytest.raises(RunnerError, match="no model 'nobody'"):
        fixture.run(model="nobody")
    assert not fixture.out.exists()


def test_what_is_counted(fixture: RunFixture) -> None:
    fixture.add("a.mkv", "b.mkv")
    fixture.run(lambda task: BROKEN if task.name == "a.mkv" else DONE)
    value = fixture.metrics.registry.get_sample_value
    assert value("acfd_archive_episodes", {"state": "done"}) == 1
    assert value("acfd_archive_episodes", {"state": "broken"}) == 1
    assert value("acfd_archive_attempts_total", {"outcome": "done"}) == 1
    assert value("acfd_archive_attempts_total", {"outcome": "lost"}) == 0
    assert value("acfd_archive_frames_total") == 48
    assert value("acfd_archive_video_seconds_total") == 2
