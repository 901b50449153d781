"""Augmented views of face crops: as another box, frame, light, size or hand would have given them.

Easy views stay close to the crop. Hard views are small, blurred, compressed, covered or far off their place too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acfd_stream.checked import Checked, require

from ..opencv import cv2
from .crops import CONTEXT, SIDE, Pixels

FACE = SIDE / CONTEXT
"""Longer side of the face in a crop, pixels."""


@dataclass(frozen=True)
class ViewConfig(Checked):
    """Chances and ranges of one kind of view."""

    shift: float = 0.06  # of the square, as a share of the face's longer side
    zoom: float = 0.12  # of the square: up to 12 % larger or smaller
    roll: float = 0.12  # radians
    stretch: float = 0.06  # of width against height
    colour: float = 0.8  # chance of other hue, saturation, contrast and tint
    hue: float = 6.0  # of 180
    grey: float = 0.03  # chance
    blur: float = 0.15  # chance
    shrink: float = 0.2  # chance of a smaller face, scaled up again
    least_face: float = 36.0  # pixels that its longer side is shrunk to at the least
    cover: float = 0.1  # chance that mouth, hair, one side or any part is covered
    compression: float = 0.2  # chance
    grain: float = 0.1  # chance

    def _check(self) -> None:
        for name in ("colour", "grey", "blur", "shrink", "cover", "compression", "grain"):
            require(0 <= getattr(self, name) <= 1, f"view.{name}", getattr(self, name), "in [0, 1]")
        require(4 <= self.least_face <= FACE, "view.least_face", self.least_face, f"in 4 … {FACE:g}")


EASY = ViewConfig()
HARD = ViewConfig(
    shift=0.12, zoom=0.25, roll=0.3, stretch=0.15, colour=0.9, hue=10.0, grey=0.08, blur=0.4, shrink=0.6,
    least_face=14.0, cover=0.5, compression=0.4, grain=0.2,
)  # fmt: skip


def view(crop: Pixels, config: ViewConfig, rng: np.random.Generator) -> Pixels:
    """An augmented view of a crop uint8 [SIDE, SIDE, 3], of the same shape; half of all views are mirrored."""
    image = _moved(crop, config, rng)
    if rng.random() < config.cover:
        image = _covered(image, rng)
    if rng.random() < config.colour:
        image = _recoloured(image, config.hue, rng)
    if rng.random() < config.grey:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return _degraded(image, config, rng)


def _moved(crop: Pixels, config: ViewConfig, rng: np.random.Generator) -> Pixels:
    """The crop of a box that lies, and is tilted, a little differently; black where the crop ends."""
    zoom = np.exp(rng.uniform(-1, 1) * np.log1p(config.zoom))
    wide = np.exp(rng.uniform(-1, 1) * np.log1p(config.stretch) / 2)
    roll = rng.uniform(-1, 1) * config.roll
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    linear = turn @ np.diag([zoom * wide * (-1 if rng.random() < 0.5 else 1), zoom / wide])
    middle = np.full(2, (SIDE - 1) / 2)
    shift = middle - linear @ middle + rng.uniform(-1, 1, 2) * config.shift * FACE
    matrix = np.concatenate([linear, shift[:, None]], 1)
    return np.asarray(cv2.warpAffine(crop, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR), np.uint8)


COVERS = {
    # top, bottom, left, right as shares of the crop's side, each ± 0.08
    "mouth": (0.56, 0.8, 0.25, 0.75),
    "hair": (0.0, 0.3, 0.0, 1.0),
    "left": (0.0, 1.0, 0.0, 0.36),
    "right": (0.0, 1.0, 0.64, 1.0),
    "clothes": (0.78, 1.0, 0.0, 1.0),
    "eyes": (0.38, 0.54, 0.2, 0.8),
}


def _covered(image: Pixels, rng: np.random.Generator) -> Pixels:
    part = COVERS[str(rng.choice(list(COVERS)))]
    edges = ((np.array(part) + rng.uniform(-0.08, 0.08, 4)) * SIDE).clip(0, SIDE).astype(int)
    image = image.copy()
    image[edges[0] : edges[1], edges[2] : edges[3]] = rng.integers(0, 256, 3)
    return image


def _recoloured(image: Pixels, hue: float, rng: np.random.Generator) -> Pixels:
    """Another hue and saturation, then a curve per channel: contrast, brightness and a tint."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    steps = np.arange(256)
    hsv[..., 0] = cv2.LUT(hsv[..., 0], ((steps + round(rng.uniform(-hue, hue))) % 180).astype(np.uint8))
    hsv[..., 1] = cv2.LUT(hsv[..., 1], (steps * rng.uniform(0.65, 1.4)).clip(0, 255).astype(np.uint8))
    curve = ((steps / 255) ** rng.uniform(0.7, 1.45) - 0.5) * rng.uniform(0.65, 1.2) + 0.5 + rng.uniform(-0.1, 0.1)
    tints = curve[:, None] * rng.uniform(0.85, 1.1, 3)
    table = (tints * 255).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.ascontiguousarray(table[:, None])), np.uint8)


def _degraded(image: Pixels, config: ViewConfig, rng: np.random.Generator) -> Pixels:
    if rng.random() < config.shrink:
        face = np.exp(rng.uniform(np.log(config.least_face), np.log(FACE)))
        side = max(8, round(SIDE * face / FACE))
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    if rng.random() < config.blur:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.0))
    if rng.random() < config.grain:
        noise: NDArray[np.float32] = rng.standard_normal(image.shape[:2], np.float32) * rng.uniform(2, 12)
        image = (image + noise[..., None]).clip(0, 255).astype(np.uint8)
    if rng.random() < config.compression:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 70))]
        image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    return np.asarray(image, np.uint8)
