"""The time of each frame: times of the container are kept, missing ones are filled in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TypeVar

T = TypeVar("T")

LEADING_FRAMES = 16
"""Most frames without a pts at the beginning that are held until a frame with a pts comes."""


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
