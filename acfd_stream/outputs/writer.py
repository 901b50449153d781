"""The input of every result writer, and the writer itself: a header, frames in order, and an end.

An ``Encoder`` turns results into the bytes of one format. ``Writer`` is the same for all formats: it stores the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from acfd_stream.characters import Character
from acfd_stream.errors import OutputError
from acfd_stream.outputs.target import OutputTarget
from acfd_stream.types import FrameResult, Gap


@dataclass(frozen=True, slots=True)
class ResultHeader:
    """What is known before the first frame. It contains only what determines results: no time, host name or speed."""

    source: str  # file name as given, or URL without its secrets
    display_size: tuple[int, int]  # (height, width), the frame of reference of all boxes
    time_base: Fraction  # seconds
    model: Mapping[str, Any]  # name, version and precision of the detector
    settings: Mapping[str, Any] = field(default_factory=dict)  # all settings that change results
    frame_rate: Fraction | None = None  # average, if known: the last frame's share of the duration
    times: str = ""  # "inferred" where the times of frames are made up


@dataclass(frozen=True, slots=True)
class ResultEnd:
    """What is known after the last frame."""

    tracks: int  # number of tracks
    is_complete: bool = True  # False: the input broke before its end, or has gaps
    error: str | None = None  # what broke
    warnings: tuple[str, ...] = ()  # what is odd about the input, in words
    gaps: tuple[Gap, ...] = ()  # holes in the input, in order of time
    last_seconds: Fraction | None = None  # how long the last frame is on screen; None: one frame at the rate
    characters: tuple[Character, ...] = ()  # by rising number; of a result with characters

    @property
    def is_broken(self) -> bool:
        """Whether the input broke before its end; gaps alone do not make it so."""
        return not self.is_complete and (self.error is not None or not self.gaps)


class Encoder(Protocol):
    """One format: results in, bytes out. A file may be cut after any piece; an empty piece writes nothing."""

    def header(self) -> bytes:
        """The bytes before the first frame."""

    def frame(self, result: FrameResult) -> bytes:
        """The bytes that are complete with this frame; frames come in order."""

    def trailer(self, end: ResultEnd) -> Iterable[bytes]:
        """The remaining bytes after the last frame, in pieces."""


class Writer:
    """Writes one result. ``close`` or ``abort`` ends it; further calls of these two do nothing.

    A format that marks its own end is written under its final name. Any other is written to ``NAME.part`` and renamed
    when the input was read to its end. After an OutputError the writer has ended: the results so far are in
    ``NAME.part``. A reader that closes a pipe causes a BrokenPipeError, which is not an OutputError.
    """

    def __init__(self, place: str | Path | BinaryIO, encoder: Encoder, *, marks_end: bool) -> None:
        """Open ``place`` and write the header.

        Raises:
            OutputError: it cannot be written.
        """
        self._encoder = encoder
        self._marks_end = marks_end
        self._target = OutputTarget(place, is_streamed=marks_end)
        self._put(encoder.header())

    def write(self, result: FrameResult) -> None:
        """Write one frame; frames come in order.

        Raises:
            OutputError: it cannot be written.
        """
        if not self._target.is_open:
            raise OutputError(f"cannot write {self._target.name}: it is closed")
        self._put(self._encoder.frame(result))

    def close(self, end: ResultEnd) -> None:
        """Write the trailer and give the result its final name, unless the input broke and only the name could say so.

        Raises:
            OutputError: it cannot be written.
        """
        if not self._target.is_open:
            return
        for piece in self._encoder.trailer(end):
            self._put(piece)
        self._finish(end)

    @property
    def can_rewrite(self) -> bool:
        """Whether the result is in a regular file, and not in a stream that somebody has read."""
        return self._target.can_begin_again

    def written(self) -> BinaryIO:
        """What was written so far, for reading; only where ``can_rewrite``.

        Raises:
            OutputError: it cannot be read.
        """
        return self._target.read_back()

    def rewrite(self, pieces: Iterable[bytes], end: ResultEnd, encoder: Encoder | None = None) -> None:
        """Replace all that was written, and close; only where ``can_rewrite``.

        Args:
            pieces: the header and the frames, now final.
            end: as for ``close``.
            encoder: gives the trailer; None: the writer's own, which has counted the frames.

        Raises:
            OutputError: it cannot be written.
        """
        self._target.begin_again()
        for piece in pieces:
            self._put(piece)
        self._encoder = encoder or self._encoder
        self.close(end)

    def _finish(self, end: ResultEnd) -> None:
        if self._marks_end or not end.is_broken:
            self._target.finish()
        else:
            self._target.leave()

    def abort(self, *, is_failure: bool = False) -> None:
        """Stop without a trailer and keep what was written. Never raises.

        Args:
            is_failure: as after an OutputError, leave nothing under the final name.
        """
        if is_failure and self._marks_end:
            self._target.set_aside()
        else:
            self._target.leave()

    def _put(self, piece: bytes) -> None:
        if piece:
            self._target.write(piece)
