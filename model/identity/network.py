"""The embedding network: EfficientNet-Lite, its last maps as one vector of unit length.

A crop of 144 px is cut or scaled to the network's own size inside the network. The maps of several stages are averaged
over bands from top to bottom, because hair is at the top and a mouth at the bottom of a crop. One linear layer reads
all of them; ``initial`` sets it. Early stages know colours and lines, late ones parts. The last stage of
EfficientNet-Lite is left out, because it knows ImageNet's classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from acfd_stream.checked import Checked, require
from acfd_stream.errors import ConfigError

from ..efficientnet_lite import STAGES, EfficientNetLite, EfficientNetLiteConfig
from .crops import SIDE


@dataclass(frozen=True)
class EmbedderConfig(Checked):
    """Sizes of the network."""

    variant: int = 0  # of EfficientNet-Lite: 0, 1 or 2
    size: int = 112  # pixels of a side that the first convolution sees
    view: str = "cut"  # how a crop becomes that size: "scaled" whole, or "cut" from its middle
    dimensions: int = 256  # numbers of an embedding
    taps: tuple[int, ...] = (3, 4, 5)  # stages of the backbone that are read
    bands: int = 4  # from top to bottom, of equal height, that a map is averaged over

    def _check(self) -> None:
        require(self.variant in (0, 1, 2), "network.variant", self.variant, "0, 1 or 2")
        require(self.size in range(32, SIDE + 1, 16), "network.size", self.size, f"a multiple of 16 in 32 … {SIDE}")
        require(self.view in ("scaled", "cut"), "network.view", self.view, "scaled or cut")
        require(8 <= self.dimensions <= 1024, "network.dimensions", self.dimensions, "in 8 … 1024")
        taps = tuple(self.taps)
        is_rising = bool(taps) and taps == tuple(sorted(set(taps))) and taps[0] >= 0 and taps[-1] <= 6
        require(is_rising, "network.taps", taps, "rising numbers in 0 … 6")
        require(1 <= self.bands <= 8, "network.bands", self.bands, "in 1 … 8")


class EmbeddingNetwork(nn.Module):
    """Crops [B, 3, SIDE, SIDE], normalised → embeddings [B, D] of unit length."""

    def __init__(self, config: EmbedderConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = EfficientNetLite(EfficientNetLiteConfig(config.variant))
        self.backbone.extra = nn.ModuleList()  # its maps of strides 64 and 128 are for detection
        self.backbone.stages = self.backbone.stages[: config.taps[-1] + 1]
        widths = [self.backbone.config.widths[stage] for stage in config.taps]
        self.linear = nn.Linear(sum(widths) * config.bands, config.dimensions)
        side = config.size
        for stage in range(config.taps[-1] + 1):
            stride = 2 if stage == 0 else STAGES[stage][2]
            side = (side + stride - 1) // stride
            if stage in config.taps:
                self.register_buffer(f"bands{stage}", bands(side, config.bands), persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        """[B, 3, SIDE, SIDE] → [B, D], unit length."""
        return functional.normalize(self.linear(self.features(crops)), dim=1)

    def features(self, crops: Tensor) -> Tensor:
        """[B, 3, SIDE, SIDE] → [B, F], the means over bands of the tapped maps."""
        x = self.backbone.stem(self._view(crops))
        found = []
        for number, stage in enumerate(self.backbone.stages):
            x = stage(x)
            if number in self.config.taps:
                found.append((x.mean(3) @ getattr(self, f"bands{number}")).flatten(1))
        return torch.cat(found, 1)

    def _view(self, crops: Tensor) -> Tensor:
        size, edge = self.config.size, (SIDE - self.config.size) // 2
        if self.config.view == "cut":
            return crops[:, :, edge : edge + size, edge : edge + size]
        if size == SIDE:
            return crops
        return functional.interpolate(crops, (size, size), mode="bilinear", align_corners=False)

    def load_imagenet(self) -> None:
        """Load the backbone's ImageNet weights.

        Raises:
            ConfigError: the package that holds them is not installed.
        """
        whole = EfficientNetLite(self.backbone.config)
        whole.load_pretrained()
        self.backbone.load_state_dict(whole.state_dict(), strict=False)

    def mix_backbone(self, state: dict[str, Tensor], share: float) -> None:
        """Move the backbone's weights by ``share`` of the way to those of a detector with the same backbone.

        The mean of weights before and after a training is often better on new data than either (Wortsman et al. 2022).

        Raises:
            ConfigError: ``state`` is of another backbone.
        """
        own = self.backbone.state_dict()
        try:
            mixed = {
                name: value + share * (state[f"backbone.{name}"] - value) if value.is_floating_point() else value
                for name, value in own.items()
            }
        except (KeyError, RuntimeError) as error:
            raise ConfigError(f"the detector has another backbone than the embedding ({error})") from error
        self.backbone.load_state_dict(mixed)

    def frozen(self, stages: int) -> list[nn.Module]:
        """The stem and the first ``stages`` of the backbone's seven stages."""
        return self.backbone.frozen(stages)


def bands(side: int, count: int) -> Tensor:
    """Shares [side, count] of a map's rows in the mean of each of ``count`` bands of equal height; columns sum to 1."""
    edges = torch.linspace(0, side, count + 1)
    rows = torch.arange(side)[:, None]
    shares = (torch.minimum(rows + 1.0, edges[None, 1:]) - torch.maximum(rows * 1.0, edges[None, :-1])).clamp(min=0)
    return shares / shares.sum(0)
