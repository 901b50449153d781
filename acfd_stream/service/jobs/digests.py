"""SHA-256 digests of a job's results, one a segment, so that a reader checks what it reads and no more.

They are made while the lines are written, stored with each checkpoint and at the end, and compared when the lines are
read or continued. Lines of an earlier program have none: they are read unchecked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

SEGMENT_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Segment:
    """What bytes from ``number`` * ``SEGMENT_BYTES`` on must be."""

    number: int
    size: int  # 1 … SEGMENT_BYTES; less than all only in the last one
    sha256: bytes

    def is_of(self, data: bytes) -> bool:
        """Whether ``data`` begins with the bytes of the segment."""
        return len(data) >= self.size and hashlib.sha256(data[: self.size]).digest() == self.sha256


class RunningDigests:
    """The digests of lines that grow."""

    def __init__(self) -> None:
        self._whole: list[bytes] = []
        self._last, self._last_size = hashlib.sha256(), 0

    @property
    def size(self) -> int:
        """Bytes that they cover."""
        return len(self._whole) * SEGMENT_BYTES + self._last_size

    def add(self, data: bytes) -> None:
        """Count in what was appended."""
        rest = memoryview(data)
        while rest:
            part = rest[: SEGMENT_BYTES - self._last_size]
            self._last.update(part)
            self._last_size += len(part)
            rest = rest[len(part) :]
            if self._last_size == SEGMENT_BYTES:
                self._whole.append(self._last.digest())
                self._last, self._last_size = hashlib.sha256(), 0

    def cut(self, size: int) -> int:
        """Forget all behind the last whole segment of the first ``size`` bytes; the bytes that are covered now."""
        del self._whole[size // SEGMENT_BYTES :]
        self._last, self._last_size = hashlib.sha256(), 0
        return self.size

    def segments(self, first: int = 0) -> list[Segment]:
        """Those from number ``first`` on."""
        found = [Segment(number, SEGMENT_BYTES, digest) for number, digest in enumerate(self._whole)][first:]
        if self._last_size and first <= len(self._whole):
            found.append(Segment(len(self._whole), self._last_size, self._last.digest()))
        return found

    def damaged(self, expected: Mapping[int, Segment]) -> Segment | None:
        """The first segment that is not as ``expected``, which may lack some; None: they agree."""
        for segment in self.segments():
            known = expected.get(segment.number)
            if known is not None and known.size == segment.size and known.sha256 != segment.sha256:
                return segment
        return None
