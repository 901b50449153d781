"""Draws a result on its picture: boxes, IDs and scores, and a caption with shot and time."""

from __future__ import annotations

from acfd_stream.drawing import Box, Image, draw_box, draw_caption, draw_label, track_color
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
        draw_box(image, _scaled(face, scale), track_color(face.track_id), is_dashed=is_filled)
    for face in result.faces:  # above all boxes
        text = f"{face.track_id}  {face.score:.2f}"
        draw_label(image, _scaled(face, scale), text, track_color(face.track_id))
    draw_caption(image, _caption(result))


def _scaled(face: Face, scale: tuple[float, float]) -> Box:
    x1, y1, x2, y2 = face.box_xyxy
    return x1 * scale[1], y1 * scale[0], x2 * scale[1], y2 * scale[0]


def _caption(result: FrameResult) -> str:
    minutes, seconds = divmod(abs(result.pts_seconds), 60)
    hours, minutes = divmod(int(minutes), 60)
    sign = "-" if result.pts_seconds < 0 else "~" if result.is_pts_filled else ""
    return f"shot {result.shot}   {sign}{hours}:{minutes:02d}:{seconds:06.3f}   pts {result.pts}"
