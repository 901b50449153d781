"""merge_scales: one list of faces out of several views of a picture."""

from __future__ import annotations

import numpy as np
import pytest

from acfd_stream.errors import ShapeError
from acfd_stream.ops import merge_scales
from tests.ops.backends import BACKENDS


def scale(*faces):
    """(boxes, scores) of faces given as (x, score), each 10×10 pixels."""
    boxes = np.array([[x, 0, x + 10, 10] for x, _ in faces], np.float32).reshape(-1, 4)
    return boxes, np.array([score for _, score in faces], np.float32)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_better_view_of_a_face_stays(backend):
    merged = merge_scales([scale((0, 0.6), (50, 0.9)), scale((1, 0.8)), scale()], 0.55, 100, backend=backend)
    assert merged.boxes_xyxy[:, 0].tolist() == [50, 1]
    assert merged.scores.tolist() == [np.float32(0.9), np.float32(0.8)]
    assert not merged.is_truncated


@pytest.mark.parametrize("backend", BACKENDS)
def test_equal_scores_come_in_the_order_of_scales(backend):
    merged = merge_scales([scale((40, 0.5)), scale((0, 0.5), (20, 0.5))], 0.55, 100, backend=backend)
    assert merged.boxes_xyxy[:, 0].tolist() == [40, 0, 20]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("faces", "is_truncated"), [(1, True), (2, True), (3, False)])
def test_the_cap_on_faces_is_told(backend, faces, is_truncated):
    merged = merge_scales([scale((0, 0.5), (20, 0.7)), scale((40, 0.6))], 0.55, faces, backend=backend)
    assert merged.boxes_xyxy[:, 0].tolist() == [20, 40, 0][:faces]
    assert merged.is_truncated == is_truncated
    assert merged.cut_score == pytest.approx({1: 0.6, 2: 0.5, 3: 0.0}[faces])  # the best that was cut off


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("scales", [[], [scale(), scale()]])
def test_no_faces_make_empty_detections(backend, scales):
    merged = merge_scales(scales, 0.55, 100, backend=backend)
    assert (merged.boxes_xyxy.shape, merged.boxes_xyxy.dtype) == ((0, 4), np.float32)
    assert len(merged) == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_scale_with_too_few_scores_is_refused(backend):
    boxes, scores = scale((0, 0.5), (20, 0.7))
    with pytest.raises(ShapeError, match=r"^scores must be float32 \[2\], got float32 \[1\]$"):
        merge_scales([(boxes, scores[:1]), (boxes[:1], scores)], 0.55, 100, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cap_of_no_faces_is_refused(backend):
    with pytest.raises(ShapeError, match=r"^faces must be >= 1, got 0$"):
        merge_scales([scale((0, 0.5))], 0.55, 0, backend=backend)
