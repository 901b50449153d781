"""What compares trackers: the made-up detector, the replay through ``track``, TrackEval's figures and the tables."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acfd_stream import Detector
from acfd_stream.model.scoring import score_tracks
from acfd_stream.model.toon import ClipTruth, FrameTruth, render, write_clip
from acfd_stream.types import Detections
from acfd_stream.video import open_video
from benchmarks import tracking
from benchmarks.peers import trackers
from benchmarks.tracking_suite import Recorded, checksum, flickering, simulated
from benchmarks.tracking_table import by_situation, summary
from tests.detect.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detector]:
    with Detector.open(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"), "cpu") as opened:
        yield opened


def truth_of(frame: FrameTruth) -> Detections:
    boxes = np.array([face.box_xyxy for face in frame.faces if face.visible > 0], np.float32).reshape(-1, 4)
    return Detections(boxes, np.full(len(boxes), 0.9, np.float32))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Six seconds of a talk, seen perfectly."""
    video = tmp_path_factory.mktemp("scene") / "clip.mp4"
    clip = render("quiet", 2, (180, 320), 12)
    truth = write_clip(video, clip)
    source = open_video(video)
    checksums = tuple(checksum(frame.picture) for frame in source)
    source.close()
    return Recorded("crowd", 2, video, truth, checksums, tuple(truth_of(frame) for frame in truth.frames))


def test_ours_is_the_whole_of_track_on_the_given_detections(scene: Recorded, detector: Detector) -> None:
    said = tracking.scores([scene], [tracking.own_tracks(scene, detector)])
    assert said["crowd"]["IDF1"] == said["all"]["IDF1"] > 0.99
    assert said["all"]["IDSW"] == 0
    live = tracking.own_tracks(scene, detector, is_live=True)
    assert not live[0].ids, "live, nobody is believed in the first frame"


def test_trackeval_says_what_our_own_figures_say(scene: Recorded, detector: Detector) -> None:
    poor = simulated(scene)
    tracks = tracking.own_tracks(poor, detector)
    said, own = tracking.scores([poor], [tracks])["all"], score_tracks(tracks, scene.truth)
    assert said["HOTA"] == pytest.approx(own.hota.hota, abs=1e-9)
    assert said["IDF1"] == pytest.approx(own.idf1, abs=1e-9)
    assert 0.3 < said["HOTA"] < 0.95


def seen(truth: ClipTruth, seed: int) -> list[Detections]:
    return list(flickering(truth, np.random.default_rng(seed)))


def test_the_poor_detector_is_sealed_by_its_seed_and_says_the_same_of_the_same_drawing(scene: Recorded) -> None:
    first, again, other = (seen(scene.truth, seed) for seed in (1, 1, 2))
    same = [np.array_equal(a.boxes_xyxy, b.boxes_xyxy) for a, b in zip(first, again, strict=True)]
    assert all(same)
    assert not all(np.array_equal(a.boxes_xyxy, b.boxes_xyxy) for a, b in zip(first, other, strict=True))
    for index in range(1, len(first)):
        is_same_drawing = scene.truth.frames[index].drawing == scene.truth.frames[index - 1].drawing
        assert (first[index] is first[index - 1]) == is_same_drawing


def test_equal_pictures_are_seen_alike(scene: Recorded) -> None:
    still = replace(scene, checksums=(7,) * len(scene.checksums))
    assert len({id(found) for found in simulated(still).found}) == 1


class Fake:
    """One track, with an id of its own that counts frames of its life."""

    def __init__(self, rate: float) -> None:
        self._frames = 0

    def push(self, found: trackers.Found) -> trackers.Tracked:
        self._frames += 1
        return [[1, *found[0][:4]], [self._frames + 1, 0, 0, 1, 1]]


def test_a_reset_gives_no_id_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(trackers.PEERS, "fake", Fake)
    frames = [[[0.0, 0.0, 9.0, 9.0, 0.8]]] * 4
    job = {"peer": "fake", "settings": {}, "rate": 24, "resets": [2], "frames": frames}
    assert [[track[0] for track in tracks] for tracks in trackers.tracks_of(job)] == [[1, 2], [1, 3], [4, 5], [4, 6]]


def rows() -> list[dict[str, Any]]:
    figures = {"HOTA": 0.5, "IDF1": 0.6, "IDSW": 7.0}
    said = {"ours": {"crowd": figures, "all": {**figures, "HOTA": 0.9}}, "norfair": {"crowd": figures, "all": figures}}
    return tracking.rows_of("a detector", [1], said)


def test_the_tables_tell_trackers_and_situations_apart() -> None:
    assert "| acfd_stream | 0.900 · 0.600 · 7 |" in summary(rows())
    lines = by_situation(rows()).splitlines()
    assert "| | acfd_stream | norfair |" in lines
    assert "| crowd | 0.500 · 0.600 · 7 | 0.500 · 0.600 · 7 |" in lines
    assert "| all | 0.900 · 0.600 · 7 | 0.500 · 0.600 · 7 |" in lines


def test_the_pages_have_a_place_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tracking.ROOT / "benchmarks"), *sys.path])
    table = importlib.import_module("readme_table")
    for page in ("docs/performance.md", "docs/tracking.md"):
        text = Path(tracking.ROOT, page).read_text()
        assert table.replaced(text, table.TRACKING_BEGIN, table.TRACKING_END, "") is not None
