"""Crops are the right square of the upright picture, from any layout of planes; qualities rank as an eye would."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from acfd_stream.identity.crops import box_qualities, crop_of, sharpness
from acfd_stream.ops import thumbnail
from acfd_stream.types import Picture, PixelFormat

SIZE = (240, 320)
BOX = [100.0, 60.0, 180.0, 140.0]
"""Its square of 144 pixels is 68 … 212 by 28 … 172."""


def picture_rgb() -> np.ndarray:
    """uint8 [240, 320, 3]: soft colours, which sampling moves little."""
    rows, columns = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    return np.stack([columns * 255 // 319, rows * 255 // 239, (rows + columns) * 255 // 558], axis=-1).astype(np.uint8)


def in_yuv(rgb: np.ndarray, pixel_format: PixelFormat) -> Picture:
    """BT.601, full range."""
    red, green, blue = (rgb[..., i].astype(float) for i in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    u, v = 128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402
    u, v = (c.reshape(c.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3)) for c in (u, v))
    planes = [np.clip(np.round(c), 0, 255).astype(np.uint8) for c in (luma, u, v)]
    if pixel_format is PixelFormat.NV12:
        planes = [planes[0], np.stack(planes[1:], axis=-1)]
    return Picture(tuple(planes), pixel_format, rgb.shape[:2], is_full_range=True)


@pytest.mark.parametrize("pixel_format", PixelFormat)
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_crop_is_the_square_of_the_upright_picture(pixel_format: PixelFormat, rotation: int) -> None:
    rgb = np.ascontiguousarray(np.rot90(picture_rgb(), rotation // 90))
    picture = Picture.from_rgb(rgb) if pixel_format is PixelFormat.RGB24 else in_yuv(rgb, pixel_format)
    turned = replace(picture, rotation=rotation, display_size=SIZE)
    expected = thumbnail(turned, SIZE)[28:172, 68:212]
    assert np.abs(expected.astype(int) - picture_rgb()[28:172, 68:212]).max() <= 6  # the test's own turning is right
    assert np.abs(crop_of(turned, BOX).astype(int) - expected).max() <= 6


def test_pixels_that_are_not_square_are_stretched() -> None:
    wide = replace(Picture.from_rgb(picture_rgb()), display_size=(240, 640))
    box = [200.0, 60.0, 280.0, 140.0]  # 168 … 312 of 640 are 84 … 156 of 320
    assert np.abs(crop_of(wide, box).astype(int)[:, ::2] - picture_rgb()[28:172, 84:156]).max() <= 6


def test_outside_the_picture_is_black_and_inside_is_not() -> None:
    white = Picture.from_rgb(np.full((*SIZE, 3), 255, np.uint8))
    crop = crop_of(white, [0.0, 0.0, 80.0, 80.0])  # the square begins 32 pixels outside
    assert (crop[:32] == 0).all()
    assert (crop[:, :32] == 0).all()
    assert (crop[32:, 32:] == 255).all()
    assert (crop_of(white, [-500.0, 0.0, -420.0, 80.0]) == 0).all()


@pytest.mark.parametrize("box", [[10.3, 10.7, 11.0, 11.0], [0.0, 0.0, 320.0, 240.0], [316.0, 236.0, 320.0, 240.0]])
def test_odd_boxes_have_a_crop(box: list[float]) -> None:
    for pixel_format in (PixelFormat.YUV420P, PixelFormat.NV12):
        assert crop_of(in_yuv(picture_rgb(), pixel_format), box).shape == (144, 144, 3)


def test_qualities_rank_size_score_edge_and_cover() -> None:
    boxes = np.array(
        [[100, 100, 180, 180], [300, 100, 340, 140], [600, 100, 640, 140], [110, 110, 190, 190]], np.float32
    )
    alone = box_qualities(boxes[:3], np.array([0.9, 0.9, 0.9], np.float32), (480, 640))
    assert alone == pytest.approx([0.9, 0.45, 0.225])
    unsure = box_qualities(boxes[:1], np.array([0.6], np.float32), (480, 640))
    assert unsure == pytest.approx([0.6])
    covered = box_qualities(boxes[[0, 3]], np.array([0.9, 0.9], np.float32), (480, 640))
    assert covered == pytest.approx([0.9 * (1 - 0.7 * (70 / 80) ** 2)] * 2)
    assert box_qualities(boxes[:0], np.zeros(0, np.float32), (480, 640)).shape == (0,)


def test_clear_lines_are_sharper_than_soft_ones() -> None:
    _, columns = np.mgrid[0:144, 0:144]
    lines = np.repeat(((columns // 8 % 2) * 200)[..., None], 3, axis=2).astype(np.uint8)
    soft = np.repeat((100 + 80 * np.sin(columns / 8))[..., None], 3, axis=2).astype(np.uint8)
    assert sharpness(lines) > 0.9 > sharpness(soft) > sharpness(np.full_like(lines, 90)) == 0.0
