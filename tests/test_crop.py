"""``Face.crop`` cuts a face out of every kind of picture."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from acfd_stream import Face, Frame, Picture
from acfd_stream.errors import ShapeError

RGB = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
FRAME = Frame(0, 0, Fraction(1, 24), Picture.from_rgb(RGB))


def face(*box: float) -> Face:
    x1, y1, x2, y2 = box
    return Face(1, (x1, y1, x2, y2), 0.9)


def test_a_crop_is_the_box_of_the_face() -> None:
    found = face(4.4, 2.6, 14, 12).crop(RGB)
    assert np.array_equal(found, RGB[3:12, 4:14])
    assert not np.shares_memory(found, RGB)
    assert np.array_equal(face(4.4, 2.6, 14, 12).crop(FRAME), found)
    pil = face(4.4, 2.6, 14, 12).crop(Image.fromarray(RGB))
    assert isinstance(pil, Image.Image)
    assert np.array_equal(np.asarray(pil), found)


def test_a_margin_is_a_share_of_the_box_and_ends_at_the_edge() -> None:
    assert np.array_equal(face(10, 8, 20, 12).crop(RGB, margin=0.5), RGB[6:14, 5:25])
    assert np.array_equal(face(0, 0, 10, 10).crop(RGB, margin=3.0), RGB)
    assert np.array_equal(face(2, 2, 10, 10).crop(RGB, margin=1e308), RGB)


@pytest.mark.parametrize("box", [(5, 5, 5, 5), (29.9, 19.9, 30, 20), (40, 50, 60, 70), (-9, -9, -5, -5)])
def test_a_box_without_a_pixel_gives_one(box: tuple[float, ...]) -> None:
    assert face(*box).crop(RGB).shape == (1, 1, 3)


def test_what_is_no_picture_or_margin_is_named() -> None:
    with pytest.raises(ShapeError, match=r"^image must be a Frame, uint8 \[H, W, 3\] RGB or a PIL image, got list$"):
        face(0, 0, 9, 9).crop([])  # type: ignore[call-overload]
    for margin in (-0.1, float("nan"), float("inf"), "0.25", None, [1]):
        with pytest.raises(ShapeError, match=r"^margin must be >= 0 and finite, got "):
            face(0, 0, 9, 9).crop(RGB, margin=margin)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="planes"):
        face(0, 0, 9, 9).crop(Frame(0, 0, Fraction(1), Picture((), FRAME.picture.pixel_format, (20, 30))))
