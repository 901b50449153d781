"""Faces as result files store them: names, rounding and columns derive from the fields of ``types.Face``.

Rounding is part of every format, so that the same input, model and settings give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acfd_stream.types import FACE_FIELDS, Face, FaceField

_DECIMALS = {each.attribute: each.decimals or 0 for each in FACE_FIELDS}
BOX_DECIMALS, SCORE_DECIMALS = _DECIMALS["box_xyxy"], _DECIMALS["score"]
_OMITTED = ("character", "name")  # in JSON, where they are unknown
_CORNERS = ("x1", "y1", "x2", "y2")


def rounded(value: float, decimals: int) -> float:
    """``value`` rounded to ``decimals``, never minus zero."""
    return round(float(value), decimals) + 0.0


def rounded_box(box_xyxy: tuple[float, float, float, float]) -> list[float]:
    """[x1, y1, x2, y2] as result files store it, pixels."""
    return [rounded(value, BOX_DECIMALS) for value in box_xyxy]


def face_values(face: Face) -> dict[str, Any]:
    """Name → value of the fields of ``face``, as JSON formats store them."""
    values = {each: _stored(each, face) for each in FACE_FIELDS}
    return {each.name: value for each, value in values.items() if value or each.attribute not in _OMITTED}


def face_of(values: Mapping[str, Any]) -> Face:
    """The face that ``face_values`` stored, as exact as ``values`` are; a missing field has its default.

    Raises:
        TypeError, ValueError: a value has the wrong type, or a field without a default is missing.
    """
    return Face(**{each.attribute: each.kind(values[each.name]) for each in FACE_FIELDS if each.name in values})


def face_columns() -> dict[str, type]:
    """Column → type of all fields, in order; a box has a column per side."""
    columns: dict[str, type] = {}
    for each in FACE_FIELDS:
        columns |= dict.fromkeys(_CORNERS, float) if each.kind is tuple else {each.attribute: each.kind}
    return columns


def face_row(face: Face) -> list[Any]:
    """The values of ``face`` in the order of ``face_columns``."""
    row: list[Any] = []
    for each in FACE_FIELDS:
        value = _stored(each, face)
        row += value if each.kind is tuple else [value]
    return row


def _stored(each: FaceField, face: Face) -> Any:
    value = each.plain(face)
    if each.decimals is None:
        return value
    if each.kind is tuple:
        return [rounded(part, each.decimals) for part in value]
    return rounded(value, each.decimals)
