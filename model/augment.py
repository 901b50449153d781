"""One training example out of the pictures of the sources.

Source: ACFD paper, section 4.1 (colour distortion, expansion with mean padding, random crop, faces
tiled to anchor scales); mosaics, compression, grey and grain are additions for small data sets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acfd_stream.checked import Checked
from acfd_stream.types import FloatArray

from .datasets import Example, Source, SpriteSource
from .normalisation import MEAN
from .opencv import cv2
from .readers import FACE, IGNORE
from .styles import line_art, old_film

ANCHOR_SIDES = (16, 32, 64, 128, 256, 512)


@dataclass(frozen=True)
class AugmentConfig(Checked):
    """Chances and ranges of the augmentation."""

    mosaic: float = 0.4  # chance that an example is made of four pictures
    tile: float = 0.5  # chance that a face is scaled to an anchor's size (paper)
    expand: float = 4.0  # largest zoom out, from a picture that just fits (paper)
    zoom: float = 2.0  # largest zoom in
    aspect: float = 1.2  # largest ratio of the scales of both axes
    grey: float = 0.12  # chances of each effect
    blur: float = 0.08
    grain: float = 0.1
    compression: float = 0.15
    line_art: float = 0.0  # chance of edges as ink on paper
    film: float = 0.0  # chance of a worn print of an old film, with its own grey, blur and grain
    tiny: float = 0.0  # chance that a face is scaled to tiny_sides instead of an anchor's size
    tiny_sides: tuple[float, float] = (8.0, 20.0)  # pixels
    paste: float = 0.0  # chance that figures of the first source of sprites are pasted over a picture
    least_face: float = 7.0  # smaller faces are ignored, pixels
    least_visible: float = 0.35  # a face that the crop leaves less of is ignored, share of its area


def make_example(
    sources: list[Source], weights: NDArray[np.float64], size: int, rng: np.random.Generator, config: AugmentConfig
) -> Example:
    """A square picture uint8 [size, size, 3], its boxes and kinds.

    Args:
        sources: where pictures come from.
        weights: [len(sources)], how often each is drawn from; they sum to 1.
        size: side, pixels.
        rng: the only source of chance.
        config: chances and ranges.
    """
    figures = next((source for source in sources if isinstance(source, SpriteSource)), None)

    def drawn() -> Example:
        example = sources[rng.choice(len(sources), p=weights)].draw(rng)
        if figures is None or not config.paste or rng.random() >= config.paste:
            return example
        return figures.lay(example, int(rng.integers(1, 3)), (0.25, 1.0), rng)

    if rng.random() < config.mosaic:
        example = _mosaic([drawn() for _ in range(4)], size, rng, config)
    else:
        example = _crop(drawn(), (size, size), rng, config)
    image, boxes, kinds = example
    if rng.random() < 0.5:
        image = image[:, ::-1]
        boxes = np.stack([size - boxes[:, 2], boxes[:, 1], size - boxes[:, 0], boxes[:, 3]], 1)
    return _recoloured(np.ascontiguousarray(image), rng, config), boxes, kinds


def _mosaic(examples: list[Example], size: int, rng: np.random.Generator, config: AugmentConfig) -> Example:
    """Four crops around a point near the middle."""
    middle = (rng.uniform(0.3, 0.7, 2) * size).astype(int)
    image = np.empty((size, size, 3), np.uint8)
    all_boxes, all_kinds = [], []
    for number, example in enumerate(examples):
        top, bottom = ((0, middle[0]), (middle[0], size))[number // 2]
        left, right = ((0, middle[1]), (middle[1], size))[number % 2]
        part, boxes, kinds = _crop(example, (bottom - top, right - left), rng, config)
        image[top:bottom, left:right] = part
        all_boxes.append(boxes + np.array([left, top, left, top], np.float32))
        all_kinds.append(kinds)
    return image, np.concatenate(all_boxes), np.concatenate(all_kinds)


def _crop(example: Example, size: tuple[int, int], rng: np.random.Generator, config: AugmentConfig) -> Example:
    """A window of ``size`` of the picture at a random scale and position, padded with the mean."""
    image, boxes, kinds = example
    faces = boxes[kinds == FACE]
    fitting = min(size[0] / image.shape[0], size[1] / image.shape[1])
    focus = None
    if len(faces) and config.tiny and rng.random() < config.tiny:
        focus = faces[rng.integers(len(faces))]
        target = np.exp(rng.uniform(*np.log(config.tiny_sides)))
        ratio = min(4.0, float(target / max(1.0, np.sqrt(np.prod(focus[2:] - focus[:2])))))
    elif len(faces) and rng.random() < config.tile:
        focus = faces[rng.integers(len(faces))]
        ratio = _tile_ratio(focus, min(size), rng)
        ratio = float(np.clip(ratio, fitting / config.expand, 4.0))
    else:
        ratio = fitting * float(np.exp(rng.uniform(-np.log(config.expand), np.log(2 * config.zoom))))
    stretch = np.exp(rng.uniform(-1, 1) * np.log(config.aspect) / 2)
    ratios = np.array([ratio * stretch, ratio / stretch])  # x, y
    origin = _window(image.shape, size, ratios, focus, rng)
    window, ratios, shift = _cut(image, size, ratios, origin, rng)
    moved = boxes * np.tile(ratios, 2) + np.tile(shift, 2)
    return window, *_clipped(moved.astype(np.float32), kinds, size, config)


def _tile_ratio(face: FloatArray, size: int, rng: np.random.Generator) -> float:
    """Scale at which ``face`` has the size of an anchor that fits the window."""
    sides = [side for side in ANCHOR_SIDES if side <= size]
    target = sides[rng.integers(len(sides))] * np.exp(rng.uniform(-0.4, 0.4))
    return float(target / max(1.0, np.sqrt(np.prod(face[2:] - face[:2]))))


def _window(
    shape: tuple[int, ...],
    size: tuple[int, int],
    ratios: NDArray[np.float64],
    focus: FloatArray | None,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Top-left corner (x, y) of the window in picture pixels."""
    origin = np.empty(2)
    for axis, (length, window) in enumerate(((shape[1], size[1]), (shape[0], size[0]))):
        width = window / ratios[axis]
        low, high = min(0.0, length - width), max(0.0, length - width)
        if focus is not None and length > width:
            first, last = focus[axis], focus[axis + 2]
            low = float(np.clip(min(first, last - width), low, high))
            high = float(np.clip(max(first, last - width), low, high))
        origin[axis] = rng.uniform(low, high)
    return origin


def _cut(
    image: NDArray[np.uint8],
    size: tuple[int, int],
    ratios: NDArray[np.float64],
    origin: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """The window's pixels, and the exact ratios and shift (x, y) after rounding to whole pixels.

    Only the part of the picture inside the window is resized.
    """
    window = np.empty((*size, 3), np.uint8)
    window[:] = MEAN
    low = np.maximum(np.floor(origin), 0).astype(int)
    end = np.minimum(np.ceil(origin + np.array([size[1], size[0]]) / ratios), [image.shape[1], image.shape[0]]).astype(
        int
    )
    if (end <= low).any():
        return window, ratios, -origin * ratios
    corner = np.round((low - origin) * ratios).astype(int)
    extent = np.round((end - low) * ratios).astype(int).clip(1)
    interpolation = cv2.INTER_AREA if ratios.mean() < 1 and rng.random() < 0.8 else cv2.INTER_LINEAR
    part = cv2.resize(
        image[low[1] : end[1], low[0] : end[0]], (int(extent[0]), int(extent[1])), interpolation=interpolation
    )
    exact = extent / (end - low)
    shift = corner - low * exact
    before = np.minimum(-corner, extent - 1).clip(0)  # columns and rows left of and above the window
    part, corner = part[before[1] :, before[0] :], corner.clip(0)
    room = window[corner[1] : corner[1] + part.shape[0], corner[0] : corner[0] + part.shape[1]]
    room[:] = part[: room.shape[0], : room.shape[1]]
    return window, exact, shift


def _clipped(
    boxes: FloatArray, kinds: NDArray[np.int8], size: tuple[int, int], config: AugmentConfig
) -> tuple[FloatArray, NDArray[np.int8]]:
    """Boxes cut to the window; faces that became too small or too hidden are marked IGNORE."""
    limits = np.array([size[1], size[0], size[1], size[0]], np.float32)
    cut = boxes.clip(0, limits)
    sides = cut[:, 2:] - cut[:, :2]
    area = np.prod(boxes[:, 2:] - boxes[:, :2], 1)
    visible = np.prod(sides.clip(0), 1) / np.maximum(area, 1e-6)
    weak = (visible < config.least_visible) | (np.sqrt(np.prod(sides.clip(0), 1)) < config.least_face)
    kinds = np.where((kinds == FACE) & weak, IGNORE, kinds).astype(np.int8)
    inside = (sides > 1).all(1)
    return cut[inside], kinds[inside]


def _recoloured(image: NDArray[np.uint8], rng: np.random.Generator, config: AugmentConfig) -> NDArray[np.uint8]:
    """The picture with another brightness, colour, sharpness or encoding."""
    if config.line_art and rng.random() < config.line_art:
        image = line_art(image, rng)
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hue, saturation = rng.integers(-12, 13), rng.uniform(0.6, 1.5)
        hsv[..., 0] = cv2.LUT(hsv[..., 0], ((np.arange(256) + hue) % 180).astype(np.uint8))
        hsv[..., 1] = cv2.LUT(hsv[..., 1], (np.arange(256) * saturation).clip(0, 255).astype(np.uint8))
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if rng.random() < 0.6:
        curve = (
            ((np.arange(256) / 255) ** rng.uniform(0.7, 1.4) - 0.5) * rng.uniform(0.6, 1.3)
            + 0.5
            + rng.uniform(-0.12, 0.12)
        )
        image = cv2.LUT(image, (curve * 255).clip(0, 255).astype(np.uint8))
    if config.film and rng.random() < config.film:
        return _compressed(old_film(image, rng), rng, config)
    if rng.random() < config.grey:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < config.blur:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < config.grain:
        noise = rng.normal(0, rng.uniform(2, 14), image.shape[:2]).astype(np.float32)[..., None]
        image = (image + noise).clip(0, 255).astype(np.uint8)
    return _compressed(image, rng, config)


def _compressed(image: NDArray[np.uint8], rng: np.random.Generator, config: AugmentConfig) -> NDArray[np.uint8]:
    if rng.random() >= config.compression:
        return image
    quality = int(rng.integers(15, 70))
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
