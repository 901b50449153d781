"""FPN: features of six strides, summed top-down; the first pyramid of the paper's ablation.

Source: Lin et al. 2017 (feature pyramid networks); the norm after each convolution is ours, because nothing here is
pretrained.
"""

from __future__ import annotations

from torch import Tensor, nn

from .abi_fpn import double
from .acb import ConvBlock


class PlainPyramid(nn.Module):
    """1×1 convolutions to one width, sums from coarse to fine, one 3×3 convolution per level."""

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
