"""The loss of a picture, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from acfd_stream.errors import ConfigError
from acfd_stream.model.boxes import generalised_iou
from acfd_stream.model.losses import LossConfig, Losses, detection_loss
from acfd_stream.model.matching import MatchConfig
from acfd_stream.model.readers import FACE, IGNORE, LOOSE, PARTIAL
from acfd_stream.ops.anchors import AnchorSpec

# Three anchors in a row, side 10; the face is the first one.
ANCHORS = torch.tensor([[5.0, 5, 10, 10], [25, 5, 10, 10], [45, 5, 10, 10]])
FACE_BOX = [0.0, 0, 10, 10]
CONFIG = LossConfig()


def loss_of(
    logits: list[float],
    boxes: list[list[float]],
    kinds: list[int],
    deltas: Tensor | None = None,
    config: LossConfig = CONFIG,
) -> Losses:
    targets = [(torch.tensor(boxes).reshape(-1, 4), torch.tensor(kinds, dtype=torch.int8))]
    deltas = torch.zeros(1, 3, 4) if deltas is None else deltas
    return detection_loss(torch.tensor([logits]), deltas, targets, ANCHORS, AnchorSpec(), MatchConfig(), config)


def focal(logit: float, is_face: bool) -> float:
    signed = logit - 0.2 if is_face else -logit
    probability = 1 / (1 + math.exp(-signed))
    return -(0.25 if is_face else 0.75) * (1 - probability) ** 2 * math.log(probability)


def test_margin_is_taken_off_faces_only() -> None:
    loss = loss_of([1.0, -1.0, 0.5], [FACE_BOX], [FACE])
    assert loss.classification == pytest.approx(focal(1.0, True) + focal(-1.0, False) + focal(0.5, False), rel=1e-5)


def test_perfect_boxes_cost_nothing() -> None:
    assert loss_of([1.0, -1.0, 0.5], [FACE_BOX], [FACE]).regression == 0


def test_regression_is_smooth_l1_over_matched_anchors() -> None:
    deltas = torch.zeros(1, 3, 4)
    deltas[0, 0] = torch.tensor([0.5, 0, 0, -2.0])  # 0.5²/2 and 2 - 1/2
    assert loss_of([0.0, 0, 0], [FACE_BOX], [FACE], deltas).regression == pytest.approx(0.125 + 1.5)


def test_boxes_may_be_judged_by_generalised_iou() -> None:
    deltas = torch.zeros(1, 3, 4)
    deltas[0, 0, 0] = 5.0  # half a side to the right: 50 of 150 shared, and none of the box around both is in neither
    config = LossConfig(box="giou")
    targets = [(torch.tensor([FACE_BOX]), torch.tensor([FACE], dtype=torch.int8))]
    loss = detection_loss(torch.zeros(1, 3), deltas, targets, ANCHORS, AnchorSpec(), MatchConfig(), config)
    assert loss.regression == pytest.approx(1 - 1 / 3, rel=1e-5)
    apart = generalised_iou(torch.tensor([FACE_BOX]), torch.tensor([[30.0, 0, 40, 10]]))
    assert apart.tolist() == pytest.approx([-0.5])  # 200 of the 400 around both


def test_unknown_box_loss_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"loss\.box must be smooth-l1 or giou, got 'l2'"):
        LossConfig(box="l2")


def test_compensated_anchor_is_weighed_apart() -> None:
    deltas = torch.zeros(1, 3, 4)
    deltas[0, 1, 0] = -20.0  # shifts the second anchor onto the face
    loss = loss_of([1.0, 0.3, -1.0], [FACE_BOX], [FACE], deltas)
    assert (loss.matched, loss.compensated) == (1, 1)
    expected = focal(1.0, True) + 0.7 * focal(0.3, True) + focal(-1.0, False)
    assert loss.classification == pytest.approx(expected, rel=1e-5)


def test_compensated_anchors_share_their_weight_in_both_losses() -> None:
    deltas = torch.zeros(1, 3, 4)
    deltas[0, 1, 0], deltas[0, 2, 0] = -20.0, -40.0  # both shifted onto the face
    deltas[0, 1, 3] = 1.0  # 0.2 of log height too much: IoU 1 / e^0.2 = 0.82, still compensated
    loss = loss_of([1.0, 0.3, -0.4], [FACE_BOX], [FACE], deltas)
    assert (loss.matched, loss.compensated) == (1, 2)
    expected = focal(1.0, True) + 0.7 / 2 * (focal(0.3, True) + focal(-0.4, True))
    assert loss.classification == pytest.approx(expected, rel=1e-5)
    assert loss.regression == pytest.approx(0.7 / 2 * 0.5, rel=1e-4)


def test_a_few_compensated_anchors_weigh_no_more_than_matched_ones_where_that_is_asked_for() -> None:
    boxes = [FACE_BOX, [20.0, 0, 30, 10]]  # on the first two anchors
    deltas = torch.zeros(1, 3, 4)
    deltas[0, 2, 0] = -20.0  # shifts the third onto the second face
    bounded = LossConfig(compensated_at_least=True)
    for config, count in ((CONFIG, 1), (bounded, 2)):
        loss = loss_of([1.0, 0.5, 0.3], boxes, [FACE, FACE], deltas, config)
        assert (loss.matched, loss.compensated) == (2, 1)
        expected = (focal(1.0, True) + focal(0.5, True)) / 2 + 0.7 / count * focal(0.3, True)
        assert loss.classification == pytest.approx(expected, rel=1e-5)


def test_losses_are_divided_by_the_number_of_matched_anchors() -> None:
    one = loss_of([1.0, -1.0, 0.5], [FACE_BOX], [FACE]).classification
    boxes = [FACE_BOX, [20.0, 0, 30, 10]]
    two = loss_of([1.0, 1.0, 0.5], boxes, [FACE, FACE]).classification
    assert two == pytest.approx((2 * focal(1.0, True) + focal(0.5, False)) / 2, rel=1e-5)
    assert one != pytest.approx(two)


def test_faces_in_a_loose_region_weigh_less_in_the_regression_alone() -> None:
    deltas = torch.zeros(1, 3, 4)
    deltas[0, :2, 3] = -2.0  # 2 - 1/2 for either face
    boxes = [FACE_BOX, [20.0, 0, 30, 10], [15.0, -5, 60, 15]]  # the second face's middle lies in the region
    config = LossConfig(loose_regression=0.25)
    plain = loss_of([1.0, 0.5, -1.0], boxes[:2], [FACE, FACE], deltas, config)
    loose = loss_of([1.0, 0.5, -1.0], boxes, [FACE, FACE, LOOSE], deltas, config)
    assert plain.regression == pytest.approx((1.5 + 1.5) / 2)
    assert loose.regression == pytest.approx((1.5 + 0.25 * 1.5) / 2)
    assert loose.classification == plain.classification
    whole = loss_of([1.0, 0.5, -1.0], boxes, [FACE, FACE, LOOSE], deltas)
    assert whole.regression == plain.regression  # a weight of 1 changes nothing


def test_picture_without_faces_has_only_negatives() -> None:
    loss = loss_of([1.0, -1.0, 0.5], [], [])
    expected = sum(focal(logit, False) for logit in (1.0, -1.0, 0.5))
    assert (loss.classification, loss.regression) == (pytest.approx(expected, rel=1e-5), 0)


def test_ignored_region_costs_nothing_and_a_face_in_it_still_counts() -> None:
    loss = loss_of([1.0, -1.0, 0.5], [FACE_BOX, [0.0, 0, 30, 10]], [FACE, IGNORE])
    assert loss.classification == pytest.approx(focal(1.0, True) + focal(0.5, False), rel=1e-5)


def test_confident_negative_in_a_partly_boxed_picture_is_left_out() -> None:
    loss = loss_of([1.0, -3.0, 0.5], [FACE_BOX, [0.0, 0, 60, 60]], [FACE, PARTIAL])
    assert loss.classification == pytest.approx(focal(1.0, True) + focal(-3.0, False), rel=1e-5)


def test_gradient_reaches_logits_and_deltas() -> None:
    logits, deltas = torch.zeros(1, 3, requires_grad=True), torch.full((1, 3, 4), 0.1, requires_grad=True)
    targets = [(torch.tensor([FACE_BOX]), torch.tensor([FACE]))]
    detection_loss(logits, deltas, targets, ANCHORS, AnchorSpec(), MatchConfig(), CONFIG).total.backward()
    assert logits.grad is not None
    assert (logits.grad != 0).all()
    assert deltas.grad is not None
    assert (deltas.grad[0, 0] != 0).all()
