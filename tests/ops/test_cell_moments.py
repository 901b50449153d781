"""cell_moments: a cell by hand, random sizes against the reference, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from acfd_stream import ops
from acfd_stream.errors import ShapeError


def test_a_cell_by_hand() -> None:
    before = np.array([[1, 2], [3, 4]], np.int16)
    after = np.array([[5, 6], [7, 8]], np.int16)
    sums = ops.cell_moments(before, after)
    assert sums.dtype == np.int64
    assert sums.ravel().tolist() == [10, 26, 30, 5 + 12 + 21 + 32, 25 + 36 + 49 + 64]


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 3), (63, 65), (64, 511), (9, 1027)])
def test_equals_the_law(size: tuple[int, int]) -> None:
    random = np.random.default_rng(1)
    before, after = (random.integers(-16384, 16385, size).astype(np.int16) for _ in range(2))
    np.testing.assert_array_equal(ops.cell_moments(before, after), ops.cell_moments(before, after, backend="reference"))


def test_the_largest_samples_do_not_overflow() -> None:
    white = np.full((4, 4), 16384, np.int16)
    assert ops.cell_moments(white, white)[:, 0, 0].tolist() == [16 << 14, 16 << 14, *[16 << 28] * 3]


def test_rows_may_lie_apart() -> None:
    samples = np.random.default_rng(2).integers(0, 16321, (20, 40)).astype(np.int16)
    wide = np.pad(samples, [(0, 0), (0, 7)])[:, :40]
    np.testing.assert_array_equal(ops.cell_moments(wide, wide[::-1]), ops.cell_moments(samples, samples[::-1].copy()))


@pytest.mark.parametrize("backend", ["cpp", "reference"])
def test_refuses_in_the_same_words(backend: str) -> None:
    samples = np.zeros((4, 6), np.int16)
    with pytest.raises(ShapeError, match=r"^after must be int16 \[4, 6\], got int16 \[6, 4\]$"):
        ops.cell_moments(samples, samples.T, backend=backend)
    with pytest.raises(ShapeError, match=r"^before must be int16 \[H, W\], got uint8 \[4, 6\]$"):
        ops.cell_moments(samples.astype(np.uint8), samples, backend=backend)
    with pytest.raises(ShapeError, match=r"^before must be 1 … 65535 samples high and wide, got \(0, 6\)$"):
        ops.cell_moments(samples[:0], samples[:0], backend=backend)
