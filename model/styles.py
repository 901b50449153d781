"""Picture effects for training: line art, a worn print of an old film, and figures pasted over a scene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acfd_stream.types import FloatArray

from .opencv import cv2
from .readers import FACE, IGNORE

Pixels = NDArray[np.uint8]
_SHARPNESS = 1.6  # ratio of the two blurs of a difference of Gaussians
_LEAST_VISIBLE = 0.4  # share of a face that must be inside the picture for a box
_HIDDEN = 0.5  # share of a face that a figure may cover before it becomes IGNORE


def line_art(image: Pixels, rng: np.random.Generator) -> Pixels:
    """The edges of ``image`` (uint8 [H, W, 3] RGB) as ink on paper, half of them with flat tones.

    Source: thresholded differences of Gaussians, Winnemöller et al. 2012.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    fine = float(rng.uniform(0.5, 1.1))
    near, far = (cv2.GaussianBlur(grey, (0, 0), fine * ratio) for ratio in (1.0, _SHARPNESS))
    edges = (near - far) * rng.uniform(50, 110) + rng.uniform(0.1, 0.3)
    paper = 1 + np.tanh(np.minimum(edges, 0) * rng.uniform(2, 5))
    if rng.random() < 0.5:  # shadows stay as flat tones, as in a comic
        steps = int(rng.integers(2, 5))
        tone = np.floor(cv2.GaussianBlur(grey, (0, 0), 1.5) * steps + 0.5) / steps
        paper = paper * (1 - rng.uniform(0.2, 0.7) * (1 - tone))
    sheet = np.array([255, 255, rng.uniform(225, 255)], np.float32) * rng.uniform(0.9, 1.0)
    ink = rng.uniform(0, 60, 3).astype(np.float32)
    return (ink + (sheet - ink) * paper.clip(0, 1)[..., None]).astype(np.uint8)


def old_film(image: Pixels, rng: np.random.Generator) -> Pixels:
    """``image`` (uint8 [H, W, 3] RGB) as a worn print of a film of the 1930s.

    One tone, soft, with low contrast, coarse grain, dark corners, scratches and dust.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    soft = cv2.GaussianBlur(grey, (0, 0), float(np.exp(rng.uniform(np.log(0.4), np.log(1.8)))))
    print_ = (soft - 128) * rng.uniform(0.5, 1.1) + 128 + rng.uniform(-25, 25)
    clump = float(rng.uniform(0.3, 0.9))
    grain = cv2.GaussianBlur(rng.standard_normal(grey.shape, np.float32), (0, 0), clump)
    print_ += grain / grain.std() * rng.uniform(2, 12)
    height, width = grey.shape
    down, across = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    print_ *= 1 - rng.uniform(0, 0.25) * (down**2 + across**2)
    for _ in range(rng.integers(0, 4)):
        column = int(rng.integers(width))
        print_[:, column : column + 1] += rng.uniform(-60, 60)
    for _ in range(rng.integers(0, 12)):
        place = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(print_, place, int(rng.integers(1, 3)), float(rng.choice((30.0, 225.0))), cv2.FILLED)
    tint = np.array([1, rng.uniform(0.85, 1), rng.uniform(0.65, 1)] if rng.random() < 0.4 else [1, 1, 1], np.float32)
    return np.asarray((print_.clip(0, 255)[..., None] * tint).astype(np.uint8))


def lay_figure(
    scene: Pixels,
    truth: tuple[FloatArray, NDArray[np.int8]],
    figure: Pixels,
    box: FloatArray,
    corner: tuple[int, int],
) -> tuple[FloatArray, NDArray[np.int8]]:
    """Paste a figure over a scene, in place, and return the new truth.

    Args:
        scene: uint8 [H, W, 3], changed.
        truth: boxes float32 [N, 4] and kinds int8 [N] of the scene.
        figure: uint8 [h, w, 4] with alpha.
        box: float32 [4], the figure's face in the figure's pixels.
        corner: (x, y) of the figure's top left in the scene; may be outside.

    Returns:
        boxes and kinds with the figure's face; faces that it covers by more than half become IGNORE.
    """
    paste(scene, figure, *corner)
    boxes, kinds = truth
    kinds = kinds.copy()
    body = np.array([*corner, corner[0] + figure.shape[1], corner[1] + figure.shape[0]], np.float32)
    for number, other in enumerate(boxes):
        if kinds[number] == FACE and _covered(other, body, figure, corner) > _HIDDEN:
            kinds[number] = IGNORE
    limits = np.array([scene.shape[1], scene.shape[0]] * 2, np.float32)
    own = np.asarray(box + np.array([*corner, *corner], np.float32), np.float32)
    if shown(own, limits) <= _LEAST_VISIBLE:
        return boxes, kinds
    return np.concatenate([boxes, own.clip(0, limits)[None]]), np.append(kinds, np.int8(FACE))


def paste(scene: Pixels, figure: Pixels, left: int, top: int) -> None:
    """Blend ``figure`` uint8 [h, w, 4] over ``scene`` uint8 [H, W, 3] in place; parts outside are cut off."""
    x1, y1 = max(0, left), max(0, top)
    x2, y2 = min(scene.shape[1], left + figure.shape[1]), min(scene.shape[0], top + figure.shape[0])
    if x1 >= x2 or y1 >= y2:
        return
    part = figure[y1 - top : y2 - top, x1 - left : x2 - left]
    alpha = part[..., 3:].astype(np.float32) / 255
    scene[y1:y2, x1:x2] = part[..., :3] * alpha + scene[y1:y2, x1:x2] * (1 - alpha)


def shown(box: FloatArray, limits: FloatArray) -> float:
    """Share of ``box`` [4] that lies inside the picture of ``limits`` (width, height, width, height)."""
    area = float(np.prod(box[2:] - box[:2]))
    inside = box.clip(0, limits)
    return float(np.prod(np.maximum(inside[2:] - inside[:2], 0))) / area if area > 0 else 0.0


def _covered(box: FloatArray, body: FloatArray, figure: Pixels, corner: tuple[int, int]) -> float:
    """Share of ``box`` hidden by the opaque part of the figure."""
    low = np.maximum(box[:2], body[:2]).round().astype(int)
    high = np.minimum(box[2:], body[2:]).round().astype(int)
    if (high <= low).any():
        return 0.0
    part = figure[low[1] - corner[1] : high[1] - corner[1], low[0] - corner[0] : high[0] - corner[0], 3]
    return float((part > 127).sum()) / max(1.0, float(np.prod(box[2:] - box[:2])))
