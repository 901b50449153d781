"""Draws a result on its picture: boxes, names or IDs, and scores, and a caption with shot and time."""

from __future__ import annotations

import unicodedata

from acfd_stream.drawing import Box, Color, Image, draw_box, draw_caption, draw_label, track_color
from acfd_stream.printable import printable
from acfd_stream.types import Face, FaceState, FrameResult


def draw_result(image: Image, result: FrameResult, scale: tuple[float, float]) -> None:
    """Draw the faces of ``result`` and a caption with shot and time onto ``image``.

    Args:
        image: uint8 [H, W, 3] RGB, drawn on in place.
        scale: (y, x) from the frame's display pixels to those of ``image``.
        result: what is said of the frame.
    """
    for face in result.faces:
        is_filled = face.state is FaceState.FILLED
        draw_box(image, _scaled(face, scale), _color(face), is_dashed=is_filled)
    for face in result.faces:  # above all boxes
        draw_label(image, _scaled(face, scale), f"{_label(face)}  {face.score:.2f}", _color(face))
    draw_caption(image, _caption(result))


def _label(face: Face) -> str:
    """Who it is, as far as is known: the name, else the number of the character, else that of the track."""
    if name := _drawable(face.name):
        return name
    return f"character {face.character}" if face.character else str(face.track_id)


def _drawable(name: str) -> str:
    """``name`` without what the font lacks, which is all but ASCII: "é" is "e"; "": no letter or digit is left."""
    text = unicodedata.normalize("NFKD", printable(name)).encode("ascii", "ignore").decode()
    return " ".join(text.split()) if any(map(str.isalnum, text)) else ""


def _color(face: Face) -> Color:
    """Of the character, so that it keeps its colour over cuts; of a face of nobody that of the track."""
    return track_color(face.character or face.track_id)


def _scaled(face: Face, scale: tuple[float, float]) -> Box:
    x1, y1, x2, y2 = face.box_xyxy
    return x1 * scale[1], y1 * scale[0], x2 * scale[1], y2 * scale[0]


def _caption(result: FrameResult) -> str:
    minutes, seconds = divmod(abs(result.pts_seconds), 60)
    hours, minutes = divmod(int(minutes), 60)
    sign = "-" if result.pts_seconds < 0 else "~" if result.is_pts_filled else ""
    return f"shot {result.shot}   {sign}{hours}:{minutes:02d}:{seconds:06.3f}   pts {result.pts}"
