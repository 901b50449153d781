"""What a training leaves behind: the curve, the board where it is installed, a bar only on a terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from acfd_stream.model.journal import Journal


def test_rows_go_to_the_curve_and_to_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Journal(tmp_path / "run") as journal:
        journal.log(100, 90.0, {"ap50": 0.5})
        journal.move(0.3, "100 iterations")
    with Journal(tmp_path / "run") as journal:  # a resumed run goes on in the same file
        journal.log(200, 180.0, {"ap50": 0.6})
    rows = [json.loads(line) for line in (tmp_path / "run/curve.jsonl").read_text().splitlines()]
    assert rows == [{"iteration": 100, "minutes": 1.5, "ap50": 0.5}, {"iteration": 200, "minutes": 3.0, "ap50": 0.6}]
    assert capsys.readouterr().out == (tmp_path / "run/curve.jsonl").read_text()


def test_figures_go_to_the_board(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Journal(tmp_path) as journal:
        journal.log(100, 90.0, {"ap50": 0.5})
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("ap50")] == [(100, 0.5)]


def test_nothing_is_missed_without_the_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with Journal(tmp_path) as journal:
        journal.log(100, 90.0, {"ap50": 0.5})
    assert not (tmp_path / "board").exists()
