"""Pictures in memory that a decoder process writes and its caller reads, without a copy on the caller's side.

A slot holds one picture. The decoder uses a slot again when the caller has given it back, else it makes a new one: the
caller bounds how many it holds, as it bounds the frames of a decoder in its own process.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream.types import Picture, PlaneArray

_ALIGNMENT = 64  # bytes, of a plane
_PAGE = mmap.PAGESIZE
_DTYPES = {np.dtype(kind).str: np.dtype(kind) for kind in (np.uint8, np.uint16)}
PlaneLayout = tuple[int, tuple[int, ...], str]
"""Offset, shape and dtype of a plane in its slot."""


_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_long)
_libc.mmap.restype = ctypes.c_void_p
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)


class _Mapping:
    """Shared memory as NumPy takes it, without a descriptor, which ``mmap.mmap`` keeps; unmapped with its last view.

    Raises:
        OSError: there is no room for it.
    """

    def __init__(self, descriptor: int, size: int, *, is_writable: bool) -> None:
        self.size = size
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if is_writable else 0)
        self._address = _libc.mmap(None, size, protection, mmap.MAP_SHARED, descriptor, 0)
        if self._address in (None, ctypes.c_void_p(-1).value):
            self._address = None
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        place = (self._address, not is_writable)
        self.__array_interface__ = {"version": 3, "shape": (size,), "typestr": "|u1", "data": place}

    def __del__(self, unmap: Callable[[int, int], int] = _libc.munmap) -> None:
        if self._address is not None:
            unmap(self._address, self.size)


@dataclass(frozen=True, slots=True)
class Written:
    """A picture in a slot, for a message."""

    slot: int
    size: int  # bytes of the slot
    planes: tuple[PlaneLayout, ...]
    descriptor: int | None  # of a slot that the reader does not know yet; to be closed when it is sent


class SlotWriter:
    """The decoder's side."""

    def __init__(self) -> None:
        self._made = 0
        self._maps: dict[int, _Mapping] = {}
        self._free: deque[int] = deque()
        self.dropped: list[int] = []  # slots that the reader shall forget

    def give_back(self, slots: list[int]) -> None:
        """The reader does not use these any more."""
        self._free.extend(slot for slot in slots if slot in self._maps)

    def write(self, picture: Picture) -> Written:
        """Copy the planes of ``picture``, in host memory, into a slot.

        Raises:
            OSError: there is no memory for one.
        """
        layouts, end = [], 0
        for plane in picture.planes:
            layouts.append((end, plane.shape, plane.dtype.str))
            end += -(-plane.size * plane.itemsize // _ALIGNMENT) * _ALIGNMENT
        size = max(-(-end // _PAGE) * _PAGE, _PAGE)
        slot, descriptor = self._taken(size)
        memory = np.asarray(self._maps[slot])
        for plane, layout in zip(picture.planes, layouts, strict=True):
            np.copyto(_plane(memory, layout), plane)
        return Written(slot, size, tuple(layouts), descriptor)

    def _taken(self, size: int) -> tuple[int, int | None]:
        """A free slot of ``size`` bytes; those of another size are given up: the size of pictures changed."""
        while self._free:
            slot = self._free.pop()  # the last one is still in the cache
            if self._maps[slot].size == size:
                return slot, None
            del self._maps[slot]
            self.dropped.append(slot)
        descriptor = os.memfd_create("acfd-picture", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, size)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            mapping = _Mapping(descriptor, size, is_writable=True)
        except BaseException:
            os.close(descriptor)
            raise
        self._made += 1
        self._maps[self._made] = mapping
        return self._made, descriptor


class SlotReader:
    """The caller's side. Pictures may be dropped on any thread, and outlive the reader and the decoder."""

    def __init__(self) -> None:
        self._maps: dict[int, _Mapping] = {}
        self._freed: deque[int] = deque()

    def take_freed(self) -> list[int]:
        """Slots whose last view is gone since the last call."""
        return [self._freed.popleft() for _ in range(len(self._freed))]

    def close(self) -> None:
        """Forget all slots; views that are there stay good."""
        self._maps.clear()

    def forget(self, slots: list[int]) -> None:
        """The decoder has given up these."""
        for slot in slots:
            self._maps.pop(slot, None)

    def planes(
        self, slot: int, size: int, layouts: tuple[PlaneLayout, ...], descriptors: list[int]
    ) -> tuple[PlaneArray, ...]:
        """Views of a picture, which cannot be written to. Closes ``descriptors``.

        Raises:
            ValueError, TypeError, KeyError: the picture does not fit the slot.
        """
        try:
            for descriptor in descriptors:
                is_fixed = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
                if not is_fixed or os.fstat(descriptor).st_size < size:  # a read behind its end would be a SIGBUS
                    raise ValueError("a slot is smaller than its picture")
                self._maps[slot] = _Mapping(descriptor, size, is_writable=False)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        if slot not in self._maps or self._maps[slot].size != size:
            raise ValueError(f"there is no slot {slot}")
        memory = np.asarray(self._maps[slot])
        weakref.finalize(memory, self._freed.append, slot).atexit = False
        return tuple(_plane(memory, layout) for layout in layouts)


def _plane(memory: NDArray[np.uint8], layout: PlaneLayout) -> NDArray[Any]:
    offset, shape, name = layout
    return np.ndarray(shape, _DTYPES[name], memory, offset)  # checks that it lies inside
