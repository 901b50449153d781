"""Results as a table, one row per face and frame: the columns and rows that Parquet and pandas share."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from acfd_stream.outputs.face_values import face_columns, face_row
from acfd_stream.types import FrameResult

_FACE_TYPES = {int: "int64", float: "float32", bool: "bool"}
COLUMNS = {
    "frame_index": "int64",
    "pts": "int64",
    "pts_seconds": "float64",
    "shown_seconds": "float64",
    "shot": "int32",
    **{name: _FACE_TYPES.get(kind, "string") for name, kind in face_columns().items()},
    "reused": "bool",
    "pts_filled": "bool",
    "truncated": "bool",
}
"""Column → type, as Arrow and NumPy name it."""


def face_rows(result: FrameResult, until_seconds: Fraction | None) -> list[tuple[Any, ...]]:
    """A row per face of ``result``, in the order of ``COLUMNS``.

    Args:
        result: one frame.
        until_seconds: presentation time at which it leaves the screen; None: unknown, ``shown_seconds`` is NaN.
    """
    begin = result.pts * result.time_base
    shown_seconds = float("nan") if until_seconds is None else max(0.0, float(until_seconds - begin))
    before = (result.index, result.pts, float(begin), shown_seconds, result.shot)
    after = (result.reused, result.is_pts_filled, result.is_truncated)
    return [(*before, *face_row(face), *after) for face in result.faces]
