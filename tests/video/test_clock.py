from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import pytest

from acfd_stream.video.clock import LEADING_FRAMES, MOST_REORDERED, FrameTime, frame_times, inferred_times

STEP = Fraction(10)


def timed(*pts: int | None, dts: Sequence[int | None] = (), step: Fraction = STEP, origin: int = 0) -> list[FrameTime]:
    found = list(frame_times(zip(range(len(pts)), pts, dts or [None] * len(pts), strict=True), step, origin))
    assert [place for place, _ in found] == list(range(len(pts)))  # nothing lost, nothing reordered
    return [time for _, time in found]


def filled(*pts: int | None, step: Fraction = STEP, origin: int = 0) -> list[tuple[int, bool]]:
    return [(time.pts, time.is_filled) for time in timed(*pts, step=step, origin=origin)]


@pytest.mark.parametrize("pts", [(0, 10, 20), (5, 7, 1000), (-30, 0), ()])
def test_times_that_rise_are_never_touched(pts: tuple[int, ...]) -> None:
    assert timed(*pts) == [FrameTime(value, False) for value in pts]


def test_a_gap_is_counted_on_from_the_frame_before_it() -> None:
    assert filled(100, None, None, 131) == [(100, False), (110, True), (120, True), (131, False)]


def test_a_time_after_a_gap_that_was_filled_too_far_is_moved_behind_it() -> None:
    assert timed(100, None, None, 118, 130)[2:] == [FrameTime(120, True), FrameTime(121, True), FrameTime(130, False)]


def test_leading_frames_are_counted_back_from_the_first_time() -> None:
    assert filled(None, None, 100) == [(80, True), (90, True), (100, False)]


def test_leading_frames_never_fall_below_zero_by_accident() -> None:
    assert filled(None, None, 12) == [(0, True), (6, True), (12, False)]
    assert filled(None, 0) == [(0, True), (1, True)]
    assert filled(None, -5) == [(-15, True), (-5, False)]


@pytest.mark.parametrize("count", [1, LEADING_FRAMES, LEADING_FRAMES + 1, 50])
def test_a_stream_without_times_is_counted_from_its_origin_without_drift(count: int) -> None:
    step = Fraction(1001, 30)
    expected = [(7 + round(step * place), True) for place in range(count)]
    assert filled(*[None] * count, step=step, origin=7) == expected
    assert [(time.pts, time.is_filled) for time in inferred(*[None] * count, step=step, origin=7)] == expected


@pytest.mark.parametrize("pts", [(0, 10, 10, 30), (0, 40, 30, 20, 50), (0, 10, 9, 8, 7, 60)])
def test_times_never_go_back_and_never_come_twice(pts: tuple[int, ...]) -> None:
    found = timed(*pts)
    assert all(earlier.pts < later.pts for earlier, later in pairwise(found))
    assert found[0] == FrameTime(0, False)
    assert [time.went_back for time in found if time.went_back is not None] != []


def test_times_in_the_order_of_decoding_are_replaced_by_those_of_the_packets_that_complete_the_frames() -> None:
    frames = 3 * MOST_REORDERED
    shuffled = [index + (0, 2, 0, -1, -1)[index % 5] for index in range(frames)]
    found = timed(*(10 * value for value in shuffled), dts=[10 * index + 30 for index in range(frames)])
    assert [time.pts for time in found[4:]] == [10 * index for index in range(4, frames)]


def test_a_single_wrong_time_is_forgotten() -> None:
    pts = [10 * index for index in range(3 * MOST_REORDERED)]
    found = timed(*pts[:5], 35, *pts[6:], dts=pts)
    assert [time.pts for time in found] == pts
    assert [index for index, time in enumerate(found) if time.went_back is not None] == [5]
    assert not any(time.is_filled for time in found[6 + MOST_REORDERED :])


def test_a_clock_that_begins_again_goes_on_behind_the_last_frame() -> None:
    assert timed(1000, 1010, 0, 10, 30)[2:] == [FrameTime(1020, True, 0), FrameTime(1030, True), FrameTime(1050, True)]


def test_a_time_far_ahead_moves_only_the_frames_up_to_it() -> None:
    pts = [10 * index for index in range(80)]
    found = timed(*pts[:20], 500, *pts[21:], dts=pts)
    assert [time.pts for time in found[:24]] == [*pts[:20], 500, 501, 502, 503]
    assert [time.pts for time in found[54:]] == pts[54:]
    assert all(earlier.pts < later.pts for earlier, later in pairwise(found))
    assert found[21] == FrameTime(501, True, 210)


def test_times_of_half_a_unit_rise() -> None:
    found = timed(*(index // 2 for index in range(100)), dts=[index // 2 for index in range(100)], step=Fraction(1, 2))
    assert [time.pts for time in found] == list(range(100))


def inferred(*dts: int | None, step: Fraction = STEP, origin: int = 0, first_pts: int | None = None) -> list[FrameTime]:
    pts = [first_pts, *[-1] * (len(dts) - 1)]  # only the first one counts
    found = list(inferred_times(zip(range(len(dts)), pts, dts, strict=False), step, origin))
    assert [place for place, _ in found] == list(range(len(dts)))
    assert all(time.is_filled and time.went_back is None for _, time in found)
    return [time for _, time in found]


def test_inferred_times_are_those_of_the_packets_without_the_delay_of_the_decoder() -> None:
    found = inferred(20, 30, 40, 70, 80, None, None, first_pts=0)  # three packets without pictures, two left at the end
    assert [time.pts for time in found] == [0, 10, 20, 50, 60, 70, 80]


def test_inferred_times_are_not_rounded_twice() -> None:
    step = Fraction(1000, 24)
    dts = [round(step * index) for index in range(1, 101)]
    assert [time.pts for time in inferred(*dts, step=step, first_pts=0)] == [
        round(step * place) for place in range(100)
    ]


def test_inferred_times_of_a_variable_rate_are_kept() -> None:
    dts = [20, 30, 55, 100, 104]
    assert [time.pts for time in inferred(*dts, first_pts=10)] == [10, 20, 45, 90, 94]


@pytest.mark.parametrize("dts", [(10, 10, 20), (30, 20, 10), (None, 5, 5, 5)])
def test_inferred_times_rise_whatever_the_packets_say(dts: tuple[int | None, ...]) -> None:
    found = inferred(*dts, step=Fraction(1, 3))
    assert all(earlier.pts < later.pts for earlier, later in pairwise(found))
