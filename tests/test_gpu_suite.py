"""The suite that proves and measures the GPU path, as far as it goes without a GPU."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Loads a module as the scripts of ``benchmarks`` do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def row(name: str, value: float, unit: str = "s") -> dict[str, Any]:
    spread = dict.fromkeys(("median", "p5", "p95", "p99"), value)
    return {"name": name, "unit": unit, "n": 1, **spread, "parameters": {}, "device": "a GPU", "commit": "abc"}


def test_every_line_answers_with_figure_bound_and_verdict(load: Any) -> None:
    acceptance = load("gpu.acceptance")
    rows = [row("gpu_faces", 140e-6), row("gpu_three_scales", 0.011), row("gpu_onnxruntime_fps", 2000.0, "fps")]
    answers = {answer["row"]: answer for answer in acceptance.answers(rows)}
    assert set(answers) == {line.row for line in acceptance.LINES}
    assert (answers["gpu_faces"]["figure"], answers["gpu_faces"]["is_met"]) == (140e-6, True)
    assert answers["gpu_three_scales"]["is_met"] is False
    assert answers["gpu_onnxruntime_fps"]["is_met"] is None
    assert (answers["gpu_live_p99"]["figure"], answers["gpu_live_p99"]["is_met"]) == (None, None)
    at_least = next(line for line in acceptance.LINES if line.row == "gpu_faces_vs_torchvision")
    assert at_least.is_met(row("", 5.0)) is True
    assert at_least.is_met(row("", 4.99)) is False


def test_what_is_done_stays_and_a_row_is_replaced_by_its_next(load: Any, tmp_path: Path) -> None:
    book = load("gpu.book")
    first = book.Book(tmp_path / "gpu.json", is_rehearsal=False)
    first.add(row("gpu_faces", 1.0))
    first.note_part("kernels", book.DONE, seconds=3.0)
    second = book.Book(tmp_path / "gpu.json", is_rehearsal=False)
    assert second.state("kernels") == book.DONE
    assert second.state("live") is None
    second.add(row("gpu_faces", 2.0))
    second.note_machine(python="3.12.3")
    kept = json.loads((tmp_path / "gpu.json").read_text())
    assert [entry["median"] for entry in kept["rows"]] == [2.0]
    assert kept["machine"] == {"python": "3.12.3"}
    assert len(kept["acceptance"]) == len(load("gpu.acceptance").LINES)


def test_a_rehearsal_never_comes_among_the_results(load: Any, tmp_path: Path) -> None:
    book = load("gpu.book")
    with pytest.raises(ValueError, match="a rehearsal does not belong into"):
        book.Book(BENCHMARKS / "results" / "gpu.json", is_rehearsal=True)
    book.Book(tmp_path / "gpu.json", is_rehearsal=True).save()
    with pytest.raises(ValueError, match="is of a rehearsal"):
        book.Book(tmp_path / "gpu.json", is_rehearsal=False)


def arguments(out: Path, **others: Any) -> Namespace:
    return Namespace(**{"device": "cpu", "out": out, "again": False, "budget_seconds": 1e9, **others})


@pytest.fixture
def suite(load: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with parts that are not run."""
    module: ModuleType = load("gpu_suite")
    states = {"faces": (module.FAILED, "exit code 1: out of memory"), "tensorrt": (module.SKIPPED, "no TensorRT")}
    monkeypatch.setattr(module, "in_own_process", lambda part, *_: states.get(part.name, (module.DONE, "")))
    return module


def test_a_part_that_fails_leaves_the_rest(suite: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = arguments(tmp_path / "gpu.json")
    book = suite.run_all(list(suite.PARTS), call, suite.Book(call.out, is_rehearsal=True))
    states = {part.name: book.state(part.name) for part in suite.PARTS}
    assert states.pop("faces") == suite.FAILED
    assert states.pop("tensorrt") == suite.SKIPPED
    assert set(states.values()) == {suite.DONE}
    assert book.values["parts"]["faces"]["why"] == "exit code 1: out of memory"
    assert suite.report(book) == 1
    said = capsys.readouterr().out
    assert "REHEARSAL: the figures below are not valid" in said
    assert said.count("not yet measured") == len(importlib.import_module("gpu.acceptance").LINES)


def test_the_next_leg_does_what_is_left(suite: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = arguments(tmp_path / "gpu.json")
    suite.run_all(list(suite.PARTS[:3]), call, suite.Book(call.out, is_rehearsal=True))
    ran: list[str] = []
    monkeypatch.setattr(suite, "in_own_process", lambda part, *_: (ran.append(part.name), (suite.DONE, ""))[1])
    hurried = arguments(call.out, budget_seconds=0.0)
    suite.run_all(list(suite.PARTS), hurried, suite.Book(call.out, is_rehearsal=True))
    assert ran == []
    suite.run_all(list(suite.PARTS), call, suite.Book(call.out, is_rehearsal=True))
    assert ran == [part.name for part in suite.PARTS[3:]]


def test_legs_are_under_ten_minutes_and_have_every_part(suite: Any) -> None:
    legs = {leg: [part for part in suite.PARTS if part.leg == leg] for leg in suite.LEGS}
    assert sum(map(len, legs.values())) == len(suite.PARTS)
    for part in suite.PARTS:
        module = importlib.import_module(f"gpu.{part.module or part.name}")
        assert callable(getattr(module, part.function))
        assert part.limit_seconds < 600


def run_script(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "gpu_suite.py"), *words]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    done = run_script("--out", str(tmp_path / "gpu.json"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "the driver finds no GPU" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_part_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    done = run_script("--device", "cpu", "--only", "tensorrt", "--out", str(out))
    assert done.returncode == 1  # the other parts are not done
    kept = json.loads(out.read_text())
    assert kept["rehearsal"] is True
    assert kept["parts"]["tensorrt"]["state"] == "done"
    assert kept["machine"]["versions"]["numpy"]


def test_the_page_shows_what_has_been_measured_on_a_gpu(load: Any) -> None:
    table = load("readme_table")
    page = (ROOT / "docs/gpu.md").read_text()
    shown = page.partition(table.GPU_BEGIN)[2].partition(table.GPU_END)[0].strip()
    assert shown == table.gpu_table(table.load(table.GPU))
    met = table.gpu_table([row("gpu_faces", 140e-6), row("gpu_three_scales", 0.011)])
    assert "| 0.14 ms | ≤ 0.15 ms |" in met
    assert "| **11 ms**, not met | ≤ 10 ms |" in met
    assert "Measured on: a GPU, commit abc." in met


def test_a_bundle_is_cut_into_parts_that_fit(load: Any, tmp_path: Path) -> None:
    pack = load("gpu_pack")
    script = tmp_path / "bundle"
    script.write_text(
        '#!/bin/sh\nhead -c 3000000 /dev/urandom > "$2/part-00"; head -c 2500000 /dev/zero > "$2/part-01"\n'
    )
    script.chmod(0o755)
    pack.pack_tensorrt(tmp_path, script, 2**21)
    parts = [(folder / "part").read_bytes() for folder in sorted(tmp_path.glob("trt-*"))]
    assert [len(part) for part in parts[:-1]] == [2**21] * (len(parts) - 1)
    whole = b"".join(parts)
    assert len(whole) == 5_500_000
    assert whole.endswith(b"\0" * 2_500_000)
