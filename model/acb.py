"""Convolution blocks: the asymmetric one of ACFD and the plain one, with their fusion for inference.

Source: ACFD paper, Fig. 5 and eq. 4 (after ACNet, Ding et al. 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS = {"relu": functional.relu, "relu6": functional.relu6, "none": lambda x: x}


def fuse_norm(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias of one convolution that equals a bias-free one and its batch norm (eq. 4)."""
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return weight * gain.reshape(-1, 1, 1, 1), norm.bias - norm.running_mean * gain


class ConvBlock(nn.Module):
    """Convolution, batch norm and one of ACTIVATIONS: [B, Cin, H, W] → [B, Cout, ceil(H/s), ceil(W/s)]."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        *,
        activation: str = "relu",
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """[B, Cin, H, W] → [B, Cout, H/s, W/s]."""
        return ACTIVATIONS[self.activation](self.norm(self._convolved(x)))

    def _convolved(self, x: Tensor) -> Tensor:
        """The convolution; in float32 for large depthwise kernels, whose gradient is four times as slow in bf16."""
        is_slow = self.training and x.device.type == "cpu" and self.conv.groups > 1 and self.conv.kernel_size[0] > 3
        if not (is_slow and torch.is_autocast_enabled("cpu")):
            return self.conv(x)
        with torch.autocast("cpu", enabled=False):
            return self.conv(x.float()).bfloat16()

    def fused(self) -> tuple[Tensor, Tensor]:
        """Kernel [Cout, Cin, k, k] and bias [Cout] that compute the same in evaluation mode."""
        return fuse_norm(self.conv.weight, self.norm)


class AsymmetricBlock(nn.Module):
    """ACB: 3×3, 1×3 and 3×1 convolutions in parallel, summed, then one of ACTIVATIONS.

    ``norms`` is "branch" for a batch norm in each branch, as published, or "sum" for one batch
    norm after the summed kernels: the same functions at inference for a third of the training
    cost on a CPU, because the three kernels are added before one convolution.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, *, norms: str = "branch", activation: str = "relu"
    ) -> None:
        super().__init__()
        if norms not in ("branch", "sum"):
            raise ValueError(f"norms must be 'branch' or 'sum', got {norms!r}")
        self.square = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.horizontal = nn.Conv2d(inputs, outputs, (1, 3), stride, (0, 1), bias=False)
        self.vertical = nn.Conv2d(inputs, outputs, (3, 1), stride, (1, 0), bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(3 if norms == "branch" else 1))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """[B, Cin, H, W] → [B, Cout, H/s, W/s]."""
        if len(self.norms) == 1:
            y = functional.conv2d(x, self._summed_kernel(), None, self.square.stride, 1)
            y = self.norms[0](y)
        else:
            branches = (self.square, self.horizontal, self.vertical)
            outputs = [norm(conv(x)) for conv, norm in zip(branches, self.norms, strict=True)]
            y = outputs[0] + outputs[1] + outputs[2]
        return ACTIVATIONS[self.activation](y)

    def _kernels(self) -> list[Tensor]:
        horizontal = functional.pad(self.horizontal.weight, (0, 0, 1, 1))
        vertical = functional.pad(self.vertical.weight, (1, 1, 0, 0))
        return [self.square.weight, horizontal, vertical]

    def _summed_kernel(self) -> Tensor:
        square, horizontal, vertical = self._kernels()
        return square + horizontal + vertical

    def fused(self) -> tuple[Tensor, Tensor]:
        """Kernel [Cout, Cin, 3, 3] and bias [Cout] that compute the same in evaluation mode."""
        if len(self.norms) == 1:
            return fuse_norm(self._summed_kernel(), self.norms[0])
        parts = [fuse_norm(kernel, norm) for kernel, norm in zip(self._kernels(), self.norms, strict=True)]
        return sum(kernel for kernel, _ in parts), sum(bias for _, bias in parts)


class FusedBlock(nn.Module):
    """One convolution with bias in place of a trained block."""

    def __init__(self, block: ConvBlock | AsymmetricBlock) -> None:
        super().__init__()
        kernel, bias = block.fused()
        source = block.conv if isinstance(block, ConvBlock) else block.square
        inputs = kernel.shape[1] * source.groups
        self.conv = nn.Conv2d(
            inputs, kernel.shape[0], kernel.shape[2], source.stride, source.padding, groups=source.groups
        )
        self.conv.weight = nn.Parameter(kernel.detach().clone())
        self.conv.bias = nn.Parameter(bias.detach().clone())
        self.activation = block.activation

    def forward(self, x: Tensor) -> Tensor:
        """[B, Cin, H, W] → [B, Cout, H/s, W/s]."""
        return ACTIVATIONS[self.activation](self.conv(x))


def fuse(module: nn.Module) -> nn.Module:
    """``module`` with every block replaced, in place, by its single convolution; for evaluation only."""
    for name, child in module.named_children():
        if isinstance(child, ConvBlock | AsymmetricBlock):
            setattr(module, name, FusedBlock(child))
        else:
            fuse(child)
    return module
