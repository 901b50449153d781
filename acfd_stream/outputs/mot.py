"""Results as MOTChallenge text, one row per face, as TrackEval reads it.

``frame,id,x,y,width,height,score,-1,-1,-1``: frames count from 1; x and y are the top left corner in display pixels
from 0, with 2 decimals; scores have 4. The format has no header and no end. The id is that of the track, or, in the
format of characters, the number of the character; there, faces of nobody are left out.
"""

from __future__ import annotations

from collections.abc import Iterable

from acfd_stream.outputs.face_values import rounded_box
from acfd_stream.outputs.writer import ResultEnd, ResultHeader
from acfd_stream.types import Face, FrameResult


class MotEncoder:
    """An ``Encoder`` of MOTChallenge rows whose id is the track; it ignores the header."""

    def __init__(self, header: ResultHeader) -> None:
        pass

    def header(self) -> bytes:
        """Nothing."""
        return b""

    def frame(self, result: FrameResult) -> bytes:
        """The frame's rows, one per face."""
        rows = ((self._id(face), face) for face in result.faces)
        return b"".join(_row(result.index + 1, number, face) for number, face in rows if number)

    def trailer(self, end: ResultEnd) -> Iterable[bytes]:
        """Nothing."""
        return ()

    def _id(self, face: Face) -> int:
        return face.track_id


class CharacterMotEncoder(MotEncoder):
    """An ``Encoder`` of MOTChallenge rows whose id is the character."""

    def _id(self, face: Face) -> int:
        return face.character


def _row(frame: int, number: int, face: Face) -> bytes:
    x1, y1, x2, y2 = rounded_box(face.box_xyxy)
    box = f"{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}"
    return f"{frame},{number},{box},{face.score:z.4f},-1,-1,-1\n".encode("ascii")
