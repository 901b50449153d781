"""The generated tables: the pages show what benchmarks/results holds, and the README compares in few lines."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("readme_table")


def row(name: str, median: float, unit: str, **parameters: Any) -> dict[str, Any]:
    figures = {"n": 1, "median": median, "p5": median, "p95": median}
    return {"name": name, "unit": unit, **figures, "parameters": parameters, "device": "a machine", "commit": "abc"}


def score(
    tracker: str, value: float, situation: str = "all", detections: str = "the shipped detector"
) -> dict[str, Any]:
    return row("tracking_hota", value, "score", tracker=tracker, situation=situation, detections=detections)


def test_the_pages_show_the_results_that_are_kept(table: Any) -> None:
    blocks = table.blocks()
    pages = {"README.md", "docs/gpu.md", "docs/performance.md", "docs/tracking.md"}
    assert {block.page for block in blocks} - {"docs/characters.md"} == pages
    for block in blocks:
        text = (ROOT / block.page).read_text()
        assert table.replaced(text, block.begin, block.end, block.table) == text, "run benchmarks/readme_table.py"


def test_the_comparison_gives_speedups_and_the_score_over_all_situations(table: Any) -> None:
    peers = [row("peer_ours", 100.0, "fps"), row("peer_yunet", 50.0, "fps"), row("peer_yunet_ratio", 2.0, "ratio")]
    tracks = [score("ours", 0.6), score("ours", 0.9, "crowd"), score("ours", 0.8, detections="a poor one")]
    lines = table.comparison(peers, [*tracks, score("norfair", 0.5)]).splitlines()
    assert "| **acfd_stream** | yes | yes | yes |  | 0.600 |" in lines
    assert "| OpenCV's YuNet | no, human faces | no | no | 2 × |  |" in lines
    assert any(line.startswith("| norfair, for boxes") and line.endswith("|  | 0.500 |") for line in lines)
    assert lines[-1] == "Measured on: a machine, commit abc."
    assert len(lines) <= 2 + 8 + 2


def test_every_compared_tool_is_one_that_is_measured(table: Any) -> None:
    measured = {f"peer_{one.name}" for one in table.VIDEO} | {f"track_cost_{one.name}" for one in table.TRACKERS}
    assert {tool.speed_row for tool in table.COMPARED} <= measured


def test_a_page_without_its_markers_is_an_error(table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.md").write_text("no markers")
    monkeypatch.setattr(table, "ROOT", tmp_path)
    monkeypatch.setattr(table, "blocks", lambda: [table.Block("page.md", "<!-- a -->", "<!-- b -->", "")])
    assert table.main() == 1


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
