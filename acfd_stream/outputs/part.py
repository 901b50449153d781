"""Formats that do not mark their own end: a file of theirs has its final name only when it is whole.

What a format is stands in its ``Encoder``; where its bytes go, and under which name, is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Protocol

from acfd_stream.errors import OutputError
from acfd_stream.outputs.target import Target
from acfd_stream.outputs.writer import ResultEnd
from acfd_stream.types import FrameResult


class Encoder(Protocol):
    """One format: results in, bytes out. Every piece ends where a file may be cut; an empty one writes nothing."""

    def header(self) -> bytes:
        """What stands before the first frame."""

    def frame(self, result: FrameResult) -> bytes:
        """What can be written once this frame is known; frames come in order."""

    def end(self, end: ResultEnd) -> Iterable[bytes]:
        """What is left to write behind the last frame."""


class PartWriter:
    """Writes to ``NAME.part``, which takes its final name when the input was read to its end."""

    def __init__(self, place: str | Path | BinaryIO, encoder: Encoder) -> None:
        """Open ``place`` and write what stands before the first frame.

        Raises:
            OutputError: it cannot be written.
        """
        self._encoder = encoder
        self._target = Target(place, is_streamed=False)
        self._put(encoder.header())

    def write(self, result: FrameResult) -> None:
        """Write what this frame completes.

        Raises:
            OutputError: it cannot be written.
        """
        if not self._target.is_open:
            raise OutputError(f"cannot write {self._target.name}: it is closed")
        self._put(self._encoder.frame(result))

    def close(self, end: ResultEnd) -> None:
        """Write the rest and give the file its name, or leave ``NAME.part`` when the input broke before its end.

        Raises:
            OutputError: it cannot be written.
        """
        if not self._target.is_open:
            return
        for piece in self._encoder.end(end):
            self._put(piece)
        if end.is_complete:
            self._target.finish()
        else:
            self._target.leave()

    def abort(self, *, is_failure: bool = False) -> None:
        """Stop here; what was written so far stays in ``NAME.part``."""
        self._target.leave()

    def _put(self, piece: bytes) -> None:
        if piece:
            self._target.write(piece)
