"""The embedding network: EfficientNet-Lite, its last maps as one vector of unit length.

A crop of 144 px is cut or scaled to the network's own size inside the network. The last map is not averaged over its
positions, because hair is at the top and a mouth at the bottom of a crop: a 1×1 convolution makes it narrow, and one
linear layer reads all positions (as the global depthwise convolution of MobileFaceNet, Chen et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from acfd_stream.checked import Checked, require

from ..acb import ConvBlock
from ..efficientnet_lite import EfficientNetLite, EfficientNetLiteConfig
from .crops import SIDE


@dataclass(frozen=True)
class EmbedderConfig(Checked):
    """Sizes of the network."""

    variant: int = 0  # of EfficientNet-Lite: 0, 1 or 2
    size: int = 112  # pixels of a side that the first convolution sees
    view: str = "scaled"  # how a crop becomes that size: "scaled" whole, or "cut" from its middle
    dimensions: int = 192  # numbers of an embedding
    narrow: int = 96  # channels of the last map before the linear layer; 0: the map's mean instead of its positions

    def _check(self) -> None:
        require(self.variant in (0, 1, 2), "network.variant", self.variant, "0, 1 or 2")
        require(self.size in range(32, SIDE + 1, 16), "network.size", self.size, f"a multiple of 16 in 32 … {SIDE}")
        require(self.view in ("scaled", "cut"), "network.view", self.view, "scaled or cut")
        require(8 <= self.dimensions <= 1024, "network.dimensions", self.dimensions, "in 8 … 1024")
        require(0 <= self.narrow <= 1024, "network.narrow", self.narrow, "in 0 … 1024")


class EmbeddingNetwork(nn.Module):
    """Crops [B, 3, SIDE, SIDE], normalised → embeddings [B, D] of unit length."""

    def __init__(self, config: EmbedderConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = EfficientNetLite(EfficientNetLiteConfig(config.variant))
        self.backbone.extra = nn.ModuleList()  # its maps of strides 64 and 128 are for detection
        width = self.backbone.config.widths[-1]
        self.narrow = ConvBlock(width, config.narrow, 1, activation="none") if config.narrow else nn.Identity()
        cells = ((config.size + 31) // 32) ** 2 if config.narrow else 1
        self.linear = nn.Linear((config.narrow or width) * cells, config.dimensions, bias=False)
        self.norm = nn.BatchNorm1d(config.dimensions)

    def forward(self, crops: Tensor) -> Tensor:
        """[B, 3, SIDE, SIDE] → [B, D], unit length."""
        return functional.normalize(self.vectors(crops), dim=1)

    def vectors(self, crops: Tensor) -> Tensor:
        """[B, 3, SIDE, SIDE] → [B, D] before it is scaled to unit length."""
        x = self.backbone.stem(self._view(crops))
        for stage in self.backbone.stages:
            x = stage(x)
        x = self.narrow(x)
        x = x.flatten(1) if self.config.narrow else x.mean((2, 3))
        return self.norm(self.linear(x.float()))

    def _view(self, crops: Tensor) -> Tensor:
        size, edge = self.config.size, (SIDE - self.config.size) // 2
        if self.config.view == "cut":
            return crops[:, :, edge : edge + size, edge : edge + size]
        if size == SIDE:
            return crops
        return functional.interpolate(crops, (size, size), mode="bilinear", align_corners=False)

    def frozen(self, stages: int) -> list[nn.Module]:
        """The stem and the first ``stages`` of the backbone's seven stages."""
        return self.backbone.frozen(stages)
