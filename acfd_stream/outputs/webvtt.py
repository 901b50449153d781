"""Results as WebVTT: one cue per time span of a track on screen, so that any player shows which tracks are visible.

A track that returns after a gap gets another cue; see ``spans`` for the order and the times.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from acfd_stream.outputs.spans import Span, TrackSpans, clock
from acfd_stream.outputs.writer import ResultEnd, ResultHeader
from acfd_stream.types import FrameResult


class VttEncoder:
    """An ``Encoder`` of WebVTT. The header line and the closing line become notes."""

    def __init__(self, header: ResultHeader) -> None:
        self._spans = TrackSpans(header)

    def header(self) -> bytes:
        """The format's name, and the header line."""
        return b"WEBVTT\n\n" + _note(self._spans.lines.header())

    def frame(self, result: FrameResult) -> bytes:
        """The cues that no older cue can precede any more."""
        return b"".join(map(_cue, self._spans.push(result)))

    def trailer(self, end: ResultEnd) -> Iterable[bytes]:
        """The cues of tracks that last until the end, and the closing line."""
        yield b"".join(map(_cue, self._spans.flush(end)))
        yield _note(self._spans.lines.end(end))


def _cue(span: Span) -> bytes:
    times = f"{clock(span.first, '.')} --> {clock(span.last, '.')}"
    text = html.escape(span.text, quote=False)  # of ">", too: a cue must not contain an arrow
    return f"{span.track_id}.{span.number}\n{times}\n{text}\n\n".encode()


def _note(line: bytes) -> bytes:
    """A line of JSON as a comment block, which must not contain an arrow."""
    return b"NOTE\n" + line.replace(b">", b"\\u003e") + b"\n"
