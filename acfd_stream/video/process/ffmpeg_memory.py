"""Memory that FFmpeg decodes into and that the caller sees, so that pictures are not copied."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from typing import Final

import av.logging
import numpy as np

import acfd_stream._C as _C
from acfd_stream.errors import BackendUnavailable
from acfd_stream.types import Picture
from acfd_stream.video.process.mapping import made_memory

_LEAST_BYTES = 2**17  # of a block: pictures whose planes are smaller are copied at little cost

shared_bytes: Final = _C.shared_ffmpeg_bytes
"""Bytes of this process that FFmpeg holds in shared memory."""


class FFmpegMemory:
    """Shared memory for the large blocks that FFmpeg allocates in this process, as long as there is room for them.

    Once per process, before it decodes.

    Args:
        size: of the memory, bytes, of which pages are taken as they are used.

    Raises:
        OSError: there is no room for it.
        BackendUnavailable: FFmpeg is linked in a way that does not let it share memory.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        descriptor, self._mapping = made_memory("acfd-pictures", size)
        self._descriptor: int | None = descriptor
        self._begin = int(np.asarray(self._mapping).ctypes.data)
        library = ctypes.CDLL(av.logging.__file__)  # its libavutil, not that of another package
        av_malloc = ctypes.cast(library.av_malloc, ctypes.c_void_p).value
        if not _C.share_ffmpeg_memory(av_malloc, self._begin, size, _LEAST_BYTES):
            os.close(descriptor)
            raise BackendUnavailable("FFmpeg cannot share memory")

    @classmethod
    def of_size(cls, size: int) -> FFmpegMemory | None:
        """Memory of that size; None where there is none: pictures are copied then."""
        with suppress(OSError, BackendUnavailable):
            return cls(size)
        return None

    def take_descriptor(self) -> int | None:
        """The descriptor, for the reader; None after the first call."""
        descriptor, self._descriptor = self._descriptor, None
        return descriptor

    def offsets(self, picture: Picture) -> tuple[int, ...]:
        """Where the planes of ``picture`` lie; empty: not all of them lie here."""
        places = [plane.__array_interface__["data"][0] - self._begin for plane in picture.planes]
        return tuple(places) if all(0 <= place < self.size for place in places) else ()
