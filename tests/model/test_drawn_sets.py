"""Tests for the drawn sets of pictures that evaluation uses."""

from __future__ import annotations

import numpy as np
import pytest

from acfd_stream.errors import ConfigError
from acfd_stream.model.toon.sets import LEAST_SIDE, SETS, draw_one, draw_set


@pytest.mark.parametrize("name", SETS)
def test_a_picture_depends_on_its_number_only(name: str) -> None:
    first, second = draw_set(name, 2, first=40)
    again = draw_one(name, 41)
    assert np.array_equal(second[0], again[0])
    assert np.array_equal(second[1], again[1])
    assert not np.array_equal(first[0], second[0])


@pytest.mark.parametrize("name", SETS)
def test_boxes_lie_in_the_picture_and_are_large_enough(name: str) -> None:
    for image, boxes in draw_set(name, 4, first=7):
        height, width = image.shape[:2]
        assert (boxes >= 0).all()
        assert (boxes[:, 2:] <= (width, height)).all()
        assert ((boxes[:, 2:] - boxes[:, :2]).min(1) >= LEAST_SIDE).all()


def test_an_old_film_has_one_tone() -> None:
    for image, _ in draw_set("oldfilms", 6, first=11):
        colours = image.reshape(-1, 3).astype(float)
        # one tone times a tint: the channels are multiples of one another
        assert np.corrcoef(colours.T).min() > 0.99


def test_an_unknown_set_is_named() -> None:
    with pytest.raises(ConfigError, match="crowds, lineart, small, oldfilms"):
        draw_one("opera", 0)
