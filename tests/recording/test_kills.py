"""A SIGKILL at any moment costs work and nothing else: what comes out in the end is what an unbroken run gives."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from acfd_stream.characters import CharacterConfig
from acfd_stream.outputs.formats import OUTPUTS
from acfd_stream.pipeline import session
from acfd_stream.recording.record import Recorder
from acfd_stream.recording.sinks import FormatSink
from acfd_stream.recording.task import RecordingSettings, RecordingState, RecordingTask
from tests.pipeline.conftest import write_clip
from tests.pipeline.square_finder import SquareFinder
from tests.recording.scripted_characters import CONFIG, install
from tests.recording.victim import Death, attempt, outputs_of

KILLS = 10  # with characters, and as many without
SEED = 6
CHECKPOINT_SECONDS = 0.002  # every few frames of the drawn clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mkv")


@pytest.fixture(scope="module")
def unbroken(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], Death]:
    """All outputs of a run that nobody disturbs, and how many lines of the program it took."""
    out = tmp_path_factory.mktemp("unbroken") / "out"
    return whole(task_of(clip, out))


def whole(task: RecordingTask) -> tuple[dict[str, bytes], Death]:
    death = attempt(task)
    assert death.outcome is not None
    assert death.outcome.state is RecordingState.DONE, death.outcome
    return outputs_of(task.out), death


def task_of(clip: Path, out: Path, characters: CharacterConfig | None = CONFIG) -> RecordingTask:
    return RecordingTask(
        *("key", str(clip), "show/clip.mkv", out, OUTPUTS),
        checkpoint_seconds=CHECKPOINT_SECONDS,
        characters=characters,
    )


def lots(lines: int) -> Iterator[int]:
    """Moments at which attempts die, in lines since they began: most soon, some late."""
    draw = random.Random(SEED)
    while True:
        yield 1 + int(lines * draw.random() ** 3)


def test_the_unbroken_run_gives_every_output_and_the_lines_of_the_command(
    clip: Path, unbroken: tuple[dict[str, bytes], Death], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, _ = unbroken
    suffixes = {name.removeprefix("show/clip.mkv").split("/")[0] for name in files}
    assert suffixes == {
        *(".jsonl", ".parquet", ".csv", ".mot.txt", ".characters.txt", ".coco.json", ".vtt", ".srt", ".views.ndjson"),
        *(".overlay.mp4", ".thumbnails", ".poster.jpg", ".proxy.mp4", ".report.html"),
    }
    monkeypatch.setattr(session, "open_characters", session.open_characters)  # to put it back
    install()
    sink = FormatSink(tmp_path / "command.jsonl", "jsonl")
    settings = RecordingSettings(characters=CONFIG)
    Recorder(source=str(clip), settings=settings, engine=SquareFinder(), sinks=[sink]).record()
    assert files["show/clip.mkv.jsonl"] == (tmp_path / "command.jsonl").read_bytes()


@pytest.mark.parametrize("characters", [CONFIG, None], ids=["with characters", "without"])
def test_ten_kills_at_lines_drawn_by_lot_change_no_byte(
    characters: CharacterConfig | None, clip: Path, unbroken: tuple[dict[str, bytes], Death], tmp_path: Path
) -> None:
    files, undisturbed = unbroken if characters else whole(task_of(clip, tmp_path / "whole", None))
    moments = lots(undisturbed.lines)
    kills = rounds = 0
    while kills < KILLS:
        rounds += 1
        out = tmp_path / f"out-{rounds}"
        while (death := attempt(task_of(clip, out, characters), lines=next(moments))).outcome is None:
            kills += 1
        assert death.outcome.state is RecordingState.DONE, death.outcome
        assert outputs_of(out) == files


def test_kills_from_outside_at_any_moment_change_no_byte(
    clip: Path, unbroken: tuple[dict[str, bytes], Death], tmp_path: Path
) -> None:
    files, _ = unbroken
    draw, out, waits = random.Random(SEED), tmp_path / "out", threading.Event()
    for _ in range(6):
        attempt(task_of(clip, out), before_kill=lambda: waits.wait(draw.random() * 0.4))
    death = attempt(task_of(clip, out))
    assert death.outcome is not None
    assert death.outcome.state is RecordingState.DONE
    assert outputs_of(out) == files


def test_a_kill_while_an_output_is_made_leaves_nothing_under_its_name(
    clip: Path, unbroken: tuple[dict[str, bytes], Death], tmp_path: Path
) -> None:
    files, _ = unbroken
    task = task_of(clip, tmp_path / "out")
    for output in OUTPUTS:
        assert attempt(task, in_output=output).outcome is None
        assert not task.path_of(output).exists()
        there = {name: content for name, content in outputs_of(task.out).items() if not name.endswith(".part")}
        assert there.items() <= files.items()
    death = attempt(task)
    assert death.outcome is not None
    assert (death.outcome.state, death.outcome.new_frames) == (RecordingState.DONE, 0)
    assert outputs_of(task.out) == files
