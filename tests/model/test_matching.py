"""Algorithm 1 by hand, and boxes against the server's decoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acfd_stream import ops
from acfd_stream.errors import ConfigError
from acfd_stream.model.boxes import decode, encode, iou
from acfd_stream.model.matching import COMPENSATED, MATCHED, NEGATIVE, MatchConfig, match
from acfd_stream.ops.anchors import AnchorSpec, Letterbox, anchor_grid

ANCHORS = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]])
NOWHERE = torch.tensor([[90.0, 90, 91, 91]]).repeat(3, 1)


def test_anchor_at_the_first_threshold_is_matched_and_below_is_not() -> None:
    # IoU of [0,0,10,10] with [0,0,10,3.5] is 0.35, with [0,0,10,3.4] it is 0.34
    for height, label in ((3.5, MATCHED), (3.4, NEGATIVE)):
        labels, _ = match(ANCHORS, NOWHERE, torch.tensor([[0.0, 0, 10, height]]), MatchConfig())
        assert labels.tolist() == [label, NEGATIVE, NEGATIVE]


def test_unmatched_anchor_whose_box_regressed_well_is_compensated() -> None:
    face = torch.tensor([[60.0, 0, 70, 10]])
    boxes = NOWHERE.clone()
    boxes[2] = torch.tensor([60.0, 0, 70, 7])  # IoU 0.7: at T2
    boxes[1] = torch.tensor([60.0, 0, 70, 6.9])  # 0.69: below
    labels, faces = match(ANCHORS, boxes, face, MatchConfig())
    assert labels.tolist() == [NEGATIVE, NEGATIVE, COMPENSATED]
    assert faces.tolist() == [0, 0, 0]


def test_matched_anchor_is_never_compensated_and_keeps_its_own_face() -> None:
    faces = torch.tensor([[60.0, 0, 70, 10], [0, 0, 10, 10]])
    boxes = NOWHERE.clone()
    boxes[0] = faces[0]  # regressed to the other face
    labels, chosen = match(ANCHORS, boxes, faces, MatchConfig())
    assert (labels[0].item(), chosen[0].item()) == (MATCHED, 1)


def test_of_equal_overlaps_the_first_face_wins() -> None:
    faces = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    labels, chosen = match(ANCHORS, NOWHERE, faces, MatchConfig())
    assert (labels[0].item(), chosen[0].item()) == (MATCHED, 0)


def test_of_equal_regressed_overlaps_the_first_face_wins_and_the_best_before_it() -> None:
    faces = torch.tensor([[60.0, 0, 70, 9], [60, 0, 70, 10], [60, 0, 70, 10]])
    labels, chosen = match(ANCHORS, faces[1].repeat(3, 1), faces, MatchConfig())
    assert labels.tolist() == [COMPENSATED] * 3
    assert chosen.tolist() == [1] * 3


def test_both_steps_on_one_picture_by_hand() -> None:
    faces = torch.tensor([[2.0, 0, 12, 10], [60, 0, 70, 10]])  # IoU with the first anchor: 80 / 120
    boxes = torch.tensor([[60.0, 0, 70, 10], [60, 0, 70, 8], [2, 0, 12, 6]])  # 1.0, 0.8 and 0.6 with a face
    labels, chosen = match(ANCHORS, boxes, faces, MatchConfig())
    assert labels.tolist() == [MATCHED, COMPENSATED, NEGATIVE]
    assert chosen.tolist() == [0, 1, 0]


def test_picture_without_faces_has_only_negatives() -> None:
    labels, faces = match(ANCHORS, NOWHERE, torch.zeros(0, 4), MatchConfig())
    assert labels.tolist() == [NEGATIVE] * 3
    assert faces.tolist() == [0] * 3


def test_second_threshold_above_one_turns_compensation_off() -> None:
    face = torch.tensor([[60.0, 0, 70, 10]])
    labels, _ = match(ANCHORS, face.repeat(3, 1), face, MatchConfig(second_iou=1.1))
    assert labels.tolist() == [NEGATIVE] * 3


def test_bound_leaves_a_face_its_best_boxes_and_counts_what_matched_in_the_first_step() -> None:
    faces = torch.tensor([[0.0, 0, 10, 10], [60, 0, 70, 10]])
    anchors = torch.cat([ANCHORS, torch.tensor([[80.0, 0, 90, 10], [100, 0, 110, 10]])])  # the first is on face 0
    near = torch.tensor([[60.0, 0, 70, 8], [60, 0, 70, 10], [60, 0, 70, 9]])  # 0.8, 1.0 and 0.9 with face 1
    boxes = torch.cat([near, torch.tensor([[0.0, 0, 10, 9], [0, 0, 10, 10]])])
    anchors, boxes = anchors.roll(-1, 0), boxes.roll(-1, 0)  # the anchor on face 0 last: its box is the one of 0.8
    for bound, labels in (
        (0, [COMPENSATED, COMPENSATED, COMPENSATED, COMPENSATED, MATCHED]),
        (1, [COMPENSATED, NEGATIVE, NEGATIVE, NEGATIVE, MATCHED]),
        (2, [COMPENSATED, COMPENSATED, NEGATIVE, COMPENSATED, MATCHED]),
        (9, [COMPENSATED, COMPENSATED, COMPENSATED, COMPENSATED, MATCHED]),
    ):
        found, owners = match(anchors, boxes, faces, MatchConfig(per_face=bound))
        assert found.tolist() == labels, bound
        assert owners[found != NEGATIVE].tolist() == [
            face for face, label in zip((1, 1, 0, 0, 0), labels, strict=True) if label
        ]


def test_bound_that_is_negative_is_refused() -> None:
    with pytest.raises(ConfigError, match="per_face"):
        MatchConfig(per_face=-1)


def test_box_without_area_overlaps_nothing() -> None:
    assert iou(torch.tensor([[5.0, 5, 5, 5]]), torch.tensor([[0.0, 0, 10, 10], [5, 5, 5, 5]])).tolist() == [[0, 0]]


def test_encode_is_undone_by_decode() -> None:
    anchors = torch.from_numpy(anchor_grid((64, 96), AnchorSpec()).copy())
    rng = torch.Generator().manual_seed(3)
    low = torch.rand(len(anchors), 2, generator=rng) * 60
    boxes = torch.cat([low, low + 4 + torch.rand(len(anchors), 2, generator=rng) * 30], 1)
    torch.testing.assert_close(decode(encode(boxes, anchors, AnchorSpec()), anchors, AnchorSpec()), boxes)


def test_trainer_and_server_decode_alike() -> None:
    spec, size = AnchorSpec(), (128, 160)
    anchors = torch.from_numpy(anchor_grid(size, spec).copy())
    deltas = torch.randn(len(anchors), 4, generator=torch.Generator().manual_seed(4))
    scores = np.linspace(0.1, 0.9, len(anchors), dtype=np.float32)
    candidates = ops.decode_anchors(scores, deltas.numpy(), Letterbox(size, size, size), spec, 0.0, len(anchors))
    limits = np.array([size[1], size[0]] * 2, np.float32)
    expected = decode(deltas, anchors, spec).numpy().clip(0, limits)[candidates.indices]
    np.testing.assert_allclose(candidates.boxes_xyxy, expected, atol=1e-3)
