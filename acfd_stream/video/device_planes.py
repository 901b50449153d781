"""Brings the pictures of a video to the GPU: NVDEC's are there already, others are uploaded by pinned memory.

Copies run on a stream of their own while the network computes on its; ``Picture.ready`` joins the two.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import RunnerError
from acfd_stream.types import Picture

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.plane import VideoPlane

_SLOTS = 4  # copies at once; the next one waits for the oldest
_ALIGNMENT = 256  # bytes, of a plane on the GPU, as from cudaMalloc
_DEPTHS = {"nv12": 8, "p010le": 10, "p016le": 16}  # what NVDEC writes that PyAV exports; samples in the high bits
_HOST_TO_DEVICE = 1  # cudaMemcpyHostToDevice


@dataclass
class _Slot:
    """Pinned memory for the upload of one picture."""

    memory: Any = None  # CuPy's, which frees it
    view: NDArray[np.uint8] | None = None
    is_free: Any = None  # event after the last copy out of it

    def at_least(self, size: int, cupy: Any) -> NDArray[np.uint8]:
        """``size`` bytes, after the last copy out of them has ended."""
        if self.is_free is not None:
            self.is_free.synchronize()
        if self.view is None or self.view.size < size:
            self.memory = cupy.cuda.alloc_pinned_memory(size)
            self.view = np.frombuffer(self.memory, np.uint8, size)
        return self.view[:size]


class _Exported:
    """A plane of FFmpeg in CuPy's form, without a wait in PyAV: ``Picture.ready`` is waited for instead."""

    def __init__(self, plane: VideoPlane) -> None:
        self._plane = plane

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self._plane.__dlpack_device__()
        return device

    def __dlpack__(self, **_: object) -> object:
        capsule: object = self._plane.__dlpack__()
        return capsule


def device_planes() -> DevicePlanes:
    """The uploader of the pictures of one video.

    Raises:
        BackendUnavailable: there is no CuPy, or no GPU that it can use.
    """
    from acfd_stream.ops.cuda import load_cupy

    cupy = load_cupy()
    return DevicePlanes(cupy, _copy_stream(cupy))


@cache
def _copy_stream(cupy: Any) -> Any:
    """The stream of all uploads: CuPy pools freed memory per stream, and a GPU has one engine for uploads."""
    with _translated(cupy):
        return cupy.cuda.Stream(non_blocking=True)


class DevicePlanes:
    """Planes of one video's pictures on a GPU; used by one thread at a time.

    Args:
        cupy: the CuPy module.
        stream: of the copies, a non-blocking one.

    Raises:
        RunnerError: from every method, when the GPU fails or has no memory left.
    """

    def __init__(self, cupy: Any, stream: Any) -> None:
        self._cupy, self._stream = cupy, stream
        self._slots = [_Slot() for _ in range(_SLOTS)]  # in turn
        self._turn = 0
        # Copies may be running when the video is closed: pinned memory must outlive them.
        weakref.finalize(self, _drain, self._slots).atexit = False

    @staticmethod
    def takes(frame: VideoFrame) -> bool:
        """Whether a decoded frame is on the GPU in a layout that we can use."""
        return frame.format.name == "cuda" and frame.sw_format is not None and frame.sw_format.name in _DEPTHS

    def adopt(self, frame: VideoFrame) -> tuple[tuple[Any, ...], int, Any]:
        """Planes of a frame from NVDEC, without a copy; their bit depth; and the event after FFmpeg's copy.

        The planes keep the frame alive. More than 8 bits are shifted into the low bits, which makes a copy.
        """
        cupy = self._cupy
        bit_depth = _DEPTHS[frame.sw_format.name]  # type: ignore[union-attr]
        with _translated(cupy):
            planes = tuple(cupy.from_dlpack(_Exported(plane)) for plane in frame.planes)
            planes = (planes[0], _whole_chroma(planes[1], frame.height, frame.width, cupy))
            ready = cupy.cuda.Event(disable_timing=True)
            ready.record(cupy.cuda.Stream.null)  # the stream on which FFmpeg copies the frame out of the decoder
            if 8 < bit_depth < 16:
                self._stream.wait_event(ready)
                with self._stream:
                    planes = tuple(plane >> (16 - bit_depth) for plane in planes)
                ready.record(self._stream)
                ready.synchronize()  # the frame may be freed now
        return planes, bit_depth, ready

    def upload(self, picture: Picture) -> Picture:
        """The picture with its planes on the GPU, by one queued copy; itself if they are there already."""
        if picture.is_on_device or not picture.planes:
            return picture
        cupy, planes = self._cupy, picture.planes
        begins, size = _places(planes)
        slot = self._slots[self._turn]
        self._turn = (self._turn + 1) % _SLOTS
        with _translated(cupy):
            pinned = slot.at_least(size, cupy)
            for plane, begin in zip(planes, begins, strict=True):
                np.copyto(_laid(pinned, plane, begin), plane)
            with self._stream:  # so that the memory comes from this stream's pool
                memory = cupy.empty(size, np.uint8)
            cupy.cuda.runtime.memcpyAsync(memory.data.ptr, pinned.ctypes.data, size, _HOST_TO_DEVICE, self._stream.ptr)
            ready = cupy.cuda.Event(block=True, disable_timing=True)  # waiting threads sleep
            ready.record(self._stream)
            slot.is_free = ready
        return replace(picture, planes=tuple(map(_laid, [memory] * len(planes), planes, begins)), ready=ready)


def _drain(slots: list[_Slot]) -> None:
    for slot in slots:
        if slot.is_free is not None:
            slot.is_free.synchronize()


def _places(planes: tuple[Any, ...]) -> tuple[list[int], int]:
    """The offset of each plane in one piece of memory, without row padding; and the length of all."""
    begins, end = [], 0
    for plane in planes:
        begins.append(end)
        end += -(-plane.size * plane.itemsize // _ALIGNMENT) * _ALIGNMENT
    return begins, end


def _laid(memory: Any, plane: Any, begin: int) -> Any:
    """An array like ``plane`` over ``memory`` from ``begin`` on."""
    return memory[begin : begin + plane.size * plane.itemsize].view(plane.dtype).reshape(plane.shape)


def _whole_chroma(chroma: Any, height: int, width: int, cupy: Any) -> Any:
    """A chroma plane with its last row and column, which PyAV omits for odd sizes."""
    shape = ((height + 1) // 2, (width + 1) // 2, 2)
    if chroma.shape == shape:
        return chroma
    return cupy.ndarray(shape, chroma.dtype, memptr=chroma.data, strides=chroma.strides)


@contextmanager
def _translated(cupy: Any) -> Iterator[None]:
    """Translate CuPy's errors into RunnerErrors."""
    errors = (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError, cupy.cuda.memory.OutOfMemoryError)
    try:
        yield
    except errors as error:
        raise RunnerError(f"pictures cannot be brought to the GPU: {error}") from error
