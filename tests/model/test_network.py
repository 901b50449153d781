"""The network against the paper's tables, and its fused form against its trained form."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from acfd_stream.errors import ConfigError
from acfd_stream.model.acb import AsymmetricBlock, ConvBlock, fuse
from acfd_stream.model.network import Network, NetworkConfig
from acfd_stream.model.train import TrainConfig
from acfd_stream.model.vovnet import Backbone, BackboneConfig
from acfd_stream.ops.anchors import AnchorSpec, anchor_count

CONFIGS = sorted((Path(__file__).parents[2] / "model/configs").glob("*.toml"))
FUSE_TOLERANCE = 1e-4  # float32 sums in another order


def settle_norms(module: nn.Module) -> None:
    """Norms with running means and deviations as after training, so that fusing has work to do."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(std=0.3)
            norm.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.2)


def test_backbone_has_the_shapes_of_table_1() -> None:
    with torch.device("meta"):
        features = Backbone(BackboneConfig())(torch.zeros(1, 3, 640, 640))
    expected = [(256, 160), (512, 80), (768, 40), (1024, 20), (128, 10), (128, 5)]
    assert [(feature.shape[1], feature.shape[2]) for feature in features] == expected


def test_stem_has_the_widths_of_table_1() -> None:
    with torch.device("meta"):
        stem = Backbone(BackboneConfig()).stem
    outputs = [stem[0].conv, stem[1].square, stem[2].conv]
    assert [(layer.out_channels, layer.stride[0]) for layer in outputs] == [(64, 2), (64, 1), (128, 2)]


def test_full_network_has_an_output_for_each_of_34125_anchors() -> None:
    with torch.device("meta"):
        logits, deltas = Network(NetworkConfig())(torch.zeros(1, 3, 640, 640))
    assert (tuple(logits.shape), tuple(deltas.shape)) == ((1, 34125), (1, 34125, 4))


def test_full_network_stays_under_200_megabytes() -> None:
    with torch.device("meta"):
        network = fuse_shapes(Network(NetworkConfig()))
    assert network * 4 < 200e6


def fuse_shapes(network: Network) -> int:
    """Number of parameters that are left when 1×3, 3×1 and norms are folded into the 3×3."""
    kept = 0
    for module in network.modules():
        if isinstance(module, AsymmetricBlock):
            kept += module.square.weight.numel() + module.square.out_channels
        elif isinstance(module, ConvBlock):
            kept += module.conv.weight.numel() + module.conv.out_channels
    return kept + sum(parameter.numel() for parameter in network.outputs.parameters())


@pytest.mark.parametrize("norms", ["branch", "sum"])
@pytest.mark.parametrize("stride", [1, 2])
def test_fused_block_computes_the_same(norms: str, stride: int) -> None:
    torch.manual_seed(1)
    block = AsymmetricBlock(5, 7, stride, norms=norms).eval()
    settle_norms(block)
    picture = torch.randn(2, 5, 9, 11)
    expected = block(picture)
    fused = fuse(nn.Sequential(block))(picture)
    torch.testing.assert_close(fused, expected, atol=FUSE_TOLERANCE, rtol=0)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_config_builds_and_fuses_to_the_same_outputs(path: Path) -> None:
    torch.manual_seed(2)
    network = Network(TrainConfig.load(path).network).eval().double()  # untrained activations grow beyond float32
    picture = torch.randn(1, 3, 96, 160, dtype=torch.float64)
    with torch.no_grad():
        expected = network(picture)
        found = fuse(network)(picture)
    assert expected[0].shape[1] == anchor_count((96, 160), AnchorSpec())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=FUSE_TOLERANCE, rtol=FUSE_TOLERANCE)


def test_unknown_network_key_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="widht"):
        NetworkConfig.from_table({"widht": 3})


def test_unknown_norms_are_refused() -> None:
    with pytest.raises(ValueError, match="'branch' or 'sum'"):
        AsymmetricBlock(3, 3, norms="batch")
