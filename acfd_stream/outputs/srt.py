"""Results as SubRip subtitles, for players and editors that do not read WebVTT: the same spans, numbered from 1.

The format has no comments, so it holds neither the header nor the closing line.
"""

from __future__ import annotations

from collections.abc import Iterable

from acfd_stream.outputs.spans import Span, TrackSpans, clock
from acfd_stream.outputs.writer import ResultEnd, ResultHeader
from acfd_stream.types import FrameResult


class SrtEncoder:
    """An ``Encoder`` of SubRip subtitles."""

    def __init__(self, header: ResultHeader) -> None:
        self._spans = TrackSpans(header)
        self._count = 0

    def header(self) -> bytes:
        """Nothing."""
        return b""

    def frame(self, result: FrameResult) -> bytes:
        """The subtitles that no older one can precede any more."""
        return b"".join(map(self._subtitle, self._spans.push(result)))

    def trailer(self, end: ResultEnd) -> Iterable[bytes]:
        """The subtitles of tracks that last until the end."""
        yield b"".join(map(self._subtitle, self._spans.flush(end)))

    def _subtitle(self, span: Span) -> bytes:
        self._count += 1
        times = f"{clock(span.first, ',')} --> {clock(span.last, ',')}"
        text = span.text.replace("-->", "->")  # parsers look for the arrow
        return f"{self._count}\n{times}\n{text}\n\n".encode()
