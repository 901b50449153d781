"""VoVNetV3: the backbone, six stages of strides 4 … 128.

Source: ACFD paper, section 3.2, Fig. 2 and Table 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .acb import AsymmetricBlock, ConvBlock


@dataclass(frozen=True)
class BackboneConfig:
    """Widths and depths; the defaults are VoVNetV3-51 as Table 1 has it."""

    stem: tuple[int, int, int] = (64, 64, 128)  # channels of conv1 … conv3
    split: tuple[int, ...] = (128, 160, 192, 224, 128, 128)  # channels of a layer within an AOSA module
    concat: tuple[int, ...] = (256, 512, 768, 1024, 128, 128)  # output channels of an AOSA module
    repeat: tuple[int, ...] = (1, 1, 2, 2, 1, 1)  # AOSA modules per stage
    layers: int = 5  # 3×3 layers in an AOSA module (VoVNet-51)
    norms: str = "branch"  # see AsymmetricBlock

    @property
    def outputs(self) -> tuple[int, ...]:
        """Channels of the six feature maps."""
        return self.concat


class Excitation(nn.Module):
    """eSE: every channel scaled by a gate from all channels' means (VoVNetV2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → the same shape."""
        return x * functional.hardsigmoid(self.gate(x.mean((2, 3), keepdim=True)))


class AggregationModule(nn.Module):
    """AOSA: a chain of ACBs; one 1×1 convolution over all their outputs, eSE and a residual."""

    def __init__(self, inputs: int, split: int, concat: int, config: BackboneConfig) -> None:
        super().__init__()
        widths = [inputs] + [split] * (config.layers - 1)
        self.layers = nn.ModuleList(AsymmetricBlock(width, split, norms=config.norms) for width in widths)
        self.project = ConvBlock(inputs + split * config.layers, concat, kernel=1)
        self.excite = Excitation(concat)
        self.is_residual = inputs == concat

    def forward(self, x: Tensor) -> Tensor:
        """[B, Cin, H, W] → [B, concat, H, W]."""
        features = [x]
        for layer in self.layers:
            features.append(layer(features[-1]))
        y = self.excite(self.project(torch.cat(features, 1)))
        return y + x if self.is_residual else y


class Backbone(nn.Module):
    """VoVNetV3: picture [B, 3, H, W] → six feature maps of strides 4, 8, … 128."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        first, second, third = config.stem
        self.stem = nn.Sequential(
            ConvBlock(3, first, stride=2),
            AsymmetricBlock(first, second, norms=config.norms),
            ConvBlock(second, third, stride=2),
        )
        self.stages = nn.ModuleList()
        inputs = third
        for split, concat, repeat in zip(config.split, config.concat, config.repeat, strict=True):
            modules = [AggregationModule(inputs, split, concat, config)]
            modules += [AggregationModule(concat, split, concat, config) for _ in range(repeat - 1)]
            self.stages.append(nn.Sequential(*modules))
            inputs = concat

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B, 3, H, W] → list of [B, concat[i], ceil(H / s), ceil(W / s)], s = 4 … 128."""
        x = self.stem(x)
        features = []
        for number, stage in enumerate(self.stages):
            if number:
                x = functional.max_pool2d(x, 3, 2, 1)
            x = stage(x)
            features.append(x)
        return features
