"""What a teacher teaches, part by part, and that a student in fact comes nearer to it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from acfd_stream.errors import ConfigError
from acfd_stream.model.distill import Distiller, delta_loss, feature_loss, logit_loss, open_distiller
from acfd_stream.model.network import Network, NetworkConfig
from acfd_stream.model.settings import DistillConfig
from acfd_stream.model.vovnet import BackboneConfig


def network(pyramid_channels: int, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    backbone = BackboneConfig((4, 4, 8), (8,) * 6, (8,) * 6, (1,) * 6, layers=1)
    return Network(NetworkConfig(backbone, pyramid_channels=pyramid_channels, head_layers=0))


def test_the_same_logits_cost_nothing_and_others_by_their_distance() -> None:
    goals = torch.tensor([[0.0, 4.0, -6.0]])
    assert logit_loss(goals.clone(), goals).abs() < 1e-6
    # at 0 against a goal of 1/2 at 4: ln 2 of cross entropy less that of the goal with itself, times a quarter
    loss = logit_loss(torch.tensor([[0.0]]), torch.tensor([[50.0]]))
    assert float(loss) == pytest.approx(0.693147 * 0.25, rel=1e-4)


def test_deltas_are_met_where_the_teacher_sees_a_face() -> None:
    deltas, goals = torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)
    goals[0, 0, 0], goals[0, 1] = 2.0, 9.0
    assert float(delta_loss(deltas, goals, torch.tensor([[1.0, 0.0]]))) == pytest.approx(1.5)
    assert float(delta_loss(deltas, goals, torch.tensor([[0.5, 0.5]]))) == pytest.approx((1.5 + 4 * 8.5) / 2)


def test_features_are_compared_by_direction() -> None:
    features = torch.randn(2, 5, 3, 3)
    assert float(feature_loss(features, features * 7)) == pytest.approx(0, abs=1e-6)
    assert float(feature_loss(features, -features)) == pytest.approx(4, rel=1e-5)


def test_a_student_comes_nearer_to_its_teacher() -> None:
    teacher, student = network(12, seed=1), network(8, seed=2)
    torch.nn.init.normal_(teacher.outputs.bias, std=2.0)
    distiller = Distiller(teacher, student, DistillConfig("a", "b", features=1.0))
    parameters = [*student.parameters(), *distiller.parameters()]
    assert {tuple(p.shape) for p in distiller.parameters()} == {(12, 8, 1, 1), (12,)}  # the adapter, not the teacher
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    batch, losses = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3)), []
    for _ in range(12):
        loss = distiller(batch, *student(batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert not teacher.training


def test_nobody_teaches_by_default_and_a_missing_teacher_is_said(tmp_path: Path) -> None:
    assert open_distiller(DistillConfig(), network(8)) is None
    config = Path(__file__).parents[2] / "model/configs/acfd-n.toml"
    with pytest.raises(ConfigError, match="no such checkpoint"):
        open_distiller(DistillConfig(str(tmp_path / "none.pt"), str(config)), network(8))
