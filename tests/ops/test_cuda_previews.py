"""Pictures on a GPU are looked at there; the stand-in runs the kernels on the CPU."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from acfd_stream import ops
from acfd_stream.ops.anchors import Letterbox
from acfd_stream.ops.cuda import previews as module
from acfd_stream.ops.cuda.batch import CudaOps
from acfd_stream.ops.cuda.previews import SIZES_KEPT, Previews
from acfd_stream.types import Picture, PixelFormat
from tests.ops.cuda_on_cpu.device import CpuDevice, OnDevice

PAD = (1, 2, 3)


@pytest.fixture(scope="module")
def previews() -> Previews:
    return Previews(CudaOps(CpuDevice(block_threads=128)))


def noise(size: tuple[int, int] = (54, 96), seed: int = 1, **others: Any) -> Picture:
    rng = np.random.default_rng(seed)
    planes = (
        rng.integers(0, 256, size, np.uint8),
        rng.integers(0, 256, ((size[0] + 1) // 2, size[1] // 2, 2), np.uint8),
    )
    return Picture(planes, PixelFormat.NV12, size, **others)


def there(picture: Picture) -> Picture:
    return replace(picture, planes=tuple(np.array(plane).view(OnDevice) for plane in picture.planes))


def view_of(size: tuple[int, int]) -> Letterbox:
    return Letterbox(size, size, size)


@pytest.mark.parametrize("size", [(36, 64), (1, 1), (54, 96), (90, 31)])
@pytest.mark.parametrize("rotation", [0, 90, 180])
def test_what_lies_on_a_gpu_looks_as_on_the_host(
    monkeypatch: pytest.MonkeyPatch, previews: Previews, size: tuple[int, int], rotation: int
) -> None:
    monkeypatch.setattr(module, "open_previews", lambda: previews)
    picture = noise(rotation=rotation, is_full_range=rotation == 90)
    view = Letterbox((96, 128), size, picture.display_size)
    expected = ops.letterbox(picture, view, PAD, backend="reference")
    np.testing.assert_array_equal(ops.letterbox(there(picture), view, PAD), expected)
    np.testing.assert_array_equal(ops.letterbox(there(picture), view, PAD, backend="reference"), expected)


def test_a_picture_is_let_go_when_it_has_been_seen(previews: Previews) -> None:
    picture = there(noise())
    plane = weakref.ref(picture.planes[0])
    previews.letterbox(picture, view_of((36, 64)), PAD)
    del picture
    gc.collect()
    assert plane() is None


def test_many_sizes_and_threads_get_their_own(previews: Previews) -> None:
    pictures = [noise(seed=seed) for seed in range(SIZES_KEPT + 8)]

    def seen(seed: int) -> Any:
        size = (8 + seed, 12)
        return previews.letterbox(there(pictures[seed]), view_of(size), PAD)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(seen, range(len(pictures))))
    for seed, image in enumerate(found):
        size = (8 + seed, 12)
        np.testing.assert_array_equal(image, ops.letterbox(pictures[seed], view_of(size), PAD, backend="reference"))
    assert len(previews._targets) == SIZES_KEPT


@pytest.mark.parametrize("pixel_format", [PixelFormat.NV12, PixelFormat.RGB24])
def test_means_of_what_lies_on_a_gpu_are_those_of_the_host(
    monkeypatch: pytest.MonkeyPatch, previews: Previews, pixel_format: PixelFormat
) -> None:
    monkeypatch.setattr(module, "open_previews", lambda: previews)
    picture = noise()
    if pixel_format is PixelFormat.RGB24:
        picture = Picture.from_rgb(np.random.default_rng(3).integers(0, 256, (31, 50, 3)).astype(np.uint8))
    upside_down = replace(picture, planes=tuple(np.ascontiguousarray(plane[::-1]) for plane in picture.planes))
    turned = replace(there(upside_down), planes=tuple(plane[::-1] for plane in there(upside_down).planes))
    expected = ops.mean_pool(picture, 4, backend="reference")
    for same in (there(picture), turned):
        assert all(np.array_equal(one, other) for one, other in zip(ops.mean_pool(same, 4), expected, strict=True))
