"""letterbox by every instruction set that this machine has: equal to the reference, and no byte read past a plane."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from acfd_stream import _C
from acfd_stream.errors import ShapeError
from acfd_stream.ops import compiled, reference
from acfd_stream.ops.anchors import Letterbox
from acfd_stream.types import ColorMatrix, Picture, PixelFormat

PAD = (9, 8, 7)
SETS = _C.letterbox_instruction_sets()
# About the widths at which blocks of 8, 16 and 48 samples end.
WIDTHS = [*range(1, 20), 31, 32, 33, 47, 48, 49, 63, 64, 65, 95, 96, 97, 143, 144, 145]
NO_ACCESS = 0


def picture_of(pixel_format, size, bit_depth, rng, **others):
    height, width = size
    chroma = ((height + 1) // 2, (width + 1) // 2)
    shapes = {"yuv420p": [size, chroma, chroma], "nv12": [size, (*chroma, 2)], "rgb24": [(*size, 3)]}[pixel_format]
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    planes = tuple(rng.integers(0, 2**bit_depth, shape).astype(dtype) for shape in shapes)
    return Picture(planes, PixelFormat(pixel_format), size, bit_depth, ColorMatrix.BT709, **others)


def view_of(content, network=None):
    return Letterbox(network or content, content, content)


def assert_equals_reference(instruction_set, picture, view):
    expected = reference.letterbox(picture, view, PAD)
    assert np.array_equal(compiled.letterbox(picture, view, PAD, instruction_set), expected), (
        picture.stored_size,
        view,
    )


def test_the_first_set_is_the_best_that_the_machine_has():
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text().split() if cpuinfo.exists() else []
    has_avx2 = platform.machine() == "x86_64" and "avx2" in flags
    assert list(SETS) == (["avx2", "portable"] if has_avx2 else ["portable"])


def test_a_set_that_is_not_there_is_refused():
    picture = picture_of("yuv420p", (4, 4), 8, np.random.default_rng(0))
    with pytest.raises(ShapeError, match=r"^instruction_set must be one of \[.*'portable'\], got mmx$"):
        compiled.letterbox(picture, view_of((4, 4)), PAD, "mmx")


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("bit_depth", [8, 10, 16])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "rgb24"])
def test_every_width_in_and_out_equals_the_reference(instruction_set, pixel_format, bit_depth):
    rng = np.random.default_rng(bit_depth)
    for width in WIDTHS:
        picture = picture_of(pixel_format, (7, width), bit_depth, rng)
        for outputs in {1, width, max(1, width // 3), min(width + 5, 150)}:
            assert_equals_reference(instruction_set, picture, view_of((3, outputs), (5, outputs + 2)))


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("content", [(90, 160), (45, 80), (22, 40), (11, 20), (5, 9), (36, 64), (1, 1)])
def test_many_taps_and_turned_pictures_equal_the_reference(instruction_set, rotation, content):
    picture = picture_of("yuv420p", (91, 161), 8, np.random.default_rng(5), rotation=rotation)
    turned = content if rotation in (0, 180) else content[::-1]
    assert_equals_reference(instruction_set, picture, view_of(turned, (turned[0] + 3, turned[1] + 1)))


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("color_matrix", ColorMatrix)
@pytest.mark.parametrize("is_full_range", [False, True])
def test_the_loudest_colours_overflow_nothing(instruction_set, level, color_matrix, is_full_range):
    for u, v in itertools.product((0, 255), repeat=2):
        planes = (np.full((4, 34), level, np.uint8), np.full((2, 17), u, np.uint8), np.full((2, 17), v, np.uint8))
        picture = Picture(planes, PixelFormat.YUV420P, (4, 34), 8, color_matrix, is_full_range)
        assert_equals_reference(instruction_set, picture, view_of((4, 34)))


def test_weights_that_are_kept_are_those_of_their_size():
    """More sizes than weights are kept of, in turn on several threads."""
    picture = picture_of("yuv420p", (40, 60), 8, np.random.default_rng(6))
    sizes = [(height, width) for height in range(3, 40, 4) for width in range(5, 60, 9)]

    def letterboxes(backend):
        return [backend.letterbox(picture, view_of(size), PAD) for size in sizes]

    expected = letterboxes(reference)
    with ThreadPoolExecutor(4) as pool:
        for views in pool.map(letterboxes, [compiled] * 8):
            assert all(map(np.array_equal, views, expected))


def array_before_a_wall(shape, dtype):
    """An array whose last byte is the last that may be read: the page behind it is closed."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    pages = -(-size // mmap.PAGESIZE)
    memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(start + pages * mmap.PAGESIZE), mmap.PAGESIZE, NO_ACCESS) == 0
    return np.frombuffer(memory, dtype, int(np.prod(shape)), pages * mmap.PAGESIZE - size).reshape(shape)


def letterbox_before_walls():
    """Run by the test below in a process of its own, which a read too far would kill."""
    for instruction_set in SETS:
        for width in WIDTHS:
            for dtype, bit_depth in ((np.uint8, 8), (np.uint16, 10)):
                chroma = (2, (width + 1) // 2)
                planes = tuple(array_before_a_wall(shape, dtype) for shape in ((3, width), chroma, chroma))
                nv12 = (planes[0], array_before_a_wall((*chroma, 2), dtype))
                for given, pixel_format in ((planes, PixelFormat.YUV420P), (nv12, PixelFormat.NV12)):
                    picture = Picture(given, pixel_format, (2, width), bit_depth, ColorMatrix.BT709)
                    compiled.letterbox(picture, view_of((2, width)), PAD, instruction_set)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="closes a page by Linux's mprotect")
def test_nothing_is_read_behind_a_plane():
    code = f"from {__name__} import letterbox_before_walls; letterbox_before_walls()"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
