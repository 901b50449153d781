"""The notebook of docs/ runs from its first cell to its plot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = json.loads((Path(__file__).resolve().parent.parent / "docs/first_steps.ipynb").read_text())


def test_the_notebook_ends_with_a_lane_for_each_track(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pyplot, "show", lambda: None)
    names: dict[str, Any] = {}
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    lanes = names["axes"].collections
    assert len(lanes) == len(names["times"]) > 5
    pyplot.close("all")


def test_the_notebook_shows_its_plot() -> None:
    *_, last = (cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code")
    assert [list(output["data"]) for output in last["outputs"]] == [["image/png", "text/plain"]]
