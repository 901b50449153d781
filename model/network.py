"""The whole detector: backbone, pyramid, heads.

Source: ACFD paper, Fig. 1. A config can choose the parts of its ablation (ResNet-50, plain FPN), and
EfficientNet-Lite, which is not in the paper.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from acfd_stream.config import from_mapping, require

from .abi_fpn import FeaturePyramid, PlainPyramid
from .acb import AsymmetricBlock, ConvBlock
from .efficientnet_lite import EfficientNetLite, EfficientNetLiteConfig
from .resnet import ResNet, ResNetConfig
from .vovnet import Backbone, BackboneConfig

PRIOR = 0.01
"""Score of every anchor before training, so that the many negatives do not dominate the first losses (focal loss)."""
BACKBONES: Mapping[str, tuple[Any, Any]] = {
    "vovnet": (BackboneConfig, Backbone),
    "resnet": (ResNetConfig, ResNet),
    "efficientnet-lite": (EfficientNetLiteConfig, EfficientNetLite),
}
"""Config and network of each kind."""
PYRAMIDS = ("abi-fpn", "bifpn", "fpn")


@dataclass(frozen=True)
class NetworkConfig:
    """The architecture; the defaults are acfd-51."""

    backbone: BackboneConfig | ResNetConfig | EfficientNetLiteConfig = field(default_factory=BackboneConfig)
    pyramid: str = "abi-fpn"  # of PYRAMIDS; "bifpn" is ABi-FPN with plain 3×3 convolutions (paper, Table 3)
    pyramid_channels: int = 128
    pyramid_layers: int = 1
    head_layers: int = 1  # blocks of the pyramid's kind, shared by all levels, before the two outputs

    def __post_init__(self) -> None:
        require(self.pyramid in PYRAMIDS, "network.pyramid", self.pyramid, f"one of {', '.join(PYRAMIDS)}")

    @property
    def is_asymmetric(self) -> bool:
        """Whether pyramid and head consist of ACBs."""
        return self.pyramid == "abi-fpn"

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> NetworkConfig:
        """The config of a TOML table; lists become tuples, unknown keys are errors."""
        values = dict(table)
        backbone = {key: tuple(v) if isinstance(v, list) else v for key, v in values.pop("backbone", {}).items()}
        kind = backbone.pop("kind", "vovnet")
        require(kind in BACKBONES, "network.backbone.kind", kind, f"one of {', '.join(BACKBONES)}")
        return dataclasses.replace(from_mapping(cls, values), backbone=from_mapping(BACKBONES[kind][0], backbone))


class Network(nn.Module):
    """ACFD: normalised pictures → logits and box deltas of every anchor."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        backbone, channels, norms = config.backbone, config.pyramid_channels, config.backbone.norms
        self.backbone = next(make(backbone) for kind, make in BACKBONES.values() if isinstance(backbone, kind))
        if config.pyramid == "fpn":
            self.pyramid: nn.Module = PlainPyramid(backbone.outputs, channels)
        else:
            self.pyramid = FeaturePyramid(
                backbone.outputs, channels, config.pyramid_layers, norms, is_asymmetric=config.is_asymmetric
            )
        self.head = nn.Sequential(
            *(
                AsymmetricBlock(channels, channels, norms=norms)
                if config.is_asymmetric
                else ConvBlock(channels, channels)
                for _ in range(config.head_layers)
            )
        )
        self.outputs = nn.Conv2d(channels, 5, 3, 1, 1)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.outputs.weight, std=0.01)
        with torch.no_grad():
            self.outputs.bias[0] = -math.log((1 - PRIOR) / PRIOR)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits float32 [B, A] and deltas float32 [B, A, 4] of pictures [B, 3, H, W] with mean 0 and deviation 1.

        Anchors are in the order of ``ops.anchors.anchor_grid``.
        """
        levels = [self.outputs(self.head(feature)) for feature in self.pyramid(self.backbone(pictures))]
        flat = torch.cat([level.permute(0, 2, 3, 1).flatten(1, 2) for level in levels], 1).float()
        return flat[..., 0], flat[..., 1:]
