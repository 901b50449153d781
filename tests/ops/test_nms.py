"""nms: tables a person can check, planted boundaries, and the same indices from every backend."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from acfd_stream.errors import BackendUnavailable, ShapeError
from acfd_stream.ops import nms
from tests.ops.backends import BACKENDS

INFINITY, NAN = float("inf"), float("nan")


def array(values):
    return np.array(values, np.float32).reshape(-1, 4)


def random_boxes(count, seed):
    """Boxes of 0 … 80 pixels crowded into 300×300, with many equal scores."""
    rng = np.random.default_rng(seed)
    corners, sides = rng.uniform(0, 300, (count, 2)), rng.uniform(0, 80, (count, 2))
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    return boxes, np.round(rng.random(count), 2).astype(np.float32)


TABLE = [
    ("nothing", [], [], 0.5, []),
    ("one", [[0, 0, 10, 10]], [0.3], 0.5, [0]),
    ("apart", [[0, 0, 10, 10], [20, 0, 30, 10]], [0.3, 0.9], 0.5, [1, 0]),
    ("the same twice", [[0, 0, 10, 10], [0, 0, 10, 10]], [0.3, 0.9], 0.5, [1]),
    ("IoU 0.5 at 0.5", [[0, 0, 10, 10], [0, 0, 10, 5]], [0.9, 0.8], 0.5, [0, 1]),
    (
        "IoU 0.5 just above",
        [[0, 0, 10, 10], [0, 0, 10, 5]],
        [0.9, 0.8],
        np.nextafter(np.float32(0.5), np.float32(0)),
        [0],
    ),
    ("IoU 0.51 at 0.5", [[0, 0, 10, 10], [0, 0, 10, 5.1]], [0.9, 0.8], 0.5, [0]),
    ("IoU 0.49 at 0.5", [[0, 0, 10, 10], [0, 0, 10, 4.9]], [0.9, 0.8], 0.5, [0, 1]),
    ("IoU 1 at 1", [[0, 0, 10, 10], [0, 0, 10, 10]], [0.9, 0.8], 1.0, [0, 1]),
    ("touching at 0", [[0, 0, 10, 10], [10, 0, 20, 10], [9, 0, 19, 10]], [0.9, 0.8, 0.7], 0.0, [0, 1]),
    ("equal scores", [[0, 0, 10, 10], [0, 0, 10, 9], [50, 0, 60, 10]], [0.5, 0.5, 0.5], 0.5, [0, 2]),
    ("the two zeros", [[0, 0, 10, 10], [0, 0, 10, 9]], [-0.0, 0.0], 0.5, [0]),
    ("a dropped one drops nobody", [[0, 0, 10, 10], [0, 3, 10, 13], [0, 6, 10, 16]], [0.9, 0.8, 0.7], 0.5, [0, 2]),
    ("no area", [[5, 5, 5, 9], [5, 5, 5, 9], [0, 0, 10, 10]], [0.9, 0.8, 0.7], 0.0, [0, 1, 2]),
    ("inside out", [[0, 0, 10, 10], [10, 10, 0, 0]], [0.9, 0.8], 0.1, [0, 1]),
    ("half inside out", [[0, 0, 10, 10], [10, 0, 0, 10]], [0.9, 0.8], 0.1, [0, 1]),
    ("a corner is NaN", [[0, 0, 10, 10], [0, NAN, 10, 10], [0, 0, 10, 10]], [0.7, 0.9, 0.8], 0.5, [1, 2]),
    ("a score is NaN", [[0, 0, 10, 10], [0, 0, 10, 10], [9, 9, 10, 10]], [NAN, -INFINITY, NAN], 0.5, [1, 2]),
    ("smaller than normal numbers", [[0, 0, 1e-20, 1e-20], [0, 0, 1e-20, 1e-20]], [1e-40, 2e-40], 0.5, [1]),
    ("without end", [[-INFINITY, -INFINITY, INFINITY, INFINITY], [0, 0, 10, 10]], [0.9, 0.8], 0.0, [0, 1]),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("boxes", "scores", "threshold", "kept"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_the_table_holds(backend, boxes, scores, threshold, kept):
    found = nms(array(boxes), np.array(scores, np.float32), float(threshold), backend=backend)
    assert found.dtype == np.int64
    assert found.tolist() == kept


@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.55, 1.0])
def test_backends_keep_the_same_indices(backend, count, threshold):
    boxes, scores = random_boxes(count, seed=count)
    kept = nms(boxes, scores, threshold, backend=backend)
    assert kept.tolist() == nms(boxes, scores, threshold, backend="reference").tolist()


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_backends_keep_the_same_indices_where_boxes_are_broken(backend):
    boxes, scores = random_boxes(700, seed=1)
    boxes[::11, 2], boxes[::13, 1], boxes[::17, 0] = boxes[::11, 0], NAN, -INFINITY
    boxes[::19] = boxes[::19][:, [2, 1, 0, 3]]
    scores[::23], scores[::29] = NAN, INFINITY
    kept = nms(boxes, scores, 0.3, backend=backend)
    assert kept.tolist() == nms(boxes, scores, 0.3, backend="reference").tolist()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kept_before", [31, 32, 33, 63, 64, 65, 128, 200])
def test_a_box_is_compared_with_every_kept_one(backend, kept_before):
    apart = np.arange(kept_before, dtype=np.float32)[:, None] * 20 + np.array([0, 0, 10, 10], np.float32)
    boxes = np.concatenate([apart, apart])
    scores = np.linspace(1, 0, len(boxes), dtype=np.float32)
    assert nms(boxes, scores, 0.5, backend=backend).tolist() == list(range(kept_before))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_layout_in_memory_does_not_matter(backend):
    boxes, scores = random_boxes(65, seed=2)
    strided = nms(np.asfortranarray(boxes), np.repeat(scores, 3)[::3], 0.3, backend=backend)
    assert strided.tolist() == nms(boxes, scores, 0.3, backend=backend).tolist()


@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_threads_get_the_results_of_one(backend):
    boxes, scores = random_boxes(300, seed=3)
    expected = nms(boxes, scores, 0.3, backend="reference").tolist()
    results = [None] * 4

    def work(place):
        results[place] = [nms(boxes, scores, 0.3, backend=backend).tolist() for _ in range(20)]

    threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[expected] * 20] * 4


BOXES, SCORES = np.zeros((3, 4), np.float32), np.zeros(3, np.float32)
BAD = [
    (BOXES[:, :3], SCORES, 0.5, r"boxes_xyxy must be float32 \[N, 4\], got float32 \[3, 3\]"),
    (BOXES[0], SCORES, 0.5, r"boxes_xyxy must be float32 \[N, 4\], got float32 \[4\]"),
    (BOXES.astype(np.float64), SCORES, 0.5, r"boxes_xyxy must be float32 \[N, 4\], got float64 \[3, 4\]"),
    (BOXES.tolist(), SCORES, 0.5, r"boxes_xyxy must be float32 \[N, 4\], got list"),
    (BOXES, SCORES[:2], 0.5, r"scores must be float32 \[3\], got float32 \[2\]"),
    (BOXES, SCORES, 1.1, r"iou_threshold must be in \[0, 1\], got 1.1"),
    (BOXES, SCORES, NAN, r"iou_threshold must be in \[0, 1\], got nan"),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("boxes", "scores", "threshold", "message"), BAD)
def test_a_bad_argument_is_named(backend, boxes, scores, threshold, message):
    with pytest.raises(ShapeError, match=f"^{message}$"):
        nms(boxes, scores, threshold, backend=backend)


def test_an_unknown_backend_is_refused_with_the_names_there_are():
    with pytest.raises(BackendUnavailable, match=r"backend must be one of reference, cpp, cuda.*, got 'fpga'"):
        nms(BOXES, SCORES, 0.5, backend="fpga")
