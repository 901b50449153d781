"""The records of ``csrc/cuda_jobs.h`` and ``csrc/box_math.h`` as NumPy dtypes; a test compares the layouts.

CuPy's arrays hold no records, so on the device they are bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

AXIS_TAPS = np.dtype(
    [
        ("first", "u8"),
        ("weights", "u8"),
        ("taps", "i4"),
        ("tap_step", "i4"),
        ("output_step", "i4"),
        ("samples", "i4"),
    ]
)
COLOR_TRANSFORM = np.dtype(
    [(name, "i4") for name in ("luma", "red_v", "green_u", "green_v", "blue_u", "black", "grey")]
)
LETTERBOX_PICTURE = np.dtype(
    [
        ("planes", "u8", 3),
        ("tone", "u8"),
        ("row_bytes", "i4", 3),
        ("unused", "i4"),
        ("rows", AXIS_TAPS, 2),
        ("columns", AXIS_TAPS, 2),
        ("content_height", "i4"),
        ("content_width", "i4"),
        ("layout", "i4"),
        ("bit_depth", "i4"),
        ("rotation", "i4"),
        ("color", COLOR_TRANSFORM),
    ]
)
NETWORK_TENSOR = np.dtype(
    [
        ("picture_step", "i8"),
        ("row_step", "i4"),
        ("column_step", "i4"),
        ("channel_step", "i4"),
        ("height", "i4"),
        ("width", "i4"),
        ("element_bytes", "i4"),
        ("pad", "i4", 3),
        ("unused", "i4"),
    ]
)
ANCHOR_LEVEL = np.dtype([("stride", "i4"), ("side", "f4"), ("height", "i4"), ("width", "i4")])
VIEW_PLACEMENT = np.dtype(
    [
        (name, "f4")
        for name in ("content_width", "content_height", "ratio_x", "ratio_y", "display_width", "display_height")
    ]
)
CANDIDATE_COUNT = np.dtype([("kept", "i4"), ("passed", "i4")])
FACE_COUNT = np.dtype([("count", "i4"), ("is_truncated", "i4"), ("cut_score", "f4"), ("unused", "i4")])
FACE_ROW = np.dtype([("box", "f4", 4), ("score", "f4"), ("index", "i4")])


def record(kind: np.dtype[Any], values: Sequence[Any]) -> Any:
    """One record of ``kind``, field by field."""
    row = np.zeros((), kind)
    for name, value in zip(kind.names or (), values, strict=True):
        row[name] = value
    return row[()]


def as_bytes(rows: NDArray[Any]) -> NDArray[np.uint8]:
    """Records [N] as uint8 [N, bytes of one], over the same memory."""
    return rows.view(np.uint8).reshape(rows.shape[0], rows.dtype.itemsize)
