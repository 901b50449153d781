"""ABi-FPN: multi-scale features fused top-down and bottom-up with learned weights; and the plain FPN of the ablation.

Source: ACFD paper, section 3.3; fusion as in BiFPN (Tan et al. 2020) with ACBs as its convolutions. The plain FPN is
that of Lin et al. 2017; the norm after each convolution is ours, because nothing here is pretrained.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .acb import AsymmetricBlock, ConvBlock


class FusionNode(nn.Module):
    """Inputs of one shape, weighted by non-negative normalised weights, then an ACB or a plain convolution."""

    def __init__(self, inputs: int, channels: int, norms: str, *, is_asymmetric: bool = True) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(inputs))
        self.block: nn.Module = (
            AsymmetricBlock(channels, channels, norms=norms) if is_asymmetric else ConvBlock(channels, channels)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """List of [B, C, H, W] → [B, C, H, W]."""
        weights = functional.relu(self.weights)
        weights = weights / (weights.sum() + 1e-4)
        total = features[0] * weights[0]
        for number, feature in enumerate(features[1:], 1):
            total = total + feature * weights[number]
        return self.block(total)


def double(x: Tensor, like: Tensor) -> Tensor:
    """``x`` [B, C, h, w] at twice its size, cut to the height and width of ``like``.

    Cutting instead of resizing keeps every cell over the same pixels when a side is odd.
    """
    return functional.interpolate(x, scale_factor=2.0)[:, :, : like.shape[2], : like.shape[3]]


class FusionLayer(nn.Module):
    """One top-down and one bottom-up pass over all levels."""

    def __init__(self, levels: int, channels: int, norms: str, *, is_asymmetric: bool = True) -> None:
        super().__init__()

        def node(inputs: int) -> FusionNode:
            return FusionNode(inputs, channels, norms, is_asymmetric=is_asymmetric)

        self.down = nn.ModuleList(node(2) for _ in range(levels - 1))
        self.up = nn.ModuleList([*(node(3) for _ in range(levels - 2)), node(2)])

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Levels from fine to coarse, each [B, C, H, W] → the same shapes."""
        middle = list(features)
        for level in range(len(features) - 2, -1, -1):
            middle[level] = self.down[level]([features[level], double(middle[level + 1], features[level])])
        outputs = [middle[0]]
        for level in range(1, len(features)):
            finer = functional.max_pool2d(outputs[-1], 3, 2, 1)
            is_last = level == len(features) - 1
            parts = [features[level], finer] if is_last else [features[level], middle[level], finer]
            outputs.append(self.up[level - 1](parts))
        return outputs


class FeaturePyramid(nn.Module):
    """ABi-FPN: 1×1 convolutions to one width, then fusion layers; BiFPN if it is not asymmetric."""

    def __init__(
        self, inputs: tuple[int, ...], channels: int, layers: int, norms: str, *, is_asymmetric: bool = True
    ) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ConvBlock(width, channels, kernel=1, activation="none") for width in inputs)
        self.layers = nn.ModuleList(
            FusionLayer(len(inputs), channels, norms, is_asymmetric=is_asymmetric) for _ in range(layers)
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Backbone features, fine to coarse → the same sizes with ``channels`` channels."""
        outputs = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for layer in self.layers:
            outputs = layer(outputs)
        return outputs


class PlainPyramid(nn.Module):
    """FPN: 1×1 convolutions to one width, sums from coarse to fine, one 3×3 convolution per level."""

    def __init__(self, inputs: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ConvBlock(width, channels, kernel=1, activation="none") for width in inputs)
        self.smooth = nn.ModuleList(ConvBlock(channels, channels) for _ in inputs)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Backbone features, fine to coarse → the same sizes with ``channels`` channels."""
        sums = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for level in range(len(sums) - 2, -1, -1):
            sums[level] = sums[level] + double(sums[level + 1], sums[level])
        return [smooth(level) for smooth, level in zip(self.smooth, sums, strict=True)]
