"""A SIGKILL at any moment costs work and nothing else: what comes out in the end is what an unbroken run gives."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from acfd_stream.outputs import open_writer
from acfd_stream.outputs.formats import OUTPUTS
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.recording.header import end_of, header_of
from acfd_stream.recording.task import RecordingState, RecordingTask
from tests.pipeline.conftest import write_clip
from tests.pipeline.square_finder import SquareFinder
from tests.recording.victim import Death, attempt, outputs_of

KILLS = 20
SEED = 6
CHECKPOINT_SECONDS = 0.002  # every few frames of the drawn clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mkv")


@pytest.fixture(scope="module")
def unbroken(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], Death]:
    """All outputs of a run that nobody disturbs, and how many lines of the program it took."""
    out = tmp_path_factory.mktemp("unbroken") / "out"
    death = attempt(task_of(clip, out))
    assert death.outcome is not None
    assert death.outcome.state is RecordingState.DONE, death.outcome
    return outputs_of(out), death


def task_of(clip: Path, out: Path) -> RecordingTask:
    return RecordingTask("key", str(clip), "show/clip.mkv", out, OUTPUTS, checkpoint_seconds=CHECKPOINT_SECONDS)


def lots(lines: int) -> Iterator[int]:
    """Moments at which attempts die, in lines since they began: most soon, some late."""
    draw = random.Random(SEED)
    while True:
        yield 1 + int(lines * draw.random() ** 3)


def test_the_unbroken_run_gives_every_output_and_the_lines_of_the_command(
    clip: Path, unbroken: tuple[dict[str, bytes], Death], tmp_path: Path
) -> None:
    files, _ = unbroken
    suffixes = {name.removeprefix("show/clip.mkv").split("/")[0] for name in files}
    assert suffixes == {
        *(".jsonl", ".parquet", ".csv", ".mot.txt", ".coco.json", ".vtt", ".srt"),
        *(".overlay.mp4", ".thumbnails", ".poster.jpg", ".proxy.mp4", ".report.html"),
    }
    with TrackSession(str(clip), detector=SquareFinder()) as session:
        writer = open_writer(tmp_path / "command.jsonl", "jsonl", header_of(session))
        for result in session:
            writer.write(result)
        writer.close(end_of(session))
    assert files["show/clip.mkv.jsonl"] == (tmp_path / "command.jsonl").read_bytes()


def test_twenty_kills_at_lines_drawn_by_lot_change_no_byte(
    clip: Path, unbroken: tuple[dict[str, bytes], Death], tmp_path: Path
) -> None:
    files, whole = unbroken
    moments = lots(whole.lines)
    kills = rounds = 0
    while kills < KILLS:
        rounds += 1
        out = tmp_path / f"out-{rounds}"
        while (death := attempt(task_of(clip, out), lines=next(moments))).outcome is None:
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
