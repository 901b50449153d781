"""What every writer of results is told and must do.

A writer stands at the end of the flow: it gets a header, FrameResults in order, and one closing word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

from acfd_stream.types import FrameResult


@dataclass(frozen=True, slots=True)
class ResultHeader:
    """What is known before the first frame. Of clock and machine it holds only what changes results: the precision."""

    source: str  # file name as given, or URL without its secrets
    display_size: tuple[int, int]  # (height, width), the frame of reference of all boxes
    time_base: Fraction  # seconds
    model: Mapping[str, Any]  # name, version and precision of the detector
    settings: Mapping[str, Any] = field(default_factory=dict)  # all that changes results, and nothing else
    frame_rate: Fraction | None = None  # average, where known: the last frame's share of the duration


@dataclass(frozen=True, slots=True)
class ResultEnd:
    """What is known after the last frame."""

    tracks: int  # tracks that were given out
    is_complete: bool = True  # False: the input broke before its end
    error: str | None = None  # what broke, where it did
    warnings: tuple[str, ...] = ()  # what was odd and did no harm


class Writer(Protocol):
    """One result on its way to one place. Exactly one of ``close`` and ``abort`` ends it; a second call does nothing.

    After an OutputError the writer is ended: what was written lies in ``NAME.part`` and nothing under ``NAME``.
    A reader that goes away (BrokenPipeError) is not an OutputError.
    """

    def write(self, result: FrameResult) -> None:
        """Write one frame; frames come in order.

        Raises:
            OutputError: it cannot be written.
        """

    def close(self, end: ResultEnd) -> None:
        """Write what the format says at the end and give the result its final name.

        Raises:
            OutputError: it cannot be written.
        """

    def abort(self, *, is_failure: bool = False) -> None:
        """Stop here without a closing word. Never raises.

        Args:
            is_failure: as after an OutputError, leave nothing under the final name.
        """
