"""Shading of filled shapes: cel, soft, textured, patterned. Maps multiply a colour."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..opencv import cv2

FloatMap = NDArray[np.float32]
ShadeMap = Callable[[NDArray[np.float64], NDArray[np.uint8]], FloatMap]  # (points in the map's pixels, mask) → [h, w]

_TILE = 512  # side of the stored noise, pixels


@lru_cache(maxsize=8)
def noise_tile(grain: int) -> FloatMap:
    """float32 [512, 512] of noise around 0, within about ±1, blotches ``grain`` pixels wide, seamless."""
    rng = np.random.default_rng(77 + grain)
    small = np.pad(rng.standard_normal((_TILE // grain,) * 2).astype(np.float32), 2, mode="wrap")
    large = cv2.resize(small, None, fx=grain, fy=grain, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large[2 * grain : 2 * grain + _TILE, 2 * grain : 2 * grain + _TILE], np.float32)


def noise(size: tuple[int, int], grain: int, offset: tuple[int, int] = (0, 0)) -> FloatMap:
    """float32 [H, W] cut from the noise tile."""
    tile = noise_tile(grain)
    rows = (np.arange(size[0]) + offset[0]) % _TILE
    columns = (np.arange(size[1]) + offset[1]) % _TILE
    return np.asarray(tile[rows[:, None], columns[None, :]], np.float32)


@lru_cache(maxsize=4)
def _ball() -> FloatMap:
    grid = np.linspace(-1, 1, 64, dtype=np.float32)
    distance = (grid[None, :] + 0.35) ** 2 + (grid[:, None] + 0.4) ** 2
    return np.asarray(1.16 - 0.24 * distance, np.float32)


def soft(points: NDArray[np.float64], mask: NDArray[np.uint8]) -> FloatMap:
    """Light from the upper left, falling off as on a ball."""
    light = cv2.resize(_ball(), (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(light, np.float32)


def cel(depth: float, angle: float, dark: float) -> ShadeMap:
    """One hard-edged shadow on the side away from the light; ``depth`` is a part of the shape's size."""

    def shade(points: NDArray[np.float64], mask: NDArray[np.uint8]) -> FloatMap:
        reach = depth * float(min(np.ptp(points[:, 0]), np.ptp(points[:, 1])))
        move = np.array([[1, 0, reach * np.cos(angle)], [0, 1, reach * np.sin(angle)]], np.float32)
        lit = cv2.warpAffine(mask, move, (mask.shape[1], mask.shape[0]))
        return np.asarray(dark + (1 - dark) / 255 * lit.astype(np.float32), np.float32)

    return shade


def texture(grain: int, strength: float) -> ShadeMap:
    """Paper, crayon or water-colour blotches."""

    def shade(points: NDArray[np.float64], mask: NDArray[np.uint8]) -> FloatMap:
        offset = (int(points[0, 1] * 7) % _TILE, int(points[0, 0] * 5) % _TILE)
        return np.asarray(1 + strength * noise(mask.shape, grain, offset), np.float32)

    return shade


def pattern(kind: str, period: float, dark: float) -> ShadeMap:
    """Cloth: "stripes", "bars", "check" or "dots" that repeat every ``period`` pixels."""

    def shade(points: NDArray[np.float64], mask: NDArray[np.uint8]) -> FloatMap:
        rows = np.arange(mask.shape[0])[:, None] * (2 * np.pi / max(period, 2.0))
        columns = np.arange(mask.shape[1])[None, :] * (2 * np.pi / max(period, 2.0))
        waves: dict[str, Any] = {
            "stripes": np.sin(rows) + 0 * columns,
            "bars": np.sin(columns) + 0 * rows,
            "check": np.sin(rows) * np.sin(columns),
            "dots": np.sin(rows) * np.sin(columns) - 0.55,
        }
        return np.where(waves[kind] > 0, dark, 1.0).astype(np.float32)

    return shade
