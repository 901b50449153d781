"""One shot: a background, characters in front of it, and a camera that may pan."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from . import backgrounds, clutter
from .acting import Keys, Part, ease, glide, pose_at, standing_height
from .bodies import draw_character
from .canvas import Canvas
from .design import Design
from .effects import lit
from .palette import Brush, Style

Pixels = NDArray[np.uint8]  # [H, W, 3] RGB


@dataclass(slots=True)
class Shot:
    """A shot as planned."""

    seconds: float
    place: str  # name of a background
    parts: list[Part]
    pan: Keys = field(default_factory=lambda: [(0.0, 0.0)])  # camera, fractions of the width to the right
    after: str = "cut"  # transition to the next shot: cut, fade_black, fade_white, dissolve
    after_seconds: float = 0.0  # length of that fade or dissolve
    flashes: list[tuple[float, int, str]] = field(default_factory=list)  # (seconds, frames 1 … 4, white/black/inverted)
    has_foreground: bool = False
    seed: int = 0
    hold: int = 0  # frames per drawing; 0: as the script says
    light: tuple[float, float, float] = (1.0, 1.0, 1.0)  # gain of red, green and blue: night, dusk, a lamp


@dataclass(frozen=True, slots=True)
class SeenFace:
    """A face as drawn in a frame."""

    character: int
    box_xyxy: tuple[float, float, float, float]  # pixels of the frame
    visible: float  # [0, 1]
    yaw: float = 0.0  # direction of view, radians, positive to the right


class Scene:
    """Draws any moment of a shot. The same shot, cast, style and size give the same pixels."""

    def __init__(self, shot: Shot, cast: list[Design], style: Style, size: tuple[int, int]) -> None:
        self.shot, self.cast, self.style, self.size = shot, cast, style, size
        self.margin = size[0] // 4  # drawn around the frame, to know the whole area of faces that it cuts
        self._line = max(1.0, 0.045 * 0.06 * size[0]) if style.line_width > 0 else 0.0
        self._background = self._paint_background()

    def _paint_background(self) -> Pixels:
        height, width = self.size
        reach = max(abs(value) for _, value in self.shot.pan)
        canvas = Canvas((height, width + int(reach * width) + 1))
        rng = np.random.default_rng((self.shot.seed, 1))
        backgrounds.draw_background(canvas, rng, self.style, self._line, self.shot.place)
        return canvas.pixels

    def _camera(self, time: float) -> float:
        """Left edge of the frame in the background, pixels."""
        lowest = min(0.0, min(value for _, value in self.shot.pan))
        return (glide(self.shot.pan, time) - lowest) * self.size[1]

    def _blank(self, time: float) -> Canvas:
        height, width = self.size
        left = round(self._camera(time))
        canvas = Canvas((height + 2 * self.margin, width + 2 * self.margin))
        canvas.pixels[self.margin : self.margin + height, self.margin : self.margin + width] = self._background[
            :, left : left + width
        ]
        return canvas

    def _position(self, part: Part, time: float) -> tuple[float, float, float]:
        """x, y of the head and half its height, in pixels of the frame, without the bob of walking."""
        height, width = self.size
        unit, tall = ease(part.unit, time) * height, standing_height(self.cast[part.character])
        if part.y is None:
            return glide(part.x, time) * width, part.ground * height - unit * tall, unit
        y = ease(part.y, time) * height
        closer = 1.04 * height - y  # a small character is enlarged until its feet leave the frame
        return glide(part.x, time) * width, y, min(max(unit, closer / tall), 0.3 * height)

    def _walked(self, part: Part, time: float) -> tuple[float, float]:
        """Speed over the ground and distance since the start, half head heights (per second)."""
        unit = max(ease(part.unit, time) * self.size[0], 1.0)

        def place(moment: float) -> float:
            return (glide(part.x, moment) + glide(self.shot.pan, moment)) * self.size[1] / unit

        speed = (place(time + 0.04) - place(time - 0.04)) / 0.08
        return speed, abs(place(time) - place(0.0))

    def draw(self, time: float, mouth_time: float) -> tuple[Pixels, list[SeenFace]]:
        """The frame at ``time`` seconds into the shot, and its faces by rising character number."""
        canvas = self._blank(time)
        places = [(self._position(part, time), part) for part in self.shot.parts]
        drawn: list[tuple[int, int, float, int]] = []
        for tag, ((x, y, unit), part) in enumerate(sorted(places, key=lambda place: place[0][2]), start=1):
            speed, distance = self._walked(part, time)
            pose = pose_at(part, time, mouth_time, speed, distance)
            bob = abs(np.sin(pose.step)) * 0.07 * unit * pose.stride
            centre = (x + self.margin, y + self.margin - bob)
            if -2 * unit < x < self.size[1] + 2 * unit or unit > 0.3 * self.size[0]:
                draw_character(canvas, self.cast[part.character], pose, centre, unit, tag)
                drawn.append((tag, part.character, pose.yaw, int(np.count_nonzero(canvas.owner == tag))))
        if self.shot.has_foreground:
            front = np.random.default_rng((self.shot.seed, 2))
            clutter.foreground(Brush(canvas, front, self.style, self._line))
        return self._cropped(canvas, drawn)

    def _cropped(self, canvas: Canvas, drawn: list[tuple[int, int, float, int]]) -> tuple[Pixels, list[SeenFace]]:
        rows, columns = slice(self.margin, self.margin + self.size[0]), slice(self.margin, self.margin + self.size[1])
        owner = canvas.owner[rows, columns]
        faces = []
        for tag, character, yaw, whole in drawn:
            mask = owner == tag
            count = int(np.count_nonzero(mask))
            if count < 4:
                continue
            across, down = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
            box = (float(across[0]), float(down[0]), float(across[-1] + 1), float(down[-1] + 1))
            faces.append(SeenFace(character, box, count / max(whole, 1), yaw))
        pixels = lit(np.ascontiguousarray(canvas.pixels[rows, columns]), self.shot.light)
        return pixels, sorted(faces, key=lambda face: face.character)
