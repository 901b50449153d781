"""Memory that FFmpeg decodes into and that the caller sees, so that pictures are not copied."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

import av.logging
import numpy as np

import acfd_stream._C as _C
from acfd_stream.types import Picture
from acfd_stream.video.process.slots import Mapping, made_memory

_LEAST_BYTES = 2**17  # of a block: pictures whose planes are smaller are copied at little cost

shared_bytes: Final = _C.shared_ffmpeg_bytes
"""Bytes of this process that FFmpeg holds in shared memory."""


class FFmpegMemory:
    """Large blocks that FFmpeg allocates in this process from now on, as long as there is room for them.

    Args:
        descriptor: of the memory.
        mapping: the memory.
    """

    def __init__(self, descriptor: int, mapping: Mapping) -> None:
        self.size = mapping.size
        self._descriptor: int | None = descriptor
        self._mapping = mapping
        self._begin = int(np.asarray(mapping).ctypes.data)

    @classmethod
    def shared(cls, size: int) -> FFmpegMemory | None:
        """Memory of ``size`` bytes, which are taken as they are used; None: this system does not let FFmpeg share any.

        Once per process, before it decodes.
        """
        with suppress(OSError):
            memory = cls(*made_memory("acfd-pictures", size))
            library = ctypes.CDLL(av.logging.__file__)  # its libavutil, not that of another package
            allocates = ctypes.cast(library.av_malloc, ctypes.c_void_p).value
            if allocates and _C.share_ffmpeg_memory(allocates, memory._begin, size, _LEAST_BYTES):
                return memory
        return None

    def take_descriptor(self) -> int | None:
        """The descriptor, for the reader; None after the first call."""
        descriptor, self._descriptor = self._descriptor, None
        return descriptor

    def offsets(self, picture: Picture) -> tuple[int, ...]:
        """Where the planes of ``picture`` lie; empty: not all of them lie here."""
        places = [plane.__array_interface__["data"][0] - self._begin for plane in picture.planes]
        return tuple(places) if all(0 <= place < self.size for place in places) else ()
