"""Effects on a drawn picture: blur, grain, compression, faded colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..opencv import cv2
from . import shading

Pixels = NDArray[np.uint8]


def cast(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Another white balance, contrast and brightness."""
    gain = rng.uniform(0.8, 1.1, 3) if rng.random() < 0.35 else np.full(3, rng.uniform(0.7, 1.15))
    table = np.arange(256, dtype=np.float32)[:, None] * gain + rng.uniform(-15, 30)
    curve = 255 * np.clip(table / 255, 0, 1) ** rng.uniform(0.75, 1.4)
    return np.asarray(cv2.LUT(pixels, curve.astype(np.uint8)[:, None, :]), np.uint8)


def lit(pixels: Pixels, light: tuple[float, float, float]) -> Pixels:
    """``pixels`` (uint8 [H, W, 3] RGB) times a gain of red, green and blue."""
    if light == (1.0, 1.0, 1.0):
        return pixels
    table = np.clip(np.arange(256)[:, None] * np.asarray(light), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(pixels, table[:, None, :]), np.uint8)


def fade_colors(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Grey, sepia, or washed-out colours."""
    flat = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.3:
        flat = np.clip(flat * np.array([1.0, 0.92, 0.75], np.float32), 0, 255).astype(np.uint8)
    part = 1.0 if rng.random() < 0.5 else float(rng.uniform(0.3, 0.8))
    return np.asarray(cv2.addWeighted(flat, part, pixels, 1 - part, 0), np.uint8)


def grain(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Film grain."""
    amount = rng.uniform(2, 12)
    offset = (int(rng.integers(512)), int(rng.integers(512)))
    noise = shading.noise((pixels.shape[0], pixels.shape[1]), int(rng.choice([1, 2])), offset)
    return np.clip(pixels + amount * noise[..., None], 0, 255).astype(np.uint8)


def blur(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Out of focus, moving, or enlarged from a small picture."""
    kind = rng.random()
    if kind < 0.4:
        return np.asarray(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.5, 1.6)), np.uint8)
    if kind < 0.55:
        length = int(rng.integers(3, 9))
        kernel = np.zeros((length, length), np.float32)
        cv2.line(kernel, (0, int(rng.integers(length))), (length - 1, int(rng.integers(length))), 1.0)
        return np.asarray(cv2.filter2D(pixels, -1, kernel / kernel.sum()), np.uint8)
    height, width = pixels.shape[:2]
    part = rng.uniform(0.45, 0.85)
    small = cv2.resize(pixels, (max(8, int(width * part)), max(8, int(height * part))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def compress(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The picture after JPEG compression at a low quality."""
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(12, 75))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8) if done else pixels


def vignette(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Dark corners or a pool of light."""
    height, width = pixels.shape[:2]
    y = (np.linspace(-1, 1, height, dtype=np.float32)[:, None] - rng.uniform(-0.4, 0.4)) ** 2
    x = (np.linspace(-1, 1, width, dtype=np.float32)[None, :] - rng.uniform(-0.4, 0.4)) ** 2
    light = np.clip(rng.uniform(1.0, 1.25) - rng.uniform(0.2, 0.6) * (x + y), 0.15, 1.2)
    return np.clip(pixels * light[..., None], 0, 255).astype(np.uint8)


_CHANCES = ((fade_colors, 0.1), (cast, 0.35), (vignette, 0.1), (blur, 0.25), (grain, 0.22), (compress, 0.5))


def age(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """``pixels`` (uint8 [H, W, 3] RGB) with a random choice of these effects."""
    for effect, chance in _CHANCES:
        if rng.random() < chance:
            pixels = effect(pixels, rng)
    return pixels
