"""letterbox by every instruction set that this machine runs: the law at every width, and no byte behind a plane."""

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
from acfd_stream.ops import reference

PAD = (9, 8, 7)
SETS = _C.letterbox_instruction_sets()
# About the widths at which blocks of 8, 16 and 48 samples end.
WIDTHS = [*range(1, 20), 31, 32, 33, 47, 48, 49, 63, 64, 65, 95, 96, 97, 143, 144, 145]
NO_ACCESS = 0


def planes_of(pixel_format, size, bit_depth, rng):
    height, width = size
    chroma = ((height + 1) // 2, (width + 1) // 2)
    shapes = {"yuv420p": [size, chroma, chroma], "nv12": [size, (*chroma, 2)], "rgb24": [(*size, 3)]}[pixel_format]
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    return tuple(rng.integers(0, 2**bit_depth, shape).astype(dtype) for shape in shapes)


def assert_lawful(instruction_set, planes, pixel_format, bit_depth, rotation, content, network):
    arguments = (planes, pixel_format, bit_depth, "bt709", False, rotation, content, network, PAD)
    law = reference.letterbox(*arguments)
    assert np.array_equal(_C.letterbox(*arguments, instruction_set), law), (planes[0].shape, content, rotation)


def test_the_first_set_is_the_best_that_the_machine_has():
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text().split() if cpuinfo.exists() else []
    has_avx2 = platform.machine() == "x86_64" and "avx2" in flags
    assert list(SETS) == (["avx2", "portable"] if has_avx2 else ["portable"])


def test_a_set_that_is_not_there_is_refused():
    planes = planes_of("yuv420p", (4, 4), 8, np.random.default_rng(0))
    with pytest.raises(ShapeError, match=r"^instruction_set must be one of \[.*'portable'\], got mmx$"):
        _C.letterbox(planes, "yuv420p", 8, "bt709", False, 0, (4, 4), (4, 4), PAD, "mmx")


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("bit_depth", [8, 10, 16])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "rgb24"])
def test_every_width_in_and_out_obeys_the_law(instruction_set, pixel_format, bit_depth):
    rng = np.random.default_rng(bit_depth)
    for width in WIDTHS:
        planes = planes_of(pixel_format, (7, width), bit_depth, rng)
        for outputs in {1, width, max(1, width // 3), min(width + 5, 150)}:
            assert_lawful(instruction_set, planes, pixel_format, bit_depth, 0, (3, outputs), (5, outputs + 2))


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("content", [(90, 160), (45, 80), (22, 40), (11, 20), (5, 9), (36, 64), (1, 1)])
def test_many_taps_and_turned_pictures_obey_the_law(instruction_set, rotation, content):
    planes = planes_of("yuv420p", (91, 161), 8, np.random.default_rng(5))
    turned = content if rotation in (0, 180) else content[::-1]
    assert_lawful(instruction_set, planes, "yuv420p", 8, rotation, turned, (turned[0] + 3, turned[1] + 1))


@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("color_matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("is_full_range", [False, True])
def test_the_loudest_colours_overflow_nothing(instruction_set, level, color_matrix, is_full_range):
    for u, v in itertools.product((0, 255), repeat=2):
        planes = (np.full((4, 34), level, np.uint8), np.full((2, 17), u, np.uint8), np.full((2, 17), v, np.uint8))
        arguments = (planes, "yuv420p", 8, color_matrix, is_full_range, 0, (4, 34), (4, 34), PAD)
        assert np.array_equal(_C.letterbox(*arguments, instruction_set), reference.letterbox(*arguments))


def test_weights_that_are_kept_are_those_of_their_size():
    """More sizes than weights are kept of, in turn on several threads."""
    planes = planes_of("yuv420p", (40, 60), 8, np.random.default_rng(6))
    sizes = [(height, width) for height in range(3, 40, 4) for width in range(5, 60, 9)]

    def letterboxes(backend):
        return [backend.letterbox(planes, "yuv420p", 8, "bt709", False, 0, size, size, PAD) for size in sizes]

    law = letterboxes(reference)
    with ThreadPoolExecutor(4) as pool:
        for views in pool.map(letterboxes, [_C] * 8):
            assert all(map(np.array_equal, views, law))


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
                arguments = ("bt709", False, 0, (2, width), (2, width), PAD)
                _C.letterbox(planes, "yuv420p", bit_depth, *arguments, instruction_set)
                nv12 = (planes[0], array_before_a_wall((*chroma, 2), dtype))
                _C.letterbox(nv12, "nv12", bit_depth, *arguments, instruction_set)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="closes a page by Linux's mprotect")
def test_nothing_is_read_behind_a_plane():
    code = f"from {__name__} import letterbox_before_walls; letterbox_before_walls()"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
