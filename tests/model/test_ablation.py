"""The ablation runner: rows of a tiny set trained, scored, kept, not run again, and laid beside the paper's."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.model.toon import picture
from benchmarks.ablation import ROWS, config_of, draw, main, table


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two drawn pictures as both sets."""
    for folder in ("annotations", "images"):
        (tmp_path / folder).mkdir()
    images, rows = [], []
    for number in (1, 2):
        image, boxes = picture(np.random.default_rng(number), (96, 128))
        cv2.imwrite(str(tmp_path / f"images/{number}.png"), image[..., ::-1])
        images.append({"id": number, "file_name": f"{number}.png", "width": 128, "height": 96})
        for x1, y1, x2, y2 in boxes.tolist():
            rows.append({"id": len(rows), "image_id": number, "bbox": [x1, y1, x2 - x1, y2 - y1]})
    for name in ("train", "val"):
        path = tmp_path / f"annotations/icartoonface_{name}.json"
        path.write_text(json.dumps({"images": images, "annotations": rows}))
    return tmp_path


def test_a_row_is_trained_once_and_kept(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = ["--data", str(data), "--out", str(data / "runs"), "--results", str(data / "ablation.json")]
    call = [*paths, "--iterations", "1", "--device", "cpu", "--rows", "baseline"]
    assert main(call) == 0
    result = json.loads((data / "ablation.json").read_text())
    assert [row["row"] for row in result["table"]] == ["baseline"]
    assert 0 <= result["runs"][0]["ap50"] <= 1
    assert "ap50_scales" in result["runs"][0]
    assert capsys.readouterr().out.count('"row": "baseline"') == 1
    assert main(call) == 0
    assert capsys.readouterr().out == ""
    (checkpoint,) = (data / "runs").glob("*/last.pt")
    assert checkpoint.parent.name == "baseline-small-1-0"


def test_missing_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path), "--results", str(tmp_path / "r.json"), "--rows", "dam"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def runs(**ap50: float) -> list[dict[str, object]]:
    return [{"row": name.replace("_", "-"), "ap50": value} for name, value in ap50.items()]


def test_gains_stand_beside_the_papers() -> None:
    results = runs(baseline=0.40, dam=0.43, vovnet=0.42, pictures_725=0.2)
    results[0]["ap50_scales"] = 0.41
    lines = {line["row"]: line for line in table(results)}
    assert (lines["dam"]["gain"], lines["dam"]["paper_gain"]) == (pytest.approx(0.03), pytest.approx(0.0134))
    assert (lines["vovnet"]["gain"], lines["vovnet"]["paper_gain"]) == (pytest.approx(-0.01), pytest.approx(0.0099))
    assert (lines["baseline"]["scales_gain"], lines["baseline"]["paper_scales_gain"]) == pytest.approx((0.01, 0.0072))
    assert "gain" not in lines["pictures-725"]


def test_seeds_are_averaged() -> None:
    (line,) = table(runs(baseline=0.4) + runs(baseline=0.5))
    assert (line["ap50"], line["seeds"]) == (0.45, 2)


def test_a_chart_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(runs(baseline=0.4, dam=0.5, pictures_725=0.2, pictures_2900=0.4), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_rows_differ_in_pictures_and_share_their_iterations() -> None:
    options = argparse.Namespace(variant=None, iterations=50)
    configs = {row.name: config_of(row, options, 3) for row in ROWS}
    assert {config.schedule.iterations for config in configs.values()} == {50}
    assert {config.seed for config in configs.values()} == {3}
    counts = [configs[f"pictures-{count}"].data[0]["count"] for count in (725, 1450, 2900)]
    assert counts == [725, 1450, 2900]
    assert "count" not in configs["mbc"].data[0]
