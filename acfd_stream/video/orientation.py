"""Brings pictures upright: one of eight orientations for every frame, from display matrices.

Containers, SEI messages and EXIF data reach us as one form, FFmpeg's display matrix of a frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import cast

from av import VideoFrame
from av.error import FFmpegError
from av.filter import Graph
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.reformatter import VideoReformatter

from acfd_stream.types import Picture

_EXIF = 31  # AV_FRAME_DATA_EXIF, which PyAV has no name for: it fails on all side data of such a frame
_FAR = 0.1  # distance of a matrix from the nearest orientation; a turn by 4° has it


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture becomes upright: it is flipped first, then rotated."""

    is_flipped: bool = False  # the top row becomes the bottom row; with a rotation by 180° left and right change places
    rotation: int = 0  # 0, 90, 180 or 270 degrees clockwise

    def upright(self, picture: Picture) -> Picture:
        """``picture``, which has the rotation already, with the flip: its planes are read from the last row on."""
        if not self.is_flipped:
            return picture
        # Of an odd height the last row of chroma covers one row of luma: chroma shifts by half of its row.
        return replace(picture, planes=tuple(plane[::-1] for plane in picture.planes))


UPRIGHT = Orientation()


def orientation_of(matrix: tuple[int, ...]) -> tuple[Orientation, float]:
    """The orientation nearest to a display matrix, and its distance: 0 for a turn or flip, in any scale.

    Scales, also different ones of width and height, are in the pixel aspect already.

    Args:
        matrix: [9], by rows; a stored (x, y) goes to (m0 x + m3 y, m1 x + m4 y), where y points down. Source: ISO/IEC
            14496-12, 6.2.2.
    """
    m0, m1, m3, m4 = (float(matrix[index]) for index in (0, 1, 3, 4))
    across, down = math.hypot(m0, m3), math.hypot(m1, m4)
    if across == 0 or down == 0:
        return UPRIGHT, math.inf
    m0, m3, m1, m4 = m0 / across, m3 / across, m1 / down, m4 / down
    is_flipped = m0 * m4 < m1 * m3
    if is_flipped:  # what follows the flip is a rotation
        m3, m4 = -m3, -m4
    rotation = round(math.degrees(math.atan2(m1 - m3, m0 + m4)) / 90) % 4 * 90
    cosine, sine = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    distance = math.dist((m0, m1, m3, m4), (cosine, sine, -sine, cosine)) / math.sqrt(2)
    return Orientation(is_flipped, rotation), distance


class OrientationWatch:
    """The orientation of each frame of a video, in display order.

    The matrix of a container is on every frame and comes before that of an SEI message. The matrix of an SEI message of
    H.264 is on one frame and holds up to the next message. ITU-T H.264, D.2.27, ends it at the next IDR picture, too,
    but FFmpeg's ``h264_metadata`` writes the messages of later keyframes behind their slices: onto the frames after.
    """

    def __init__(self) -> None:
        self.current = UPRIGHT
        self._reformatter = VideoReformatter()
        self._streak = 0  # frames with a matrix up to the last one
        self._number: int | None = None  # FFmpeg's angle of the last frame with a matrix
        self._farthest = 0.0

    def push(self, frame: VideoFrame) -> None:
        """Set ``current`` to the orientation of the next frame."""
        number = frame.rotation
        # Of a frame on a GPU only a new angle is worth a copy.
        if frame.sw_format is not None and self._number is not None and number in (0, self._number):
            has_matrix = number != 0
        else:
            matrix = self._matrix(frame)
            has_matrix = matrix is not None
            if matrix is not None:
                self.current, distance = orientation_of(matrix)
                self._farthest = max(self._farthest, distance)
        if not has_matrix and self._streak > 1:
            self.current = UPRIGHT
        self._streak = self._streak + 1 if has_matrix else 0
        self._number = number or self._number or 0

    def warnings(self) -> list[str]:
        """What a user should know of the matrices so far."""
        if self._farthest <= _FAR:
            return []
        return [
            "the display matrix is neither a turn by quarters nor a mirroring; the pictures have the nearest of these"
        ]

    def _matrix(self, frame: VideoFrame) -> tuple[int, ...] | None:
        # Side data keeps its frame until Python collects cycles. A frame of 2×2 pixels has the same side data.
        try:
            if frame.sw_format is None:
                frame = self._reformatter.reformat(frame, 2, 2, "gray", interpolation="POINT", threads=1)
            return _first_matrix(frame)
        except (FFmpegError, ValueError):
            return None


def _first_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    try:
        side_data = cast(SideDataContainer, frame.side_data)
    except ValueError:
        side_data = cast(SideDataContainer, _without_exif(frame).side_data)
    for each in side_data:
        if each.type is Type.DISPLAYMATRIX:
            return tuple(memoryview(each).cast("B").cast("i"))
    return None


def _without_exif(frame: VideoFrame) -> VideoFrame:
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1))
    graph.link_nodes(source, graph.add("sidedata", f"mode=delete:type={_EXIF}"), graph.add("buffersink")).configure()
    graph.push(frame)
    return cast(VideoFrame, graph.pull())
