"""The network against the paper's tables, and its fused form against its trained form."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from acfd_stream.errors import ConfigError
from acfd_stream.model.acb import AsymmetricBlock, ConvBlock, fuse
from acfd_stream.model.checkpoints import load_network
from acfd_stream.model.complexity import cost
from acfd_stream.model.network import Network, NetworkConfig
from acfd_stream.model.predict import normalise
from acfd_stream.model.resnet import ResNet, ResNetConfig
from acfd_stream.model.settings import TrainConfig
from acfd_stream.model.toon.sets import draw_one
from acfd_stream.model.vovnet import Backbone, BackboneConfig
from acfd_stream.networks.precision import EMBEDDER_STEM
from acfd_stream.ops.anchors import AnchorSpec, anchor_count

MODEL = Path(__file__).parents[2] / "model"
CONFIGS = sorted(path for path in (MODEL / "configs").rglob("*.toml") if not path.stem.endswith(EMBEDDER_STEM))
FUSE_TOLERANCE = 1e-4  # float32 sums in another order


def settle_norms(module: nn.Module) -> None:
    """Norms with running means and deviations as after training, so that fusing has work to do."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(std=0.3)
            norm.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.2)


PAPER = TrainConfig.load(MODEL / "configs/acfd-51.toml")
TABLE_1 = [  # layer, output side, channels, repeat
    ("conv1", 320, (64,), 1), ("conv2", 320, (64,), 1), ("conv3", 160, (128,), 1),
    ("stage1", 160, (128, 256), 1), ("stage2", 80, (160, 512), 1), ("stage3", 40, (192, 768), 2),
    ("stage4", 20, (224, 1024), 2), ("stage5", 10, (128, 128), 1), ("stage6", 5, (128, 128), 1),
]  # fmt: skip


def test_backbone_is_layer_by_layer_that_of_table_1() -> None:
    with torch.device("meta"):
        backbone, found = Backbone(PAPER.network.backbone), []
        x = torch.zeros(1, 3, 640, 640)
        for number, layer in enumerate(backbone.stem, 1):
            x = layer(x)
            found.append((f"conv{number}", x.shape[2], (x.shape[1],), 1))
        features = backbone(torch.zeros(1, 3, 640, 640))
        for number, (stage, feature) in enumerate(zip(backbone.stages, features, strict=True), 1):
            channels = (stage[0].layers[0].square.out_channels, feature.shape[1])
            assert {module.project.conv.out_channels for module in stage} == {channels[1]}
            found.append((f"stage{number}", feature.shape[3], channels, len(stage)))
    assert found == TABLE_1


def test_every_published_number_of_the_training_stands_in_the_config_of_acfd_51() -> None:
    match, loss, schedule = PAPER.match, PAPER.loss, PAPER.schedule
    assert (match.first_iou, match.second_iou) == (0.35, 0.7)
    assert (loss.margin, loss.compensated_regression, loss.compensated_classification) == (0.2, 0.7, 0.7)
    assert (schedule.kind, schedule.optimizer, schedule.momentum, schedule.weight_decay) == ("steps", "sgd", 0.9, 5e-4)
    assert (schedule.learning_rate, schedule.warmup, schedule.batch, schedule.sizes) == (0.04, 1000, 64, (640,))
    epochs = [round(share * 300) for share in schedule.milestones]
    assert (epochs, round(schedule.iterations * 64 / 45000)) == ([200, 250, 280], 300)
    assert (PAPER.augment.expand, PAPER.network, PAPER.network.backbone) == (4.0, NetworkConfig(), BackboneConfig())


def test_full_network_has_an_output_for_each_of_34125_anchors() -> None:
    with torch.device("meta"):
        logits, deltas = Network(PAPER.network)(torch.zeros(1, 3, 640, 640))
    assert (tuple(logits.shape), tuple(deltas.shape)) == ((1, 34125), (1, 34125, 4))


def test_family_grows_and_stays_under_200_megabytes() -> None:
    costs = [cost(TrainConfig.load(MODEL / f"configs/{name}.toml").network) for name in ("acfd-n", "acfd-s", "acfd-51")]
    assert costs[-1].trained_parameters * 4 < 200e6
    assert costs[-1].megabytes < costs[-1].trained_parameters * 4 / 1e6
    for smaller, larger in pairwise(costs):
        assert larger.flops > 2 * smaller.flops
        assert larger.parameters > 1.5 * smaller.parameters


def test_flops_of_one_convolution_are_counted_by_hand() -> None:
    config = NetworkConfig.from_table({"backbone": {"kind": "resnet", "width": 1, "blocks": [1, 1, 1, 1], "extra": 1}})
    less = dataclasses.replace(config, pyramid="fpn", pyramid_channels=2, head_layers=0)
    more = dataclasses.replace(less, head_layers=1)
    places = anchor_count((64, 64), AnchorSpec())
    assert cost(more, (64, 64)).flops - cost(less, (64, 64)).flops == places * 2 * 9 * 2 * 2
    assert cost(more, (64, 64)).parameters - cost(less, (64, 64)).parameters == 2 * 2 * 9 + 2


@pytest.mark.parametrize("pyramid", ["fpn", "bifpn", "abi-fpn"])
def test_resnet_has_six_strides_and_any_pyramid_fits_on_it(pyramid: str) -> None:
    backbone = {"kind": "resnet", "width": 16, "extra": 24}
    config = NetworkConfig.from_table({"backbone": backbone, "pyramid": pyramid, "pyramid_channels": 8})
    with torch.device("meta"):
        network = Network(config)
        features = network.backbone(torch.zeros(1, 3, 640, 640))
        logits, _ = network(torch.zeros(1, 3, 640, 640))
        odd, _ = network(torch.zeros(1, 3, 96, 160))
    assert [feature.shape[3] for feature in features] == [160, 80, 40, 20, 10, 5]
    assert tuple(feature.shape[1] for feature in features) == config.backbone.outputs == (64, 128, 256, 512, 24, 24)
    assert (logits.shape[1], odd.shape[1]) == (34125, anchor_count((96, 160), AnchorSpec()))
    has_blocks = any(isinstance(module, AsymmetricBlock) for module in network.modules())
    assert has_blocks == (pyramid == "abi-fpn")


def test_resnet_50_has_fifty_layers() -> None:
    with torch.device("meta"):
        network = ResNet(ResNetConfig())
    kernels = [module for module in network.modules() if isinstance(module, ConvBlock)]
    shortcuts = sum(
        isinstance(module.shortcut, ConvBlock) for module in network.modules() if hasattr(module, "shortcut")
    )
    assert len(kernels) - shortcuts - 2 == 49  # and the classifier that a detector has not


def test_shipped_weights_say_the_same_when_fused() -> None:
    config = TrainConfig.load(MODEL / "configs/acfd-n.toml")
    image, _ = draw_one("crowds", 3)
    picture = normalise(torch.from_numpy(image[None, :320, :384].copy()))
    network = load_network(config, MODEL / "weights/acfd-n.safetensors")
    with torch.no_grad():
        expected = network(picture)
        found = fuse(network)(picture)
    assert expected[0].sigmoid().max() > 0.3  # there is something to say
    torch.testing.assert_close(found[0].sigmoid(), expected[0].sigmoid(), atol=FUSE_TOLERANCE, rtol=0)
    torch.testing.assert_close(found[1], expected[1], atol=FUSE_TOLERANCE, rtol=FUSE_TOLERANCE)


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
    picture = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        expected = network(picture)
        found = fuse(network)(picture)
    assert expected[0].shape[1] == anchor_count((64, 96), AnchorSpec())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=FUSE_TOLERANCE, rtol=FUSE_TOLERANCE)


def test_unknown_network_key_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="widht"):
        NetworkConfig.from_table({"widht": 3})


def test_unknown_norms_are_refused() -> None:
    with pytest.raises(ValueError, match="'branch' or 'sum'"):
        AsymmetricBlock(3, 3, norms="batch")
