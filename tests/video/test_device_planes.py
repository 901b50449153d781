"""Pictures on their way to a GPU, with CuPy played by host memory; what a GPU makes of it is in tests/test_gpu.py."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from acfd_stream.errors import RunnerError
from acfd_stream.ops.cuda import previews
from acfd_stream.ops.cuda.batch import CudaOps
from acfd_stream.ops.cuda.previews import Previews
from acfd_stream.pipeline.track_video import track_video
from acfd_stream.types import Picture, PixelFormat
from acfd_stream.video import source as source_module
from acfd_stream.video.device_planes import DevicePlanes
from acfd_stream.video.picture import picture_bytes
from acfd_stream.video.source import open_video
from tests.ops.cuda_on_cpu.device import CpuDevice
from tests.pipeline.square_finder import SquareFinder
from tests.video.fake_cupy import CUDARuntimeError, FakeCupy, OutOfMemoryError, Stream

SIZES = [(1, 1), (48, 64), (63, 65), (270, 480)]


def device_planes(cupy: FakeCupy | None = None) -> DevicePlanes:
    return DevicePlanes(cupy or FakeCupy(), Stream(non_blocking=True))


def noise(shape: tuple[int, ...], top: int = 256, seed: int = 1) -> Any:
    dtype = np.uint8 if top == 256 else np.uint16
    return np.random.default_rng(seed).integers(0, top, shape).astype(dtype)


def drawn(pixel_format: PixelFormat, size: tuple[int, int], bit_depth: int = 8, seed: int = 1) -> Picture:
    half, top = ((size[0] + 1) // 2, (size[1] + 1) // 2), 1 << bit_depth
    shapes: dict[PixelFormat, list[tuple[int, ...]]] = {
        PixelFormat.YUV420P: [size, half, half],
        PixelFormat.NV12: [size, (*half, 2)],
        PixelFormat.RGB24: [(*size, 3)],
    }
    planes = tuple(noise(shape, top, seed + place) for place, shape in enumerate(shapes[pixel_format]))
    return Picture(planes, pixel_format, size, bit_depth)


def assert_same(found: Picture, expected: Picture) -> None:
    assert (found.pixel_format, found.bit_depth, found.display_size) == (
        expected.pixel_format,
        expected.bit_depth,
        expected.display_size,
    )
    for ours, theirs in zip(found.planes, expected.planes, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pixel_format", PixelFormat)
@pytest.mark.parametrize("bit_depth", [8, 10])
def test_a_picture_that_goes_up_comes_down_as_it_was(
    pixel_format: PixelFormat, size: tuple[int, int], bit_depth: int
) -> None:
    picture = drawn(pixel_format, size, bit_depth)
    there = device_planes().upload(picture)
    assert there.is_on_device
    assert there.ready is not None
    back = there.on_host()
    assert not back.is_on_device
    assert back.ready is None
    assert_same(back, picture)


def test_padded_and_turned_round_rows_go_up_without_their_padding() -> None:
    wide = noise((48, 80))
    picture = Picture((wide[::-1, 3:67], noise((24, 32)), noise((24, 32))), PixelFormat.YUV420P, (48, 64))
    there = device_planes().upload(picture)
    assert_same(there.on_host(), picture)
    assert picture_bytes(there) == 48 * 64 * 3 // 2


def test_a_picture_is_one_copy_that_nobody_has_waited_for() -> None:
    cupy = FakeCupy()
    device = device_planes(cupy)
    there = device.upload(drawn(PixelFormat.YUV420P, (48, 64)))
    assert cupy.copies == 1
    assert (np.asarray(there.planes[0]) == 0xCD).all()  # still under way
    there.ready.synchronize()
    assert not (np.asarray(there.planes[0]) == 0xCD).all()


def test_pinned_memory_is_not_written_to_while_a_copy_reads_it() -> None:
    device = device_planes()
    pictures = [drawn(PixelFormat.NV12, SIZES[1 + seed % 3], seed=10 * seed) for seed in range(20)]
    for there, picture in zip([device.upload(picture) for picture in pictures], pictures, strict=True):
        assert_same(there.on_host(), picture)


def test_closing_in_the_middle_waits_for_what_is_under_way() -> None:
    device, picture = device_planes(), drawn(PixelFormat.YUV420P, (48, 64))
    there = device.upload(picture)
    del device
    gc.collect()
    np.testing.assert_array_equal(np.asarray(there.planes[0]), picture.planes[0])


def test_what_is_there_or_has_no_pixels_stays_as_it_is() -> None:
    device = device_planes()
    there = device.upload(drawn(PixelFormat.RGB24, (4, 4)))
    assert device.upload(there) is there
    nothing = Picture((), PixelFormat.RGB24, (4, 4))
    assert device.upload(nothing) is nothing


@pytest.mark.parametrize("failure", [CUDARuntimeError("out of order"), OutOfMemoryError("no memory left")])
def test_a_fault_of_the_gpu_has_our_name(failure: Exception) -> None:
    cupy = FakeCupy()
    device = device_planes(cupy)
    cupy.failure = failure
    with pytest.raises(RunnerError, match=f"cannot be brought to the GPU: {failure}"):
        device.upload(drawn(PixelFormat.RGB24, (4, 4)))


def as_nvdec_gives(name: str, size: tuple[int, int]) -> Any:
    """A frame with the layout, and PyAV's export, of one that NVDEC decoded."""
    frame = av.VideoFrame(size[1], size[0], name)
    for plane in frame.planes:
        shift = 0 if name == "nv12" else 6
        values = noise((plane.buffer_size >> (shift > 0),), 256 if shift == 0 else 1024) << shift
        plane.update(values.tobytes())
    layout = {"planes": frame.planes, "sw_format": frame.format, "format": SimpleNamespace(name="cuda")}
    return SimpleNamespace(height=size[0], width=size[1], frame=frame, **layout)


def own_view(frame: Any, index: int, dtype: type) -> Any:
    """A plane as its bytes lie, read without PyAV's export."""
    height, width = frame.height, frame.width
    plane = frame.planes[index]
    rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // np.dtype(dtype).itemsize)
    if index == 0:
        return rows[:height, :width]
    half = ((height + 1) // 2, (width + 1) // 2)
    return rows[: half[0], : 2 * half[1]].reshape(*half, 2)


@pytest.mark.parametrize("size", [(48, 64), (270, 480), (63, 65), (64, 65), (63, 64)])
def test_a_frame_of_nvdec_stays_where_it_is_whole_at_odd_sizes_too(size: tuple[int, int]) -> None:
    frame, device = as_nvdec_gives("nv12", size), device_planes()
    assert device.takes(frame)
    planes, bit_depth, ready = device.adopt(frame)
    assert bit_depth == 8
    assert ready is not None
    for index, plane in enumerate(planes):
        np.testing.assert_array_equal(plane, own_view(frame, index, np.uint8))
        assert np.shares_memory(plane, np.frombuffer(frame.planes[index], np.uint8))


def test_ten_bits_move_into_the_low_bits() -> None:
    frame, device = as_nvdec_gives("p010le", (48, 64)), device_planes()
    planes, bit_depth, _ = device.adopt(frame)
    assert bit_depth == 10
    for index, plane in enumerate(planes):
        np.testing.assert_array_equal(plane, own_view(frame, index, np.uint16) >> 6)


def test_what_pyav_does_not_export_is_not_taken() -> None:
    frame = as_nvdec_gives("nv12", (48, 64))
    assert not DevicePlanes.takes(frame.frame)  # lies in host memory
    frame.sw_format = SimpleNamespace(name="yuv444p")
    assert not DevicePlanes.takes(frame)


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> FakeCupy:
    """Stands in for CuPy in every video that is opened for a GPU; what lies there is looked at by the kernels."""
    fake, kernels = FakeCupy(), Previews(CudaOps(CpuDevice(block_threads=128)))
    monkeypatch.setattr(source_module, "device_planes", lambda: device_planes(fake))
    monkeypatch.setattr(previews, "open_previews", lambda: kernels)
    return fake


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuv422p", "gray"])
def test_every_layout_of_a_software_decoder_goes_up(
    cupy: FakeCupy, make_clip: Callable[..., Path], pixel_format: str
) -> None:
    clip = make_clip(codec="ffv1", pixel_format=pixel_format)
    with open_video(clip) as here, open_video(clip, device="cuda") as there:
        pairs = list(zip(here, there, strict=True))
    assert pairs
    for ours, theirs in pairs:
        assert theirs.picture.is_on_device
        assert_same(theirs.picture.on_host(), ours.picture)
        assert (ours.index, ours.pts) == (theirs.index, theirs.pts)


class OnTheGpu(SquareFinder):
    """Wants planes on a GPU, and refuses others."""

    device = "cuda"

    def detect_timed(self, pictures: Any) -> Any:
        assert all(picture.is_on_device for picture in pictures)
        return super().detect_timed(pictures)


def test_a_session_brings_pictures_to_where_its_engine_is(cupy: FakeCupy, plain_clip: Path) -> None:
    here = list(track_video(plain_clip, detector=SquareFinder()))
    assert list(track_video(plain_clip, detector=OnTheGpu())) == here
    assert cupy.copies == len(here)
