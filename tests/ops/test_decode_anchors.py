"""decode_anchors: places and sizes a person can check, the threshold, the cap, and equality of backends."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from acfd_stream.errors import ShapeError
from acfd_stream.ops import decode_anchors
from acfd_stream.ops.anchors import AnchorSpec, Letterbox, anchor_count, anchor_grid
from tests.ops.backends import BACKENDS

SPEC = AnchorSpec()
SMALL = AnchorSpec(strides=(16, 32))  # 2×3 places of side 64, 1×2 of side 128 in a 32×48 view
LARGE_VIEW = Letterbox((640, 640), (640, 640), (640, 640))
SMALL_VIEW = Letterbox((32, 48), (32, 48), (32, 48))


def outputs(count, scores, deltas=()):
    """Scores and deltas of ``count`` anchors; the named ones differ from nothing."""
    all_scores, all_deltas = np.zeros(count, np.float32), np.zeros((count, 4), np.float32)
    for index, score in dict(scores).items():
        all_scores[index] = score
    for index, delta in dict(deltas).items():
        all_deltas[index] = delta
    return all_scores, all_deltas


def decode_small(backend, scores, deltas=(), threshold=0.5, candidates=10):
    return decode_anchors(*outputs(8, scores, deltas), SMALL_VIEW, SMALL, threshold, candidates, backend=backend)


def bits(array):
    return np.ascontiguousarray(array).view(np.int32)


def test_a_square_view_of_640_has_34125_anchors():
    assert anchor_count((640, 640), SPEC) == 34125
    assert anchor_grid((640, 640), SPEC).shape == (34125, 4)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("size", "content", "index", "box"),
    [
        ((640, 640), (640, 640), 0, [0, 0, 10, 10]),  # centre (2, 2), side 16
        ((640, 640), (640, 640), 160 * 80 + 80, [314, 314, 330, 330]),
        ((640, 640), (640, 640), 25600 + 80 * 40 + 40, [308, 308, 340, 340]),
        ((640, 640), (640, 640), 34124, [320, 320, 640, 640]),  # the last of stride 128: side 512 around (576, 576)
        ((640, 640), (600, 500), 34124, [320, 320, 500, 600]),
        ((96, 160), (96, 160), 24 * 40, [0, 0, 20, 20]),  # the first of stride 8
        ((96, 160), (96, 160), 1278, [0, 0, 160, 96]),  # ceil(160 / 128) = 2 places across
    ],
)
def test_an_anchor_stands_where_its_index_says(backend, size, content, index, box):
    scores, deltas = outputs(anchor_count(size, SPEC), {index: 0.9})
    found = decode_anchors(scores, deltas, Letterbox(size, content, content), SPEC, 0.5, 10, backend=backend)
    assert found.indices.tolist() == [index]
    assert found.boxes_xyxy.tolist() == [box]
    assert found.scores.tolist() == [np.float32(0.9)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("delta", [(0.5, -0.25, 0.3, -0.7), (1.0, 2.0, -9.0, -3.0), (-0.5, 0.5, -400.0, -5.0)])
def test_deltas_move_and_scale_the_anchor_as_the_formula_says(backend, delta):
    found = decode_anchors(*outputs(34125, {12880: 1.0}, {12880: delta}), LARGE_VIEW, SPEC, 0.5, 1, backend=backend)
    x, y = 322 + delta[0] * 0.1 * 16, 322 + delta[1] * 0.1 * 16
    width, height = 16 * math.exp(delta[2] * 0.2), 16 * math.exp(delta[3] * 0.2)
    box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    assert found.boxes_xyxy[0] == pytest.approx(box, abs=1e-4)  # a few float32 steps of 330 pixels


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_box_grows_to_62_anchors_and_a_half_at_most(backend):
    size = (1024, 1024)
    middle = 256 * 128 + 128  # centre (514, 514), side 16: 1000 wide
    scores, deltas = outputs(anchor_count(size, SPEC), {middle: 1.0}, {middle: (0, 0, 1e30, np.inf)})
    found = decode_anchors(scores, deltas, Letterbox(size, size, size), SPEC, 0.5, 1, backend=backend)
    assert found.boxes_xyxy[0] == pytest.approx([14, 14, 1014, 1014], abs=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_score_at_the_threshold_passes_and_the_next_below_does_not(backend):
    below = np.nextafter(np.float32(0.08), np.float32(0))
    scores = {0: below, 1: 0.08, 2: np.nan, 3: np.nextafter(np.float32(0.08), np.float32(1))}
    assert decode_small(backend, scores, threshold=0.08).indices.tolist() == [3, 1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_equal_scores_come_by_lower_index_and_the_cap_is_told(backend):
    scores = {1: 0.7, 3: 0.9, 5: 0.7, 6: 0.9, 7: 0.7}
    everything = decode_small(backend, scores, candidates=5)
    assert (everything.indices.tolist(), everything.is_truncated) == ([3, 6, 1, 5, 7], False)
    capped = decode_small(backend, scores, candidates=4)
    assert (capped.indices.tolist(), capped.is_truncated) == ([3, 6, 1, 5], True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_two_zeros_are_equal_scores(backend):
    assert decode_small(backend, {0: -0.0, 2: -0.0}, threshold=0.0).indices.tolist() == list(range(8))


@pytest.mark.parametrize("backend", BACKENDS)
def test_scores_below_normal_numbers_have_their_order(backend):
    scores = {0: 1e-40, 1: -1e-40, 2: 3e-40, 3: 2e-40}
    assert decode_small(backend, scores, threshold=1.5e-40).indices.tolist() == [2, 3]
    assert decode_small(backend, scores, threshold=0.0, candidates=3).indices.tolist() == [2, 3, 0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_passes_gives_empty_arrays_of_the_right_shape(backend):
    found = decode_small(backend, {})
    assert found.boxes_xyxy.shape == (0, 4)
    assert (found.boxes_xyxy.dtype, found.scores.dtype, found.indices.dtype) == (np.float32, np.float32, np.int64)
    assert len(found) == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_delta_that_is_no_number_gives_a_box_without_area(backend):
    found = decode_small(backend, {0: 0.9, 1: 0.8}, {0: (np.nan, 0, 0, 0), 1: (0, 0, 0, np.nan)})
    assert not np.isnan(found.boxes_xyxy).any()
    sides = found.boxes_xyxy[:, 2:] - found.boxes_xyxy[:, :2]
    assert sides[0, 0] == 0
    assert sides[1, 1] < 1e-6


@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("candidates", [1, 63, 64, 65, 1000, 40000])
@pytest.mark.parametrize("threshold", [0.0, 0.08, 0.6])
def test_backends_agree_to_the_last_bit_and_index(backend, candidates, threshold):
    rng = np.random.default_rng(candidates)
    scores = np.round(rng.random(34125), 3).astype(np.float32)  # many ties
    deltas = (rng.standard_normal((34125, 4)) * 4).astype(np.float32)
    scores[::101], deltas[::7, 2], deltas[::11, 0], deltas[::13, 3] = np.nan, np.nan, np.inf, -np.inf
    arguments = (scores, deltas, replace(LARGE_VIEW, content_size=(600, 479)), SPEC, threshold, candidates)
    expected, found = decode_anchors(*arguments, backend="reference"), decode_anchors(*arguments, backend=backend)
    assert np.array_equal(found.indices, expected.indices)
    assert np.array_equal(bits(found.boxes_xyxy), bits(expected.boxes_xyxy))
    assert np.array_equal(bits(found.scores), bits(expected.scores))
    assert found.is_truncated == expected.is_truncated


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_layout_in_memory_does_not_matter(backend):
    rng = np.random.default_rng(5)
    scores, deltas = rng.random((8, 2)).astype(np.float32), rng.random((4, 8)).astype(np.float32)
    strided = decode_anchors(scores[:, 1], deltas.T, SMALL_VIEW, SMALL, 0.1, 9, backend=backend)
    plain = decode_anchors(scores[:, 1].copy(), deltas.T.copy(), SMALL_VIEW, SMALL, 0.1, 9, backend=backend)
    assert np.array_equal(strided.boxes_xyxy, plain.boxes_xyxy)


SCORES, DELTAS = outputs(8, {})
VALID = {
    "scores": SCORES,
    "deltas": DELTAS,
    "view": SMALL_VIEW,
    "spec": SMALL,
    "score_threshold": 0.5,
    "candidates": 10,
}
VIEW = r"for network_size \(32, 48\)"
BAD = [
    ({"scores": SCORES[:7]}, rf"scores must be float32 \[8\] {VIEW}, got float32 \[7\]"),
    ({"scores": SCORES.astype(float)}, rf"scores must be float32 \[8\] {VIEW}, got float64 \[8\]"),
    ({"scores": SCORES[None]}, rf"scores must be float32 \[8\] {VIEW}, got float32 \[1, 8\]"),
    ({"deltas": DELTAS[:, :3]}, rf"deltas must be float32 \[8, 4\] {VIEW}, got float32 \[8, 3\]"),
    ({"deltas": None}, rf"deltas must be float32 \[8, 4\] {VIEW}, got NoneType"),
    (
        {"view": replace(SMALL_VIEW, content_size=(33, 48))},
        r"content_size must be in \(1, 1\) … \(32, 48\), got \(33, 48\)",
    ),
    ({"score_threshold": 1.5}, r"score_threshold must be in \[0, 1\], got 1.5"),
    ({"score_threshold": math.nan}, r"score_threshold must be in \[0, 1\], got nan"),
    ({"candidates": 0}, "candidates must be >= 1, got 0"),
    ({"spec": AnchorSpec(strides=())}, r"strides must be one or more numbers in 1 … 4096, got \[\]"),
    ({"spec": AnchorSpec(strides=(4, 0))}, r"strides must be one or more numbers in 1 … 4096, got \[4, 0\]"),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("change", "message"), BAD)
def test_a_bad_argument_is_named(backend, change, message):
    with pytest.raises(ShapeError, match=f"^{message}$"):
        decode_anchors(**VALID | change, backend=backend)
