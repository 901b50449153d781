"""Average precision by hand and against pycocotools, recall by kind of face, the score of a precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acfd_stream.model.average_precision import Verdicts, draw_curves, judge, pooled, score
from acfd_stream.model.readers import FACE, IGNORE, Sample
from acfd_stream.types import Detections

AP_TOLERANCE = 1e-3  # pycocotools takes equal scores in another order


def sample(boxes: list[list[float]], kinds: list[int] | None = None) -> Sample:
    table = np.array(boxes, np.float32).reshape(-1, 4)
    return Sample(Path("x"), table, np.array(kinds or [FACE] * len(table), np.int8))


def found(*rows: tuple[list[float], float]) -> Detections:
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([value for _, value in rows], np.float32))


LEFT, RIGHT, AWAY = [0.0, 0, 20, 20], [50.0, 0, 60, 40], [80.0, 80, 90, 90]


def test_verdicts_by_hand() -> None:
    half = [0.0, 0, 20, 10]  # IoU with LEFT is exactly a half
    verdicts = judge([sample([LEFT, RIGHT])], [found((half, 0.9), (LEFT, 0.8), (AWAY, 0.7), (RIGHT, 0.6))])
    assert verdicts.scores == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert verdicts.is_face.tolist() == [True, False, False, True]  # LEFT is found already when 0.8 comes
    assert verdicts.found_at == pytest.approx([0.9, 0.6])
    recall, precision = verdicts.curve()
    assert recall.tolist() == [0.5, 0.5, 0.5, 1.0]
    assert precision == pytest.approx([1, 1 / 2, 1 / 3, 1 / 2])
    assert verdicts.average_precision() == pytest.approx((51 * 1 + 50 * 0.5) / 101)


def test_a_loose_box_counts_at_half_overlap_and_not_at_three_quarters() -> None:
    loose = [0.0, 0, 20, 12]  # IoU with LEFT is 0.6
    result = score([sample([LEFT, RIGHT])], [found((loose, 0.9), (RIGHT, 0.8))])
    assert result.ap50 == pytest.approx(1.0)
    assert result.ap75 == pytest.approx(51 / 101 / 2)  # half of the faces, and a wrong box before them


def test_boxes_on_ignored_regions_are_no_mistakes_and_ignored_faces_no_misses() -> None:
    truth = sample([LEFT, [40.0, 0, 100, 60]], [FACE, IGNORE])
    verdicts = judge([truth], [found((LEFT, 0.9), ([50.0, 10, 60, 20], 0.8), ([35.0, 0, 44, 9], 0.7))])
    assert verdicts.is_face.tolist() == [True, False]  # the last box lies less than half on the region
    assert len(verdicts.found_at) == 1


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_pycocotools_to_a_thousandth(seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples, detections = [], []
    for _ in range(30):
        low = rng.uniform(0, 150, (rng.integers(0, 6), 2))
        boxes = np.concatenate([low, low + rng.uniform(8, 50, low.shape)], 1)
        kinds = rng.choice([FACE, IGNORE], len(boxes), p=[0.85, 0.15])
        samples.append(Sample(Path("x"), boxes.astype(np.float32), kinds.astype(np.int8)))
        near = boxes[rng.random(len(boxes)) < 0.8] + rng.normal(0, 4, (1, 4))
        far = rng.uniform(0, 150, (rng.integers(0, 5), 2))
        both = np.concatenate([near, near + 2, np.concatenate([far, far + 20], 1)])
        detections.append(Detections(both.astype(np.float32), rng.random(len(both)).astype(np.float32)))
    expected, mine = score(samples, detections), judge(samples, detections)
    assert mine.average_precision() == pytest.approx(expected.ap50, abs=AP_TOLERANCE)
    assert (mine.found_at >= 0).mean() == pytest.approx(expected.recall50, abs=AP_TOLERANCE)
    assert 0.2 < expected.ap50 < 0.95


def test_nothing_found_or_nothing_there_scores_zero() -> None:
    assert score([sample([LEFT])], [found()]).ap50 == judge([sample([LEFT])], [found()]).average_precision() == 0
    assert score([sample([])], [found((LEFT, 0.5))]).ap50 == 0
    assert judge([sample([])], [found((LEFT, 0.5))]).at_precision(0.95) is None


def test_recall_is_told_by_size_and_shape_and_above_a_score() -> None:
    verdicts = judge([sample([LEFT, RIGHT])], [found((LEFT, 0.9), (RIGHT, 0.3))])
    assert verdicts.sides == pytest.approx([20, 20])
    assert verdicts.aspects == pytest.approx([1.0, 0.25])
    assert verdicts.recall((0, 0.5, 2), verdicts.aspects) == [("0–0.5", 1.0, 1), ("0.5–2", 1.0, 1)]
    assert verdicts.recall((0, 0.5, 2, 9), verdicts.aspects, 0.5) == [("0–0.5", 0.0, 1), ("0.5–2", 1.0, 1)]
    assert verdicts.recall((20, 30), verdicts.sides) == [("20–30", 1.0, 2)]


def test_score_of_a_precision_is_the_lowest_that_has_it() -> None:
    verdicts = Verdicts(
        np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([True, False, True, True, False]),
        np.ones(4), np.ones(4), np.array([0.9, 0.7, 0.6, -1.0]),
    )  # fmt: skip
    assert verdicts.at_precision(0.75) == (0.6, 0.75)
    assert verdicts.at_precision(0.95) == (0.9, 0.25)
    assert verdicts.at_precision(0.6) == (0.5, 0.75)


def test_equal_scores_are_taken_together() -> None:
    verdicts = Verdicts(np.array([0.9, 0.9]), np.array([True, False]), np.ones(1), np.ones(1), np.array([0.9]))
    assert verdicts.at_precision(0.95) is None
    assert verdicts.at_precision(0.5) == (0.9, 1.0)


def test_sets_are_pooled_box_by_box() -> None:
    first = judge([sample([LEFT])], [found((LEFT, 0.5))])
    second = judge([sample([RIGHT])], [found((AWAY, 0.9))])
    both = pooled([first, second])
    assert (both.scores.tolist(), both.is_face.tolist()) == (pytest.approx([0.9, 0.5]), [False, True])
    assert len(both.found_at) == 2
    assert both.average_precision() == pytest.approx(51 * 0.5 / 101)


def test_curve_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw_curves({"a": judge([sample([LEFT])], [found((LEFT, 0.5))])}, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
