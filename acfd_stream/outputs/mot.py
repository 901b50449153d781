"""Results as MOTChallenge text, a row a face, as TrackEval reads it.

``frame,id,x,y,width,height,score,-1,-1,-1``: frames count from 1, x and y are the left top corner in display
pixels from 0, to 2 decimals; scores to 4. The format has no header and no end, so half a file looks whole:
rows go to ``NAME.part``, which takes its final name only when the input was read to its end.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from acfd_stream.errors import OutputError
from acfd_stream.outputs.target import Target
from acfd_stream.outputs.writer import ResultEnd, ResultHeader
from acfd_stream.types import Face, FrameResult


class MotWriter:
    """Writes rows to ``NAME.part`` and renames it at the end."""

    def __init__(self, place: str | Path | BinaryIO, header: ResultHeader) -> None:
        """Open ``place``; the format keeps nothing of the header.

        Raises:
            OutputError: it cannot be written.
        """
        self._target = Target(place, is_streamed=False)

    def write(self, result: FrameResult) -> None:
        """Write the frame's rows; a frame without faces has none.

        Raises:
            OutputError: they cannot be written.
        """
        if not self._target.is_open:
            raise OutputError(f"cannot write {self._target.name}: it is closed")
        if result.faces:
            self._target.write(b"".join(_row(result.index + 1, face) for face in result.faces))

    def close(self, end: ResultEnd) -> None:
        """Give the file its final name, or leave ``NAME.part`` when the input broke before its end.

        Raises:
            OutputError: it cannot be renamed.
        """
        if end.is_complete:
            self._target.finish()
        else:
            self._target.leave()

    def abort(self, *, is_failure: bool = False) -> None:
        """Stop here; the rows so far stay in ``NAME.part``."""
        self._target.leave()


def _row(frame: int, face: Face) -> bytes:
    x1, y1, x2, y2 = face.box_xyxy
    place = f"{x1:z.2f},{y1:z.2f},{x2 - x1:z.2f},{y2 - y1:z.2f}"
    return f"{frame},{face.track_id},{place},{face.score:z.4f},-1,-1,-1\n".encode("ascii")
