"""The base of config dataclasses: they check the types and the ranges of their own values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, TypeVar, cast

from acfd_stream.errors import ConfigError

T = TypeVar("T")

_KINDS: dict[str, type | UnionType | tuple[type, ...]] = {  # by the annotation of a field
    "int": Integral,
    "float": Real,
    "float | None": (Real, NoneType),
    "str": str,
    "tuple[int, ...]": tuple | list,
}


MOST_FLOAT = 4e9
"""Maximum size of a number of type float. As seconds it is 126 years; the system's clocks take little more."""
MOST_INT = 2**63 - 1
"""Maximum size of a whole number."""
_SHOWN_SIGNS = 200


def require(condition: bool, name: str, got: object, allowed: str) -> None:
    """Raise ConfigError(name, got, allowed) unless ``condition`` holds."""
    if not condition:
        raise ConfigError(f"{name} must be {allowed}, got {_shown(got)}")


def is_between(value: object, least: float, most: float) -> bool:
    """Whether ``value`` is a number in [least, most], of Python or of NumPy."""
    return isinstance(value, Real) and least <= cast("float", value) <= most


def require_whole(value: object, name: str) -> None:
    """Raise ConfigError unless ``value`` is a whole number of 64 bits."""
    is_whole = isinstance(value, Integral) and is_between(value, -MOST_INT, MOST_INT)
    require(is_whole, name, value, "a whole number of 64 bits")


def require_min_score(score: object) -> None:
    """Raise ConfigError unless ``score`` is a number in [0, 1]."""
    require(is_between(score, 0.0, 1.0), "min_score", score, "in [0, 1]")


def from_mapping(cls: type[T], values: Mapping[str, Any]) -> T:
    """An instance of the config dataclass ``cls`` from ``values``; unknown keys are errors."""
    known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{cls.__name__} has no setting {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    return cls(**values)


def or_default(value: T | None, name: str, kind: type[T]) -> T:
    """``value``, or ``kind()`` for None. Raises ConfigError(name, value, kind) if it is something else."""
    require(value is None or isinstance(value, kind), name, value, f"a {kind.__name__}")
    return kind() if value is None else value


def _shown(value: object) -> str:
    """``value`` as Python writes it, shortened."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits; thousands of nested tables
        return f"{type(value).__name__} that is too long to show"
    return text if len(text) <= _SHOWN_SIGNS else f"{text[:_SHOWN_SIGNS]}…"


class Checked:
    """A config dataclass whose ``_check`` finds numbers and names of the annotated types.

    The module of a subclass needs ``from __future__ import annotations``.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value: Any = getattr(self, field.name)
            require(isinstance(value, _KINDS.get(str(field.type), object)), field.name, value, f"of type {field.type}")
        self._check()
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            most = MOST_INT if str(field.type) == "int" else MOST_FLOAT
            is_small = not isinstance(value, Real) or abs(getattr(self, field.name)) <= most
            require(is_small, field.name, value, f"a number of at most {most:g}")

    def _check(self) -> None:
        """Raise ConfigError for a value that is out of its range."""

    def _require_least(self, least: int, *names: str) -> None:
        for name in names:
            require(least <= getattr(self, name) < math.inf, name, getattr(self, name), f">= {least}")

    def _require_between(self, least: int, most: int, *names: str) -> None:
        for name in names:
            require(least <= getattr(self, name) <= most, name, getattr(self, name), f"in {least} … {most}")

    def _require_positive(self, *names: str) -> None:
        for name in names:
            require(0 < getattr(self, name) < math.inf, name, getattr(self, name), "> 0")

    def _require_share(self, *names: str) -> None:
        for name in names:
            require(0 < getattr(self, name) <= 1, name, getattr(self, name), "in (0, 1]")
