"""Positions of anchors, and how a picture is laid into the network's input.

Source: ACFD paper, section 4.1: one square anchor per location, scale 4, strides 4 … 128, so that a
640×640 view has 34125 of them, covering faces of 16 … 512 pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from acfd_stream.errors import ShapeError
from acfd_stream.types import FloatArray

ALIGNMENT = 32
"""Network sizes are multiples of this, pixels."""
LONGER_PER_SHORTER = 1.34375
"""Bound of the longer side in a multi-scale test: 480×645, 640×860, 800×1075 (paper, section 4.1)."""


@dataclass(frozen=True)
class AnchorSpec:
    """What turns network outputs into boxes; the same for trainer and server."""

    strides: tuple[int, ...] = (4, 8, 16, 32, 64, 128)
    scale: float = 4.0  # anchor side in strides
    variances: tuple[float, float] = (0.1, 0.2)  # of centre and of log size


@dataclass(frozen=True)
class Letterbox:
    """An upright picture scaled to ``content_size`` in the top-left corner of ``network_size``."""

    network_size: tuple[int, int]  # (height, width), multiples of ALIGNMENT
    content_size: tuple[int, int]  # (height, width)
    display_size: tuple[int, int]  # (height, width)

    def to_display(self, boxes_xyxy: FloatArray) -> FloatArray:
        """Boxes in display pixels, float32 [N, 4], of boxes in network pixels."""
        ratio_y = np.float32(self.display_size[0] / self.content_size[0])
        ratio_x = np.float32(self.display_size[1] / self.content_size[1])
        return boxes_xyxy * np.array([ratio_x, ratio_y, ratio_x, ratio_y], np.float32)


def fit(display_size: tuple[int, int], size: int) -> Letterbox:
    """The letterbox whose longer content side is ``size`` pixels."""
    return _scaled(display_size, size / max(_checked(display_size)))


def fit_scale(display_size: tuple[int, int], scale: int) -> Letterbox:
    """The letterbox of one scale of the paper's multi-scale test.

    The shorter content side is at most ``scale`` pixels and the longer at most
    ``LONGER_PER_SHORTER`` times that; one of the two is met.
    """
    height, width = _checked(display_size)
    longest = round(scale * LONGER_PER_SHORTER)
    return _scaled(display_size, min(scale / min(height, width), longest / max(height, width)))


def _checked(display_size: tuple[int, int]) -> tuple[int, int]:
    if min(display_size) < 1:
        raise ShapeError(f"display_size must be at least 1×1, got {display_size}")
    return display_size


def _scaled(display_size: tuple[int, int], ratio: float) -> Letterbox:
    content = (max(1, round(display_size[0] * ratio)), max(1, round(display_size[1] * ratio)))
    network = (_aligned(content[0]), _aligned(content[1]))
    return Letterbox(network, content, display_size)


def _aligned(length: int) -> int:
    return -(-length // ALIGNMENT) * ALIGNMENT


def level_sizes(network_size: tuple[int, int], spec: AnchorSpec) -> list[tuple[int, int]]:
    """(height, width) of every pyramid level, in anchors."""
    height, width = network_size
    return [(math.ceil(height / stride), math.ceil(width / stride)) for stride in spec.strides]


def anchor_count(network_size: tuple[int, int], spec: AnchorSpec) -> int:
    """Number of anchors of all levels."""
    return sum(height * width for height, width in level_sizes(network_size, spec))


@lru_cache(maxsize=32)
def anchor_grid(network_size: tuple[int, int], spec: AnchorSpec) -> FloatArray:
    """All anchors, level by level and row by row.

    Args:
        network_size: (height, width), pixels.
        spec: strides, scale.

    Returns:
        float32 [A, 4]: centre x, centre y, width, height, network pixels. Read-only: it is cached.
    """
    levels = []
    for stride, (height, width) in zip(spec.strides, level_sizes(network_size, spec), strict=True):
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        side = np.full_like(x, stride * spec.scale)
        levels.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, side, side], axis=-1).reshape(-1, 4))
    grid = np.concatenate(levels).astype(np.float32)
    grid.flags.writeable = False
    return grid
