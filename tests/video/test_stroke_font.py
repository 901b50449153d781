"""Labels and captions can be read, in every height and at every edge."""

from __future__ import annotations

import numpy as np
import pytest

from acfd_stream.video.stroke_font import draw_text, text_mask

WRITTEN = "0123456789.:-~shotp"
UNKNOWN = "x"


@pytest.mark.parametrize("height", [10, 16, 48])
def test_characters_differ_from_each_other_and_from_an_unknown_one(height: int) -> None:
    width = max(text_mask(character, height).shape[1] for character in WRITTEN + UNKNOWN)
    masks = {character: text_mask(character, height) for character in WRITTEN + UNKNOWN}
    masks = {key: np.pad(mask, ((0, 0), (0, width - mask.shape[1]))) for key, mask in masks.items()}
    for first in masks:
        assert masks[first].max() > 0.6
        for second in masks:
            assert first == second or np.abs(masks[first] - masks[second]).sum() > height / 8


def test_capitals_have_their_height_and_only_descenders_go_below() -> None:
    for character, last in (("0", 24), ("-", 24), ("p", 33)):
        rows = np.flatnonzero(text_mask(character, 24).max(1) > 0.1)
        assert rows[0] >= 0
        assert rows[-1] < last
    assert np.flatnonzero(text_mask("0", 24).max(1) > 0.5)[[0, -1]].tolist() == [0, 23]
    assert text_mask("", 24).shape[1] == 0


@pytest.mark.parametrize("place", [(-5, -7), (30, 55), (-100, 0), (100, 0), (0, 100)])
def test_what_lies_beyond_the_edge_is_left_out(place: tuple[int, int]) -> None:
    whole = np.zeros((300, 400, 3), np.uint8)
    draw_text(whole, "12:34", (150 + place[0], 150 + place[1]), 20, (250, 200, 9))
    image = np.zeros((40, 60, 3), np.uint8)
    draw_text(image, "12:34", place, 20, (250, 200, 9))
    assert np.array_equal(image, whole[150:190, 150:210])
