"""Labels and captions can be read, in every height and at every edge."""

from __future__ import annotations

import numpy as np
import pytest

from acfd_stream.drawing import _draw_text, _text_mask, draw_caption, draw_label

COLOR = (250, 200, 9)


@pytest.mark.parametrize("height", [10, 16, 48])
def test_capitals_have_their_height_and_only_descenders_go_below(height: int) -> None:
    for text in ("0", "H", "7"):
        rows = np.flatnonzero(_text_mask(text, height).max((1, 2)) > 0.5)
        assert abs(rows[0]) <= max(1, height // 10)
        assert abs(rows[-1] + 1 - height) <= max(1, height // 20)
    assert np.flatnonzero(_text_mask("p", height).max((1, 2)) > 0.5)[-1] >= height + 1


@pytest.mark.parametrize("place", [(-5, -7), (30, 55), (-100, 0), (100, 0), (0, 100)])
def test_what_lies_beyond_the_edge_is_left_out(place: tuple[int, int]) -> None:
    whole = np.zeros((300, 400, 3), np.uint8)
    _draw_text(whole, "12:34", (150 + place[0], 150 + place[1]), 20, COLOR)
    image = np.zeros((40, 60, 3), np.uint8)
    _draw_text(image, "12:34", place, 20, COLOR)
    assert np.array_equal(image, whole[150:190, 150:210])


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2), (40, 60)])
@pytest.mark.parametrize("text", ["", "1  0.98", "Vélma  0.98"])
def test_any_text_fits_on_any_picture(size: tuple[int, int], text: str) -> None:
    image = np.zeros((*size, 3), np.uint8)
    draw_label(image, (-3.0, -3.0, 1000.0, 1000.0), text, COLOR)
    draw_caption(image, text)
