"""Checks of values that come back from storage or from a client: of a checkpoint, which may be damaged or forged.

Each function returns the value, and raises ResumeError with its name, what is there and what is allowed.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Mapping, Sized
from enum import Enum
from typing import Any, NoReturn, TypeVar

from acfd_stream.errors import ResumeError

E = TypeVar("E", bound=Enum)
MOST_COUNT = 2**31
"""Above every count of frames, tracks and packets; a stream of 60 frames a second reaches it in 414 days."""
MOST_PTS = 2**62
MOST_PIXELS = 1e7
"""Above every coordinate of a box, pixels: sides end at 65,535, and the pixel aspect stretches them."""
MOST_ITEMS = 2**16
"""Above every number of frames, tracks or faces that a state holds."""
_SHOWN_CHARACTERS = 40


def damaged(name: str, value: object, allowed: str) -> NoReturn:
    """Raise ResumeError."""
    shown = type(value).__name__
    if isinstance(value, int) and value.bit_length() > 64:  # to write one of many digits takes long
        shown = f"a number of {value.bit_length()} bits"
    elif isinstance(value, int | float | str | None):
        shown = repr(value if not isinstance(value, str) else value[:_SHOWN_CHARACTERS])
    raise ResumeError(f"checkpoint is damaged: {name} must be {allowed}, got {shown}; begin at the beginning")


def whole(value: Any, name: str, least: int = 0, most: int = MOST_COUNT) -> int:
    """A whole number in least … most."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        damaged(name, value, f"a whole number in {least} … {most}")
    return value


def pts(value: Any, name: str) -> int:
    """A time in units of a time base."""
    return whole(value, name, -MOST_PTS, MOST_PTS)


def real(value: Any, name: str, least: float = -MOST_PIXELS, most: float = MOST_PIXELS) -> float:
    """A finite number in least … most."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:  # NaN is not, too
        damaged(name, value, f"a number in {least:g} … {most:g}")
    return float(value)


def flag(value: Any, name: str) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        damaged(name, value, "true or false")
    return value


def text(value: Any, name: str, most: int) -> str:
    """At most ``most`` characters."""
    if not isinstance(value, str) or len(value) > most:
        damaged(name, value, f"a text of at most {most} characters")
    return value


def data(value: Any, name: str, count: int) -> bytes:
    """``count`` bytes, which are stored in base64."""
    found = None
    if isinstance(value, str) and len(value) == (count + 2) // 3 * 4:
        with contextlib.suppress(ValueError):
            found = base64.b64decode(value, validate=True)
    if found is None or len(found) != count:
        damaged(name, value, f"{count} bytes in base64")
    return found


def items(value: Any, name: str, most: int, least: int = 0) -> list[Any]:
    """A list of least … most values."""
    if not isinstance(value, list | tuple):
        damaged(name, value, "a list")
    if not least <= len(value) <= most:
        damaged(name, len(value), f"a list of {least} … {most} values")
    return list(value)


def fields(value: Any, name: str, *needed: str) -> Mapping[str, Any]:
    """A mapping that has the keys ``needed``."""
    if not isinstance(value, Mapping) or not all(key in value for key in needed):
        damaged(name, type(value).__name__, f"a mapping with {', '.join(needed)}")
    return value


def member(value: Any, name: str, kind: type[E]) -> E:
    """The member of an Enum with this value."""
    known = {each.value: each for each in kind}
    if not isinstance(value, str) or value not in known:
        damaged(name, value, f"one of {', '.join(known)}")
    return known[value]


def same_count(name: str, *values: Sized) -> None:
    """Require lists of the same length."""
    if len(lengths := {len(each) for each in values}) > 1:
        damaged(name, f"{min(lengths)} and {max(lengths)}", "lists of the same length")


def box(value: Any, name: str) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 in pixels, x1 <= x2 and y1 <= y2."""
    x1, y1, x2, y2 = (real(side, name) for side in items(value, name, 4, 4))
    if x1 > x2 or y1 > y2:
        damaged(name, value, "a box whose corners are in order")
    return x1, y1, x2, y2


def score(value: Any, name: str) -> float:
    """In [0, 1]."""
    return real(value, name, 0.0, 1.0)
