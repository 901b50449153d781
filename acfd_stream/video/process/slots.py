"""Pictures in memory that a decoder process writes and its caller reads, without a copy on the caller's side.

FFmpeg decodes into memory that both see, and a picture stays there until the caller has given it back. A picture that
lies elsewhere is copied into a slot, which holds one picture. The decoder uses a slot again when the caller has given
it back, else it makes a new one: the caller bounds how many it holds, as it bounds the frames of a decoder in its own
process.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections import deque
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from acfd_stream.types import Picture, PlaneArray
from acfd_stream.video.process.ffmpeg_memory import FFmpegMemory
from acfd_stream.video.process.mapping import Mapping, made_memory

_FFMPEG_MEMORY = 0  # its number; slots count from 1
_ALIGNMENT = 64  # bytes, of a plane
_PAGE = mmap.PAGESIZE
_DTYPES = {np.dtype(kind).str: np.dtype(kind) for kind in (np.uint8, np.uint16)}
PlaneLayout = tuple[tuple[int, ...], str, tuple[int, ...]]
"""Shape, dtype and strides of a plane."""


class Written(NamedTuple):
    """A picture in shared memory, for a message."""

    memory: int  # number of a slot, or of FFmpeg's memory
    size: int  # bytes of the memory
    number: int  # of the picture, which the reader gives back
    offsets: tuple[int, ...]  # of the planes in the memory
    planes: tuple[PlaneLayout, ...]
    descriptor: int | None  # of a memory that the reader does not know yet; to be closed when it is sent


class SlotWriter:
    """The decoder's side.

    Args:
        shared: FFmpeg's memory; None: all pictures are copied.
    """

    def __init__(self, shared: FFmpegMemory | None = None) -> None:
        self._shared = shared
        self._given: dict[int, Picture] = {}  # in FFmpeg's memory, by negative numbers
        self._made = 0
        self._maps: dict[int, Mapping] = {}
        self._free: deque[int] = deque()
        self._numbers = count(-1, -1)
        self.dropped: list[int] = []  # slots that the reader shall forget

    def give_back(self, numbers: list[int]) -> None:
        """The reader does not use these pictures any more."""
        for number in numbers:
            if self._given.pop(number, None) is None and number in self._maps:
                self._free.append(number)

    def write(self, picture: Picture) -> Written:
        """Share the planes of ``picture``, in host memory.

        Raises:
            OSError: there is no memory for a copy.
        """
        if self._shared is not None and (offsets := self._shared.offsets(picture)):
            number, descriptor = next(self._numbers), self._shared.take_descriptor()
            self._given[number] = picture
            layouts = tuple((plane.shape, plane.dtype.str, plane.strides) for plane in picture.planes)
            return Written(_FFMPEG_MEMORY, self._shared.size, number, offsets, layouts, descriptor)
        return self._copied(picture)

    def _copied(self, picture: Picture) -> Written:
        places, layouts, end = [], [], 0
        for plane in picture.planes:
            places.append(end)
            layouts.append((plane.shape, plane.dtype.str, np.empty(plane.shape, plane.dtype).strides))
            end += -(-plane.size * plane.itemsize // _ALIGNMENT) * _ALIGNMENT
        size = max(-(-end // _PAGE) * _PAGE, _PAGE)
        slot, descriptor = self._taken(size)
        memory = np.asarray(self._maps[slot])
        for plane, offset, layout in zip(picture.planes, places, layouts, strict=True):
            np.copyto(_plane(memory, offset, layout), plane)
        return Written(slot, size, slot, tuple(places), tuple(layouts), descriptor)

    def _taken(self, size: int) -> tuple[int, int | None]:
        """A free slot of ``size`` bytes; those of another size are given up: the size of pictures changed."""
        while self._free:
            slot = self._free.pop()  # the last one is still in the cache
            if self._maps[slot].size == size:
                return slot, None
            del self._maps[slot]
            self.dropped.append(slot)
        descriptor, mapping = made_memory("acfd-picture", size)
        self._made += 1
        self._maps[self._made] = mapping
        return self._made, descriptor


class _Lent:
    """Memory that holds a picture, until its last view is gone; ``weakref.finalize`` takes several times as long."""

    def __init__(self, mapping: Mapping, number: int, freed: deque[int]) -> None:
        self.__array_interface__ = mapping.__array_interface__
        self._mapping, self._number, self._freed = mapping, number, freed

    def __del__(self) -> None:
        self._freed.append(self._number)


class SlotReader:
    """The caller's side. Pictures may be dropped on any thread, and outlive the reader and the decoder."""

    def __init__(self) -> None:
        self._maps: dict[int, Mapping] = {}
        self._freed: deque[int] = deque()

    def take_freed(self) -> list[int]:
        """Numbers of the pictures whose last view is gone since the last call."""
        return [self._freed.popleft() for _ in range(len(self._freed))]

    def close(self) -> None:
        """Forget all memory; views that are there stay good."""
        self._maps.clear()

    def forget(self, slots: list[int]) -> None:
        """The decoder has given up these."""
        for slot in slots:
            self._maps.pop(slot, None)

    def planes(self, written: Written, descriptors: list[int]) -> tuple[PlaneArray, ...]:
        """Views of a picture, which cannot be written to. Closes ``descriptors``.

        Raises:
            OSError: the memory cannot be mapped.
            ValueError, TypeError, KeyError, OverflowError: the picture does not fit it.
        """
        memory, size = written.memory, written.size
        try:
            for descriptor in descriptors:
                is_fixed = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
                if not is_fixed or os.fstat(descriptor).st_size < size:  # a read behind its end would be a SIGBUS
                    raise ValueError("a slot is smaller than its picture")
                self._maps[memory] = Mapping(descriptor, size, is_writable=False)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        if memory not in self._maps or self._maps[memory].size != size:
            raise ValueError(f"there is no slot {memory}")
        data = np.asarray(_Lent(self._maps[memory], written.number, self._freed))
        return tuple(_plane(data, *place) for place in zip(written.offsets, written.planes, strict=True))


def _plane(memory: NDArray[np.uint8], offset: int, layout: PlaneLayout) -> NDArray[Any]:
    shape, name, strides = layout
    return np.ndarray(shape, _DTYPES[name], memory, offset, strides)  # checks that it lies inside
