"""Losses of embeddings in the plane, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from acfd_stream.errors import ConfigError
from acfd_stream.model.identity.losses import (
    DistributionConfig,
    MarginClassifier,
    MarginConfig,
    distribution_loss,
    histogram,
)


def at_angles(*degrees: float) -> Tensor:
    radians = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([radians.cos(), radians.sin()], 1)


def classifier(kind: str, margin: float = 0.5) -> MarginClassifier:
    """Centres at 0° and 60°."""
    made = MarginClassifier(2, 2, MarginConfig(kind=kind, margin=margin, scale=10.0))
    with torch.no_grad():
        made.centres.copy_(at_angles(0, 60) * 3)
    return made


def test_arcface_widens_the_angle_to_the_own_centre() -> None:
    logits = classifier("arcface").logits(at_angles(30), torch.tensor([0]))
    assert logits[0].tolist() == pytest.approx([10 * math.cos(math.pi / 6 + 0.5), 10 * math.cos(math.pi / 6)], rel=1e-4)


def test_curricularface_follows_the_own_cosine_and_weighs_hard_characters_by_it() -> None:
    made = classifier("curricularface")
    logits = made.logits(at_angles(30), torch.tensor([0]))
    own = math.cos(math.pi / 6)
    t = 0.01 * own
    assert float(made.t) == pytest.approx(t, rel=1e-4)
    assert logits[0].tolist() == pytest.approx([10 * math.cos(math.pi / 6 + 0.5), 10 * own * (t + own)], rel=1e-4)


def test_curricularface_leaves_easy_characters_alone() -> None:
    logits = classifier("curricularface", margin=0.2).logits(at_angles(-20), torch.tensor([0]))
    assert logits[0, 1].item() == pytest.approx(10 * math.cos(math.radians(80)), rel=1e-4)


def test_t_stands_still_outside_training() -> None:
    made = classifier("curricularface").eval()
    made.logits(at_angles(30), torch.tensor([0]))
    assert float(made.t) == 0.0


def test_the_own_logit_falls_on_beyond_half_a_turn() -> None:
    logits = classifier("arcface").logits(at_angles(170, 175), torch.tensor([0, 0]))[:, 0].tolist()
    assert logits[0] == pytest.approx(10 * (math.cos(math.radians(170)) - 0.5 * math.sin(0.5)), rel=1e-4)
    assert logits[1] < logits[0]


def test_the_gradient_has_a_bound_at_the_centre() -> None:
    embeddings = at_angles(0).requires_grad_(True)
    classifier("curricularface")(embeddings, torch.tensor([0])).sum().backward()
    assert torch.isfinite(embeddings.grad).all()


def test_a_similarity_is_divided_between_its_nearest_nodes() -> None:
    assert histogram(torch.tensor([-1.0, 0.25]), 4).tolist() == pytest.approx([0.5, 0, 0.25, 0.25, 0])


def test_distributions_that_are_equal_leave_the_order_only() -> None:
    views = (at_angles(0, 60, 180), torch.tensor([0, 0, 1]))  # same: 0.5; hardest of two: -1, -0.5, -0.5
    config = DistributionConfig(weight=1.0, order=0.5)
    expected = -0.5 * 4 * (0.5 - (-1 - 0.5 - 0.5) / 3)
    assert float(distribution_loss(views, views, config)) == pytest.approx(expected, rel=1e-4)


def test_hard_views_are_pulled_to_the_easy_ones() -> None:
    characters = torch.tensor([0, 0, 1, 1])
    hard = at_angles(0, 80, 100, 180).requires_grad_(True)
    config = DistributionConfig(weight=1.0, same=1.0, other=0.0, order=0.0, bins=10)
    loss = distribution_loss((at_angles(0, 20, 100, 120), characters), (hard, characters), config)
    loss.backward()
    assert loss.item() > 1.0
    moved = torch.nn.functional.normalize(hard.detach() - 0.05 * hard.grad, dim=1)
    assert float(moved[0] @ moved[1]) > math.cos(math.radians(80))


def test_no_pairs_cost_nothing() -> None:
    views = (at_angles(0, 60), torch.tensor([0, 1]))
    assert float(distribution_loss(views, views, DistributionConfig(weight=1.0))) == 0.0
    nothing = (at_angles(), torch.tensor([], dtype=torch.int64))
    assert float(distribution_loss(views, (torch.zeros(0, 2), nothing[1]), DistributionConfig(weight=1.0))) == 0.0


@pytest.mark.parametrize(("name", "value"), [("kind", "softmax"), ("margin", 2.0), ("scale", 0.0), ("momentum", 1.0)])
def test_settings_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"margin.{name} must be"):
        MarginConfig(**{name: value})
