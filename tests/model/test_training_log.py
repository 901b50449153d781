"""What a training logs: rows in a curve and in TensorBoard, and progress without a terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from acfd_stream import progress
from acfd_stream.model.training_log import TrainingLog
from tests.clock import Clock

ROW = {"iteration": 100, "pictures": 1600, "minutes": 1.5, "ap50": 0.5}


def test_rows_go_to_the_curve_and_to_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingLog(tmp_path / "run") as log:
        log.write(ROW)
        log.update(0.3, "100 iterations")
    with TrainingLog(tmp_path / "run") as log:  # a resumed run appends to the same file
        log.write(ROW | {"iteration": 200})
    rows = [json.loads(line) for line in (tmp_path / "run/curve.jsonl").read_text().splitlines()]
    assert rows == [ROW, ROW | {"iteration": 200}]
    assert capsys.readouterr().out == (tmp_path / "run/curve.jsonl").read_text()


def test_without_a_terminal_a_line_of_progress_is_written_once_a_minute(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=clock))
    with TrainingLog(tmp_path) as log:
        for second in range(0, 150, 10):
            log.update(second / 1000, f"after {second} s")
            clock.now += 10
    assert capsys.readouterr().err.splitlines() == [
        "0.0%: after 0 s", "6.0%: after 60 s; 15:40 left", "12.0%: after 120 s; 14:40 left"
    ]  # fmt: skip


def test_figures_go_to_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with TrainingLog(tmp_path) as log:
        log.write(ROW)
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("ap50")] == [(100, 0.5)]


def test_a_training_runs_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with TrainingLog(tmp_path) as log:
        log.write(ROW)
    assert not (tmp_path / "board").exists()
