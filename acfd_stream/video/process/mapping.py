"""Memory that two processes map."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
from collections.abc import Callable

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_long)
_libc.mmap.restype = ctypes.c_void_p
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)


class Mapping:
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


def made_memory(name: str, size: int) -> tuple[int, Mapping]:
    """The descriptor, which the caller closes, and the mapping of new shared memory that cannot shrink.

    Raises:
        OSError: there is no room for it.
    """
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        return descriptor, Mapping(descriptor, size, is_writable=True)
    except BaseException:
        os.close(descriptor)
        raise
