"""Selects the frames of thumbnails and of the poster from results alone; the caller cuts them out of the video.

``best_faces`` reads results once and keeps one face per track. The best face is detected (not filled), has a high
score, and is large: sides count up to ``ENOUGH_PIXELS``, the most that a thumbnail shows. Among equals the earliest
wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from acfd_stream.outputs.face_values import SCORE_DECIMALS, rounded, rounded_box
from acfd_stream.types import Face, FaceState, FrameResult

ENOUGH_PIXELS = 192.0
_SURE_SCORE = 0.7
_ROOM = 1.5  # of the face's longer side, to include hair and chin


@dataclass(frozen=True, slots=True)
class BestFace:
    """The face that a track's thumbnail shows."""

    track_id: int
    index: int  # of its frame
    box_xyxy: tuple[float, float, float, float]  # display pixels


def best_faces(results: Iterable[FrameResult], display_size: tuple[int, int]) -> list[BestFace]:
    """The best face of every track, in the order of their frames.

    Args:
        results: in order. Results read from JSON lines and the originals give the same faces.
        display_size: (height, width), pixels.
    """
    best: dict[int, tuple[float, BestFace]] = {}
    for result in results:
        for face in result.faces:
            quality = quality_of(face, display_size)
            if face.track_id not in best or quality > best[face.track_id][0]:
                x1, y1, x2, y2 = rounded_box(face.box_xyxy)
                best[face.track_id] = (quality, BestFace(face.track_id, result.index, (x1, y1, x2, y2)))
    return sorted((face for _, face in best.values()), key=lambda face: (face.index, face.track_id))


def poster_index(results: Iterable[FrameResult]) -> int | None:
    """The index of the frame that stands for the video; None: there is no frame.

    It is the first one that surely shows a face, and the middle one where none does.
    """
    indices = []
    for result in results:
        if any(face.state is FaceState.DETECTED and face.score >= _SURE_SCORE for face in result.faces):
            return result.index
        indices.append(result.index)
    return indices[len(indices) // 2] if indices else None


def cut_around(box_xyxy: tuple[float, float, float, float], display_size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The rectangle of a thumbnail: a square with a margin around the face, moved into the picture.

    Returns:
        x1, y1, x2, y2 in whole display pixels, within the picture; a side is shorter where the picture is.
    """
    x1, y1, x2, y2 = box_xyxy
    side = max(1, round(max(x2 - x1, y2 - y1) * _ROOM))
    left, right = _span((x1 + x2) / 2, side, display_size[1])
    top, bottom = _span((y1 + y2) / 2, side, display_size[0])
    return left, top, right, bottom


def _span(middle: float, side: int, room: int) -> tuple[int, int]:
    begin = min(max(0, round(middle - side / 2)), max(0, room - side))
    return begin, min(begin + side, room)


def quality_of(face: Face, display_size: tuple[int, int]) -> float:
    """How well a face shows its track: large, sure, inside the picture of this (height, width); 0 if it is filled."""
    x1, y1, x2, y2 = rounded_box(face.box_xyxy)
    if face.state is not FaceState.DETECTED:
        return 0.0
    height, width = display_size
    inside = max(0.0, min(x2, width) - max(x1, 0)) * max(0.0, min(y2, height) - max(y1, 0))
    area = (x2 - x1) * (y2 - y1)
    side = min(min(x2 - x1, y2 - y1), ENOUGH_PIXELS)
    return float(rounded(face.score, SCORE_DECIMALS) ** 2 * side * (inside / area if area > 0 else 0.0))
