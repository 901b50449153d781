from __future__ import annotations

from fractions import Fraction

import pytest

from acfd_stream.video.clock import LEADING_FRAMES, fill_pts

STEP = Fraction(10)


def filled(*pts: int | None, step: Fraction = STEP, origin: int = 0) -> list[tuple[int, bool]]:
    items = list(enumerate(pts))
    found = list(fill_pts(items, step, origin))
    assert [place for place, _, _ in found] == list(range(len(pts)))  # nothing lost, nothing reordered
    return [(value, is_filled) for _, value, is_filled in found]


@pytest.mark.parametrize("pts", [(0, 10, 20), (5, 5, 3, -7, 1000), (-30, 0), ()])
def test_times_that_are_given_are_never_touched(pts: tuple[int, ...]) -> None:
    assert filled(*pts) == [(value, False) for value in pts]


def test_a_gap_is_counted_on_from_the_frame_before_it() -> None:
    assert filled(100, None, None, 131) == [(100, False), (110, True), (120, True), (131, False)]


def test_leading_frames_are_counted_back_from_the_first_time() -> None:
    assert filled(None, None, 100) == [(80, True), (90, True), (100, False)]


def test_leading_frames_never_fall_below_zero_by_accident() -> None:
    assert filled(None, None, 12) == [(0, True), (6, True), (12, False)]
    assert filled(None, 0) == [(0, True), (0, False)]
    assert filled(None, -5) == [(-15, True), (-5, False)]


@pytest.mark.parametrize("count", [1, LEADING_FRAMES, LEADING_FRAMES + 1, 50])
def test_a_stream_without_times_is_counted_from_its_origin_without_drift(count: int) -> None:
    step = Fraction(1001, 30)
    expected = [(7 + round(step * place), True) for place in range(count)]
    assert filled(*[None] * count, step=step, origin=7) == expected
