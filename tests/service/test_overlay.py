"""A look at a stream: one frame is held, only while somebody looks, and drawn by whoever looks."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from acfd_stream.service.streams.preview import LONGER_SIDE, REDRAW_SECONDS, VIEW_SECONDS, Preview
from acfd_stream.types import Face, FrameResult
from acfd_stream.video.frame import Frame
from tests.clock import Clock
from tests.service.scene import grey_picture


@pytest.fixture
def window(clock: Clock) -> Preview:
    return Preview(clock)


def show(window: Preview, index: int, size: tuple[int, int] = (90, 160)) -> None:
    face = Face(1, (size[1] * 0.25, size[0] * 0.25, size[1] * 0.75, size[0] * 0.75), 0.9)
    frame = Frame(index, index, Fraction(1, 24), grey_picture(size))
    window.show(frame, FrameResult(index, index, Fraction(1, 24), index / 24, (face,)))


def test_without_lookers_no_pixel_is_kept(window: Preview) -> None:
    show(window, 0)
    assert not window.is_wanted
    assert window._last is None


def test_a_look_wakes_it_and_the_next_frame_is_seen(window: Preview) -> None:
    assert window.jpeg() is None
    assert window.is_wanted
    show(window, 1)
    data = window.jpeg()
    assert data is not None
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (90, 160, 3)
    assert np.ptp(image) > 100  # the box


def test_it_is_scaled_down_in_its_proportions(window: Preview) -> None:
    window.jpeg()
    show(window, 0, (1080, 1920))
    data = window.jpeg()
    assert data is not None
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (
        LONGER_SIDE * 9 // 16,
        LONGER_SIDE,
        3,
    )


def test_pixels_are_given_back_when_nobody_looks_any_more(window: Preview, clock: Clock) -> None:
    window.jpeg()
    show(window, 0)
    clock.now += VIEW_SECONDS
    show(window, 1)
    assert not window.is_wanted
    assert window._last is window._drawn is None


def test_many_lookers_cost_one_drawing(window: Preview, clock: Clock) -> None:
    window.jpeg()
    show(window, 0)
    first = window.jpeg()
    show(window, 1)
    assert window.jpeg() is first
    clock.now += REDRAW_SECONDS
    assert window.jpeg() is not first


def test_a_stream_that_is_over_shows_nothing(window: Preview) -> None:
    window.jpeg()
    show(window, 0)
    window.close()
    assert window.jpeg() is None
    show(window, 1)
    assert window._last is None
