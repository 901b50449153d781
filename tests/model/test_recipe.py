"""The recipe of docs/training.md, run as it is written on drawn pictures with a tiny network."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.cli import main
from acfd_stream.model.checkpoints import save_weights
from acfd_stream.model.network import Network
from acfd_stream.model.settings import TrainConfig
from acfd_stream.model.toon import picture, render, write_clip
from acfd_stream.outputs import read_results
from tests.model.tiny import CONFIG

PAGE = (Path(__file__).parents[2] / "docs/training.md").read_text()
SIDE = 96


def block(language: str) -> str:
    """The page's first block in ``language``."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def run_command(words: list[str]) -> None:
    """Run ``acfd-stream`` in a process of its own, as a user does,
    and apart from what other tests have loaded."""
    program = "import sys; from acfd_stream.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stderr)


def write_pictures(folder: Path, part: str, first: int) -> None:
    """Three drawn pictures of a part, their boxes in each of the formats."""
    (folder / "images" / part).mkdir(parents=True)
    (folder / "labels" / part).mkdir(parents=True)
    images, rows, lines = [], [], []
    for number in range(first, first + 3):
        image, boxes = picture(np.random.default_rng(number), (SIDE, SIDE))
        cv2.imwrite(str(folder / f"images/{part}/{number}.png"), image[..., ::-1])
        images.append({"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE})
        shares = []
        for x1, y1, x2, y2 in boxes.tolist():
            rows.append({"id": len(rows), "image_id": number, "bbox": [x1, y1, x2 - x1, y2 - y1]})
            lines.append(f"{number}.png,{x1},{y1},{x2},{y2}")
            shares.append([0, *np.array([x1 + x2, y1 + y2, 2 * (x2 - x1), 2 * (y2 - y1)]) / 2 / SIDE])
        (folder / f"labels/{part}/{number}.txt").write_text("".join(f"{' '.join(map(str, s))}\n" for s in shares))
    (folder / f"{part}.json").write_text(json.dumps({"images": images, "annotations": rows}))
    (folder / f"{part}.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the recipe finds: pictures, a config and weights of a shipped network, a film; and ``mine.toml``."""
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "faces", "train", 1)
    write_pictures(tmp_path / "faces", "val", 11)
    for name in ("configs", "weights"):
        (tmp_path / "model" / name).mkdir(parents=True)
    (tmp_path / "model/configs/acfd-n.toml").write_text(CONFIG)
    config = TrainConfig.load(tmp_path / "model/configs/acfd-n.toml")
    save_weights(Network(config.network), tmp_path / "model/weights/acfd-n.safetensors")
    text, changed = re.subn(r"(iterations|count) = \d+", r"\1 = 2", block("toml"))
    assert changed == 2
    (tmp_path / "mine.toml").write_text(text)
    return tmp_path


def test_the_recipe_leads_from_a_folder_to_tracks(folder: Path) -> None:
    write_clip(folder / "film.mp4", render("cuts", 0, (96, 128), 4))
    for line in block("sh").strip().splitlines():
        words = shlex.split(line)
        assert words[0] == "acfd-stream"
        run_command([*words[1:], *(["--threads", "1"] if words[1] == "train" else [])])
    results = read_results(folder / "film.jsonl")
    assert results.header.model["name"] == "mine"
    assert (folder / "mine.safetensors").is_file()


@pytest.mark.parametrize(("kind", "ending"), [("coco", "json"), ("icartoonface", "csv")])
def test_the_other_formats_train_as_well(folder: Path, kind: str, ending: str) -> None:
    text = (folder / "mine.toml").read_text().replace('"yolo"', f'"{kind}"')
    (folder / "mine.toml").write_text(re.sub(r'"labels/(\w+)"', rf'"\1.{ending}"', text))
    command = shlex.split(block("sh").splitlines()[0])[1:]
    run_command([*command, "--threads", "1"])
    assert json.loads((folder / "runs/mine/curve.jsonl").read_text().splitlines()[-1])["pictures"] > 0


def test_a_wrong_line_is_named_before_training_begins(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "faces/labels/val/11.txt").write_text("0 0.5 0.5 0.2 0.2\n0 1.5 0.5 0.2 0.2\n")
    assert main(shlex.split(block("sh").splitlines()[0])[1:]) == 1
    said = "acfd-stream train: faces/labels/val/11.txt: line 2 is not a box of shares in 0 … 1: '0 1.5 0.5 0.2 0.2'\n"
    assert capsys.readouterr().err == said
    assert not (folder / "runs").exists()


def test_a_validation_set_that_cannot_be_read_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine.toml").write_text((folder / "mine.toml").read_text().replace('kind = "yolo", a', 'kind = "voc", a'))
    assert main(shlex.split(block("sh").splitlines()[0])[1:]) == 1
    assert "validation must be a name, or kind (coco, yolo, wider, icartoonface)" in capsys.readouterr().err
