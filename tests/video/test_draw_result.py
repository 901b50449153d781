"""The label of a face: the name as far as the font can draw it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from acfd_stream.types import Face, FrameResult
from acfd_stream.video.draw_result import draw_result


def drawn(name: str, character: int = 7) -> bytes:
    image = np.zeros((180, 320, 3), np.uint8)
    face = Face(1, (40.0, 60.0, 120.0, 140.0), 0.9, character=character, name=name)
    draw_result(image, FrameResult(0, 0, Fraction(1, 24), 0.0, (face,)), (1.0, 1.0))
    return image.tobytes()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Zoé", "Zoe"),
        ("👩\u200d🚀 Daphne", "Daphne"),
        ("Velma\u3000Ⅱ", "Velma II"),
        ("桜木", ""),
        ("\x1b", ""),
        ("…", ""),
    ],
)
def test_a_name_is_drawn_without_what_the_font_lacks(name: str, shown: str) -> None:
    assert drawn(name) == drawn(shown)
    assert drawn("Zoe") != drawn("")
    assert drawn("", 7) != drawn("", 8)  # who has no name has a number
