"""mean_pool: tables a person can check, random sizes against the reference, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from acfd_stream import ops
from acfd_stream.errors import ShapeError
from acfd_stream.types import Picture, PixelFormat
from tests.ops.backends import BACKENDS

pytestmark = pytest.mark.parametrize("backend", BACKENDS)


def picture(size: tuple[int, int], pixel_format: PixelFormat, bit_depth: int, seed: int = 0) -> Picture:
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    half = (-(-size[0] // 2), -(-size[1] // 2))
    shapes = {
        PixelFormat.YUV420P: [size, half, half],
        PixelFormat.NV12: [size, (*half, 2)],
        PixelFormat.RGB24: [(*size, 3)],
    }[pixel_format]
    random = np.random.default_rng(seed)
    planes = tuple(random.integers(0, 1 << bit_depth, shape).astype(dtype) for shape in shapes)
    return Picture(planes, pixel_format, size, bit_depth)


def test_a_block_by_hand(backend: str) -> None:
    luma = np.array([[0, 1, 255, 255], [2, 3, 255, 255], [7, 9, 4, 4]], np.uint8)
    chroma = np.full((2, 2), 128, np.uint8)
    y, u, v = ops.mean_pool(Picture((luma, chroma, chroma), PixelFormat.YUV420P, (3, 4)), 2, backend=backend)
    # 6 / 4 levels of 64 steps; at the lower edge a block is one row high.
    assert y.dtype == np.int16
    assert y.tolist() == [[96, 16320], [512, 256]]
    assert u.tolist() == v.tolist() == [[8192]]


@pytest.mark.parametrize("block", [1, 2, 3, 4, 8, 16])
@pytest.mark.parametrize("bit_depth", [8, 10, 16])
@pytest.mark.parametrize("pixel_format", PixelFormat)
def test_equals_the_law(backend: str, pixel_format: PixelFormat, bit_depth: int, block: int) -> None:
    if backend.startswith("cuda") and block not in (3, 4):
        sizes = [(65, 63)]  # a thread a block: on the CPU that takes its time
    else:
        sizes = [(1, 1), (2, 7), (64, 1), (65, 63), (48, 1028)]
    for size in sizes:
        made = picture(size, pixel_format, bit_depth)
        expected = ops.mean_pool(made, block, backend="reference")
        got = ops.mean_pool(made, block, backend=backend)
        assert [plane.shape for plane in got] == [plane.shape for plane in expected]
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_the_brightest_picture_does_not_overflow(backend: str, bit_depth: int) -> None:
    white = Picture.from_rgb(np.full((40, 40, 3), 255, np.uint8))
    if bit_depth == 16:
        white = Picture((np.full((40, 40, 3), 65535, np.uint16),), PixelFormat.RGB24, (40, 40), 16)
    for plane in ops.mean_pool(white, 16, backend=backend):
        assert set(plane.ravel().tolist()) == {16320 if bit_depth == 8 else 16384}


def test_rows_may_lie_anyhow(backend: str) -> None:
    made = picture((37, 50), PixelFormat.NV12, 8)
    planes = tuple(np.flip(np.ascontiguousarray(np.flip(plane, 0)), 0) for plane in made.planes)
    padded = tuple(np.pad(plane, [(0, 0), (0, 9), *[(0, 0)] * (plane.ndim - 2)])[:, :-9] for plane in made.planes)
    expected = ops.mean_pool(made, 4, backend="reference")
    for same in (planes, padded):
        got = ops.mean_pool(Picture(same, PixelFormat.NV12, (37, 50)), 4, backend=backend)
        assert all(np.array_equal(one, other) for one, other in zip(got, expected, strict=True))


def test_refuses_in_the_same_words(backend: str) -> None:
    made = picture((8, 8), PixelFormat.YUV420P, 8)
    with pytest.raises(ShapeError, match=r"^block must be in 1 … 16, got 0$"):
        ops.mean_pool(made, 0, backend=backend)
    with pytest.raises(ShapeError, match=r"^planes\[1\] must be uint8 \[4, 4\], got uint8 \[8, 8\]$"):
        ops.mean_pool(Picture((made.planes[0],) * 3, PixelFormat.YUV420P, (8, 8)), 4, backend=backend)
