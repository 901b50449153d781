"""Our figures against TrackEval, the program of HOTA's authors, on the MOT text that we write and on noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trackeval.datasets import MotChallenge2DBox
from trackeval.metrics import HOTA, Identity

from acfd_stream.cli import main
from acfd_stream.model.scoring import Rules, Score, read_tracks, score_tracks
from acfd_stream.model.toon import ClipTruth, FrameTruth, render, write_clip
from acfd_stream.outputs import convert, read_results

EVERY_FACE = Rules(least_visible=0.0, least_side=0.0)  # TrackEval knows no faces that hardly show


def trackeval_of(result: Path, truth: ClipTruth, folder: Path) -> dict[str, float]:
    """What TrackEval says of a MOT file, read by its own reader."""
    (folder / "gt" / "clip" / "gt").mkdir(parents=True)
    (folder / "trackers" / "ours" / "data").mkdir(parents=True)
    (folder / "trackers" / "ours" / "data" / "clip.txt").write_bytes(result.read_bytes())
    rows = []
    for frame in truth.frames:
        for face in frame.faces:
            x1, y1, x2, y2 = (round(value, 2) for value in face.box_xyxy)
            rows.append(f"{frame.index + 1},{face.id},{x1},{y1},{x2 - x1:.2f},{y2 - y1:.2f},1,1,1\n")
    (folder / "gt" / "clip" / "gt" / "gt.txt").write_text("".join(rows))
    places = {"GT_FOLDER": str(folder / "gt"), "TRACKERS_FOLDER": str(folder / "trackers")}
    how = {"SKIP_SPLIT_FOL": True, "DO_PREPROC": False, "PRINT_CONFIG": False, "TRACKERS_TO_EVAL": ["ours"]}
    dataset = MotChallenge2DBox({**places, **how, "SEQ_INFO": {"clip": len(truth.frames)}})
    data = dataset.get_preprocessed_seq_data(dataset.get_raw_seq_data("ours", "clip"), "pedestrian")
    hota = HOTA().eval_sequence(data)
    said = {name: float(np.mean(hota[name])) for name in ("HOTA", "DetA", "AssA")}
    return said | {"IDF1": float(Identity({"PRINT_CONFIG": False}).eval_sequence(data)["IDF1"])}


def ours(score: Score) -> dict[str, float]:
    hota = score.hota
    return {"HOTA": hota.hota, "DetA": hota.detection, "AssA": hota.association, "IDF1": score.idf1}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn clip, with its truth beside it as ``truth.json``."""
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder / "clip.mp4", render("crowd", 3, (270, 480), 8)).save(folder / "truth.json")
    return folder / "clip.mp4"


def test_tracks_of_a_drawn_clip_score_the_same(clip: Path, tmp_path: Path) -> None:
    assert main(["track", str(clip), "-o", str(tmp_path / "clip.jsonl"), "--quiet"]) == 0
    convert(read_results(tmp_path / "clip.jsonl"), tmp_path / "clip.mot", "mot")
    truth = ClipTruth.load(clip.with_name("truth.json"))
    score = score_tracks(read_tracks(tmp_path / "clip.jsonl"), truth, EVERY_FACE)
    assert ours(score) == pytest.approx(trackeval_of(tmp_path / "clip.mot", truth, tmp_path), abs=1e-9)
    assert 0.3 < score.hota.hota < 1.0  # faces were found, and not without fault


def noisy_faces(frame: FrameTruth, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Boxes moved, left out, added and renamed."""
    found = []
    for face in frame.faces:
        name = face.id if rng.random() < 0.8 else face.id + 20 + frame.index // 17
        corners = np.array(face.box_xyxy) + rng.normal(0, 6, 4)
        if rng.random() < 0.85:
            found.append((name, [*np.minimum(corners[:2], corners[2:]), *np.maximum(corners[:2], corners[2:])]))
    if rng.random() < 0.3:
        found.append((99, [5.0, 5.0, 50.0, 40.0]))
    return [
        {"id": name, "box": [round(float(v), 2) for v in box], "score": 0.5, "state": "detected"} for name, box in found
    ]


def write_noise(place: Path, truth: ClipTruth, rng: np.random.Generator) -> None:
    """The truth with faults, as JSON lines."""
    header = {"type": "header", "version": 1, "source": "clip", "width": 480, "height": 270, "time_base": "1/8"}
    lines: list[dict[str, Any]] = [{**header, "model": {}, "settings": {}}]
    for frame in truth.frames:
        where = {"index": frame.index, "pts": frame.index, "shot": 0, "reused": False}
        lines.append({"type": "frame", **where, "faces": noisy_faces(frame, rng)})
    lines.append({"type": "end", "frames": len(truth.frames), "tracks": 1, "duration": 1.0, "complete": True})
    place.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("seed", range(4))
def test_noise_scores_the_same(seed: int, clip: Path, tmp_path: Path) -> None:
    truth = ClipTruth.load(clip.with_name("truth.json"))
    write_noise(tmp_path / "clip.jsonl", truth, np.random.default_rng(seed))
    convert(read_results(tmp_path / "clip.jsonl"), tmp_path / "clip.mot", "mot")
    score = score_tracks(read_tracks(tmp_path / "clip.jsonl"), truth, EVERY_FACE)
    assert ours(score) == pytest.approx(trackeval_of(tmp_path / "clip.mot", truth, tmp_path), abs=1e-9)
    assert 0.1 < score.hota.hota < 0.9
