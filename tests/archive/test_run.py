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
from acfd_stream.recording.task import RecordingOutcome, RecordingState, RecordingTask
from acfd_stream.types import Gap, GapCause
from tests.archive.scripted import DONE, Answer, Bench

EAGER = ArchiveConfig(backoff_seconds=0.001, longest_backoff_seconds=0.002, attempts=3)
PASSING = RecordingOutcome(RecordingState.FAILED, error="the net was away")
BROKEN = RecordingOutcome(RecordingState.BROKEN, frames=7, error="film: damaged data")
BUSY = RecordingOutcome(RecordingState.BUSY)


@pytest.fixture
def bench(tmp_path: Path, tiny_model: Path) -> Bench:
    return Bench(tmp_path, tiny_model)


def episodes(bench: Bench) -> dict[str, Episode]:
    with Manifest(bench.out) as manifest:
        return {episode.name: episode for episode in manifest.episodes()}


def states(bench: Bench) -> dict[str, str]:
    return {name: episode.state.value for name, episode in episodes(bench).items()}


def test_all_videos_are_done_once(bench: Bench) -> None:
    bench.add("b.mkv", "a.mkv", "show/c.mkv")
    end = bench.run()
    assert end.is_all_done
    assert bench.given() == ["a.mkv", "b.mkv", "show/c.mkv"]
    assert set(states(bench).values()) == {"done"}
    again = bench.run()
    assert again.is_all_done
    assert not again.has_changed
    assert bench.workers is None  # no worker, no model


def test_a_video_with_gaps_is_done_counted_and_not_tried_again(bench: Bench) -> None:
    bench.add("a.mkv")
    gaps = (Gap(1.0, 0.25, GapCause.LOST_PACKETS), Gap(1.5, 0.5, GapCause.TIME_HOLE))
    end = bench.run(lambda task: replace(DONE, gaps=gaps))
    assert end.is_all_done
    assert (episodes(bench)["a.mkv"].gaps, episodes(bench)["a.mkv"].missing_seconds) == (2, 0.75)
    values = [
        bench.metrics.registry.get_sample_value(f"acfd_archive_{name}_total") for name in ("gaps", "missing_seconds")
    ]
    assert values == [2, 0.75]
    assert bench.run().is_all_done
    assert bench.workers is None


@pytest.mark.parametrize("changed", ["settings", "content", "result gone", "result cut", "output", "output gone"])
def test_what_changed_is_done_again(bench: Bench, changed: str) -> None:
    bench.add("a.mkv", "b.mkv")
    bench.run(outputs=("vtt",))
    given, outputs = ["a.mkv"], ("vtt",)
    if changed == "settings":
        bench.run(detect=DetectConfig(size=256), outputs=outputs)
        assert bench.given() == ["a.mkv", "b.mkv"]
        return
    if changed == "content":
        (bench.library / "a.mkv").write_text("another film")
    elif changed == "result gone":
        (bench.out / "a.mkv.jsonl").unlink()
    elif changed == "result cut":
        (bench.out / "a.mkv.jsonl").write_text("")
    elif changed == "output":
        given, outputs = ["a.mkv", "b.mkv"], ("vtt", "mot")
    else:
        (bench.out / "a.mkv.vtt").unlink()
    assert bench.run(outputs=outputs).is_all_done
    assert bench.given() == given
    assert bench.workers is not None
    is_only_finishing = changed.startswith("output")
    assert [task.is_tracked for task in bench.workers.given] == [is_only_finishing] * len(given)


def test_a_copy_or_a_new_date_is_not_a_change(bench: Bench) -> None:
    bench.add("a.mkv")
    bench.run()
    os.utime(bench.library / "a.mkv", (1, 1))
    bench.run()
    assert bench.given() == []
    assert bench.run(detect=DetectConfig(batch=1, threads=1)).is_all_done
    assert bench.given() == []


def test_what_an_earlier_call_asked_for_is_still_known(bench: Bench) -> None:
    bench.add("a.mkv")
    bench.run(outputs=("vtt",))
    bench.run(outputs=("mot",))
    assert episodes(bench)["a.mkv"].outputs == ("mot", "vtt")
    bench.run(outputs=("vtt", "mot"))
    assert bench.given() == []


def test_what_is_broken_is_set_aside_with_its_reason(bench: Bench) -> None:
    bench.add("a.mkv", "b.mkv")
    end = bench.run(lambda task: BROKEN if task.name == "a.mkv" else DONE)
    assert not end.is_all_done
    assert end.snapshot.failures == (("a.mkv", "film: damaged data"),)
    assert states(bench) == {"a.mkv": "broken", "b.mkv": "done"}
    end = bench.run()
    assert bench.given() == []
    assert end.snapshot.failures == (("a.mkv", "film: damaged data"),)  # still said, still not all done
    assert not end.is_all_done
    assert bench.run(retries_broken=True).is_all_done
    assert bench.given() == ["a.mkv"]


def test_a_passing_cause_is_tried_again_with_patience(bench: Bench) -> None:
    bench.add("a.mkv", "b.mkv")
    answers: dict[str, list[Answer]] = {"a.mkv": [PASSING, PASSING, DONE], "b.mkv": [DONE]}
    assert bench.run(lambda task: answers[task.name].pop(0), archive=EAGER).is_all_done
    assert bench.given()[:2] == ["a.mkv", "b.mkv"]  # the others do not wait for it
    assert sorted(bench.given()) == ["a.mkv"] * 3 + ["b.mkv"]
    retries = [about["attempt"] for event, about in bench.observer.events if event == "retry"]
    assert retries == [1, 2]


def test_what_fails_too_often_waits_for_the_next_run(bench: Bench) -> None:
    bench.add("a.mkv")
    end = bench.run(lambda task: PASSING, archive=EAGER)
    assert bench.given() == ["a.mkv"] * 3
    assert end.snapshot.failures == (("a.mkv", "the net was away"),)
    assert (states(bench)["a.mkv"], episodes(bench)["a.mkv"].attempts) == ("failing", 3)
    assert bench.run().is_all_done


def test_progress_between_failures_gives_new_tries(bench: Bench) -> None:
    bench.add("a.mkv")
    frames = iter(range(10, 80, 10))

    def answer(task: RecordingTask) -> Answer:
        reached = next(frames)
        return DONE if reached == 70 else RecordingOutcome(RecordingState.FAILED, frames=reached, error="net")

    assert bench.run(answer, archive=EAGER).is_all_done
    assert len(bench.given()) == 7


def test_a_lost_worker_means_another_try_but_not_for_ever(bench: Bench) -> None:
    bench.add("a.mkv", "b.mkv")
    answers: dict[str, list[Answer]] = {
        "a.mkv": [Lost(None, "", "killed by SIGKILL"), DONE],  # type: ignore[arg-type]
        "b.mkv": [Lost(None, "", "killed by SIGSEGV")] * 3,  # type: ignore[arg-type]
    }
    end = bench.run(lambda task: answers[task.name].pop(0), archive=EAGER)
    assert states(bench) == {"a.mkv": "done", "b.mkv": "broken"}
    assert "3 workers were lost at it (killed by SIGSEGV)" in end.snapshot.failures[0][1]


def test_what_another_run_is_at_is_waited_for(bench: Bench) -> None:
    bench.add("a.mkv")
    answers: list[Answer] = [BUSY, DONE]
    assert bench.run(lambda task: answers.pop(0)).is_all_done
    assert bench.given() == ["a.mkv"] * 2


def test_what_another_run_does_meanwhile_is_not_done_again(bench: Bench) -> None:
    bench.add("a.mkv")
    bench.run()
    assert bench.workers is not None
    (theirs,) = bench.workers.given
    bench.add("b.mkv")
    with Manifest(bench.out) as other:
        other.claim("a.mkv", other.begin_run({}), lambda episode: False)

        def answer(task: RecordingTask) -> Answer:
            other.done(theirs, DONE, [], theirs.path_of("jsonl").stat().st_size)
            return DONE

        assert bench.run(answer).is_all_done
    assert bench.given() == ["b.mkv"]


def test_a_video_that_changes_while_it_is_read_is_read_again(bench: Bench) -> None:
    bench.add("a.mkv")
    contents = iter(["longer", "longer still"])

    def answer(task: RecordingTask) -> Answer:
        text = next(contents, None)
        if text is not None:
            (bench.library / "a.mkv").write_text(text)
        return DONE

    assert bench.run(answer, archive=EAGER).is_all_done
    assert bench.workers is not None
    keys = [task.key for task in bench.workers.given]
    assert len(set(keys)) == 3
    assert episodes(bench)["a.mkv"].key == keys[-1]


def test_a_video_whose_disk_went_away_is_not_broken_for_good(bench: Bench) -> None:
    bench.add("a.mkv")

    def answer(task: RecordingTask) -> Answer:
        (bench.library / "a.mkv").unlink(missing_ok=True)
        return RecordingOutcome(RecordingState.BROKEN, error="a.mkv: no such file")

    assert not bench.run(answer, archive=EAGER).is_all_done
    assert episodes(bench)["a.mkv"].key == ""
    bench.add("a.mkv")
    assert bench.run().is_all_done


def test_a_stop_leaves_everything_for_the_next_run(bench: Bench) -> None:
    bench.add("a.mkv", "b.mkv")

    def is_stopped() -> bool:
        return bool(bench.observer.snapshots and bench.observer.snapshots[-1].at_work)

    end = bench.run(lambda task: None, is_stopped)
    assert end.is_stopped
    assert not end.is_all_done
    assert bench.workers is not None
    assert bench.workers.is_stopped
    assert bench.workers.is_closed
    assert states(bench) == {"a.mkv": "waiting", "b.mkv": "waiting"}
    assert bench.run().is_all_done


def test_files_that_cannot_be_read_are_set_aside(bench: Bench) -> None:
    bench.add("a.mkv")
    (bench.library / "gone.mkv").symlink_to(bench.library / "nothing")
    end = bench.run()
    assert states(bench) == {"a.mkv": "done", "gone.mkv": "broken"}
    assert not end.is_all_done
    (bench.library / "gone.mkv").unlink()
    assert bench.run().is_all_done
    assert states(bench) == {"a.mkv": "done"}  # what is gone and was never done is forgotten


def test_secrets_of_urls_are_for_their_owner_alone(bench: Bench) -> None:
    bench.add("a.mkv")
    bench.run()
    manifest = bench.out / ".acfd" / "manifest.sqlite3"
    assert manifest.stat().st_mode & 0o044
    places = (str(bench.library), "rtsp://me:secret@camera/film.mkv")
    end = bench.run(lambda task: BROKEN, places=places)
    assert manifest.stat().st_mode & 0o077 == 0
    assert "secret" not in str(end.snapshot)


def test_a_crew_that_cannot_work_ends_the_run_and_frees_it(bench: Bench) -> None:
    bench.add("a.mkv")
    with pytest.raises(BackendUnavailable, match="no such device"):
        bench.run(lambda task: BackendUnavailable("no such device"))
    assert bench.workers is not None
    assert bench.workers.is_closed
    with Manifest(bench.out) as manifest:
        assert manifest.living_runs() == []


def test_a_call_that_cannot_be_done_leaves_nothing(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="has no video"):
        bench.run()
    bench.add("a.mkv")
    with pytest.raises(RunnerError, match="no model 'nobody'"):
        bench.run(model="nobody")
    assert not bench.out.exists()


def test_what_is_counted(bench: Bench) -> None:
    bench.add("a.mkv", "b.mkv")
    bench.run(lambda task: BROKEN if task.name == "a.mkv" else DONE)
    value = bench.metrics.registry.get_sample_value
    assert value("acfd_archive_episodes", {"state": "done"}) == 1
    assert value("acfd_archive_episodes", {"state": "broken"}) == 1
    assert value("acfd_archive_attempts_total", {"outcome": "done"}) == 1
    assert value("acfd_archive_attempts_total", {"outcome": "lost"}) == 0
    assert value("acfd_archive_frames_total") == 48
    assert value("acfd_archive_video_seconds_total") == 2
