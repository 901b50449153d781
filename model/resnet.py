"""ResNet-50 with six stages: the first backbone of the paper's ablation.

Source: He et al. 2016; ACFD paper, section 4.2: two extra convolutions of stride 2 with norm and ReLU make the
strides 64 and 128. Their width is not stated there.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from .acb import ConvBlock

GROWTH = 4  # output channels of a bottleneck, in its own width (He et al. 2016)


@dataclass(frozen=True)
class ResNetConfig:
    """Widths and depths; the defaults are ResNet-50."""

    width: int = 64  # channels of the stem and of the first stage's bottlenecks; they double from stage to stage
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)  # bottlenecks per stage (He et al. 2016)
    extra: int = 256  # channels of the two further stages
    norms: str = "branch"  # of the ACBs after it, see AsymmetricBlock

    @property
    def outputs(self) -> tuple[int, ...]:
        """Channels of the six feature maps."""
        return (*(self.width * GROWTH * 2**stage for stage in range(4)), self.extra, self.extra)


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions with a shortcut: [B, Cin, H, W] → [B, 4·width, H/s, W/s]."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * GROWTH
        self.layers = nn.Sequential(
            ConvBlock(inputs, width, kernel=1),
            ConvBlock(width, width, stride=stride),
            ConvBlock(width, outputs, kernel=1, activation="none"),
        )
        changes = stride != 1 or inputs != outputs
        self.shortcut = ConvBlock(inputs, outputs, 1, stride, activation="none") if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, Cin, H, W] → [B, 4·width, H/s, W/s]."""
        return functional.relu(self.layers(x) + self.shortcut(x))


class ResNet(nn.Module):
    """Picture [B, 3, H, W] → six feature maps of strides 4, 8, … 128."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.stem = ConvBlock(3, config.width, kernel=7, stride=2)
        self.stages = nn.ModuleList()
        inputs = config.width
        for stage, count in enumerate(config.blocks):
            width = config.width * 2**stage
            modules = [Bottleneck(inputs, width, 1 if stage == 0 else 2)]
            modules += [Bottleneck(width * GROWTH, width, 1) for _ in range(count - 1)]
            self.stages.append(nn.Sequential(*modules))
            inputs = width * GROWTH
        self.stages.append(ConvBlock(inputs, config.extra, stride=2))
        self.stages.append(ConvBlock(config.extra, config.extra, stride=2))

    def forward(self, x: Tensor) -> list[Tensor]:
        """[B, 3, H, W] → list of [B, outputs[i], ceil(H / s), ceil(W / s)], s = 4 … 128."""
        x = functional.max_pool2d(self.stem(x), 3, 2, 1)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features
