"""The time of each frame: times of the container are kept, missing ones are filled in, and all of them rise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple, TypeVar

T = TypeVar("T")
Untimed = tuple[T, int | None, int | None]
"""A frame, its pts, and the dts of the packet on which the decoder returned it."""

LEADING_FRAMES = 16
"""Most frames without a pts at the beginning that are held until a frame with a pts comes."""
MOST_REORDERED = 16
"""Most frames by which the order of decoding differs from that of presentation, in any codec."""


class FrameTime(NamedTuple):
    """The time of a frame in units of the time base."""

    pts: int
    is_filled: bool  # not the container's
    went_back: int | None = None  # the container's pts, if it is replaced because it is not after the frame before


def frame_times(items: Iterable[Untimed[T]], step: Fraction, origin: int) -> Iterator[tuple[T, FrameTime]]:
    """Each frame with its time, for containers with presentation times; nothing is reordered.

    A missing pts is filled as ``fill_pts`` does. A pts that is not after the frame before is replaced: decoders return
    frames in display order, so it is wrong. The dts of the packet that completed the frame takes its place, less the
    delay of the first frame, until the container's pts rise again for ``MOST_REORDERED`` frames. A clock that goes back
    by more frames, also behind the last frame but one, begins again: its times are moved behind the last frame. After
    a single time that is far ahead, frames follow each other by one unit until the container's pts have reached it.

    Args:
        items: frames in display order.
        step: a frame's duration by the frame rate, in units of the time base, > 0.
        origin: pts of the first frame if none of the first ``LEADING_FRAMES`` has one.
    """
    last: int | None = None
    most_back, whole_step = step * MOST_REORDERED, max(round(step), 1)
    delay: int | None = None  # of the decoder
    was_filled = False
    distrusted = 0  # frames for which the container's pts are not used
    shift = 0  # of a clock that began again
    before: list[int] = []  # the container's pts of the last two frames
    for (item, dts), given, is_filled in fill_pts((((item, dts), pts) for item, pts, dts in items), step, origin):
        if delay is None and dts is not None and not is_filled:
            delay = dts - given
        pts, goes_back = given + shift, False
        if last is not None:
            goes_back = pts <= last and not is_filled and not was_filled
            if before and given <= before[-1] - most_back and given <= before[0]:
                pts, distrusted = last + whole_step, 0
                shift = pts - given
            else:
                distrusted = MOST_REORDERED if goes_back else max(distrusted - 1, 0)
            if distrusted and pts > last - most_back:
                pts = last + whole_step if dts is None or delay is None else dts - delay + shift
            pts = max(pts, last + 1)
        last, was_filled, before = pts, is_filled, [*before[-1:], given]
        yield item, FrameTime(pts, is_filled or pts != given, given if goes_back else None)


def inferred_times(items: Iterable[Untimed[T]], step: Fraction, origin: int) -> Iterator[tuple[T, FrameTime]]:
    """Each frame with a time of presentation order, for containers without presentation times; nothing is reordered.

    The dts of the packets that complete the frames rise with the frames, a constant delay later. Therefore the first
    frame is shown at its pts, which is the dts of its own packet, and each later one as long after it as their packets
    are apart; a frame without a dts follows the frame before by one step.

    Args:
        items: frames in display order; the pts are used of the first one only.
        step: a frame's duration by the frame rate, in units of the time base, > 0.
        origin: earliest time of the first frame, and its time if it has no pts.
    """
    shown = -step  # from the first frame to the last one
    begin = last = 0
    begin_dts: int | None = None
    for item, pts, dts in items:
        if shown < 0:
            begin = origin if pts is None else max(pts, origin)
            last = begin - 1
        if begin_dts is None and dts is not None:
            begin_dts = dts - round(shown + step)
        shown = _after(shown, step, None if dts is None or begin_dts is None else dts - begin_dts)
        last = max(begin + round(shown), last + 1)
        yield item, FrameTime(last, True)


def _after(shown: Fraction, step: Fraction, elapsed: int | None) -> Fraction:
    """The time of the next frame: ``elapsed``, on the grid of the frame rate where it is rounded to the time base."""
    if elapsed is None or elapsed <= shown:
        return shown + step
    nearest = round(elapsed / step) * step
    return nearest if abs(nearest - elapsed) <= 1 and nearest > shown else Fraction(elapsed)


def fill_pts(items: Iterable[tuple[T, int | None]], step: Fraction, origin: int) -> Iterator[tuple[T, int, bool]]:
    """Each item with its pts, and whether that was filled in; nothing is reordered or changed.

    A missing pts is the last one that was given plus ``step`` a frame. At the beginning it is counted back from the
    first one that is given, in shorter steps where whole ones would fall below zero.

    Args:
        items: frames in display order, each with the container's pts or None.
        step: a frame's duration by the frame rate, in units of the time base, > 0.
        origin: pts of the first frame if none of the first ``LEADING_FRAMES`` has one.
    """
    leading: list[T] = []
    anchor: int | None = None  # the last pts that was given, and how many frames ago
    frames_since = 0
    for item, pts in items:
        if pts is not None:
            yield from _before(leading, pts, step)
            leading, anchor, frames_since = [], pts, 0
            yield item, pts, False
        elif anchor is None and len(leading) < LEADING_FRAMES:
            leading.append(item)
        else:
            if anchor is None:
                yield from _counted(leading, origin, step)
                anchor, frames_since, leading = origin, len(leading) - 1, []
            frames_since += 1
            yield item, anchor + round(step * frames_since), True
    yield from _counted(leading, origin, step)


def _before(leading: list[T], first_pts: int, step: Fraction) -> Iterator[tuple[T, int, bool]]:
    if first_pts >= 0 and leading:
        step = min(step, Fraction(first_pts, len(leading)))
    for index, item in enumerate(leading):
        yield item, first_pts - round(step * (len(leading) - index)), True


def _counted(items: list[T], origin: int, step: Fraction) -> Iterator[tuple[T, int, bool]]:
    for index, item in enumerate(items):
        yield item, origin + round(step * index), True
