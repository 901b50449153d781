"""Bodies, the parts of a head in order, and whole characters."""

from __future__ import annotations

import numpy as np

from . import eyes, faces, hair, hats, noses, shading, things
from .canvas import Canvas, Points, ellipse, scaled, smooth
from .design import BLACK, WHITE, Design, Pose
from .head import Head


class Figure:
    """The body under a head: from body space (half head heights below the head's middle) to pixels."""

    def __init__(self, design: Design, pose: Pose, centre: tuple[float, float], unit: float) -> None:
        self.design, self.pose, self.unit = design, pose, unit
        self.body, self.style = design.body, design.style
        self.centre = np.asarray(centre, np.float64)
        self.line_width = self.style.line_width * unit
        self.wide = 0.55 + 0.45 * abs(float(np.cos(pose.yaw)))  # narrower in profile
        self.shoulder_y = 0.95 + self.body.neck + 0.15
        self.hip_y = self.shoulder_y + self.body.torso

    def px(self, points: object) -> Points:
        """Pixels of points in body space."""
        return np.asarray(points, np.float64) * self.unit + self.centre

    def shape(self, canvas: Canvas, points: object, color: tuple[int, int, int]) -> None:
        """Fill and outline a shape given in body space."""
        self.style.shape(canvas, self.px(points), color, self.line_width)

    def limb(self, canvas: Canvas, points: object, color: tuple[int, int, int], width: float) -> None:
        """A tube through ``points`` in body space."""
        color = self.style.tone(color)
        line = self.style.line(color) if self.line_width >= 0.4 else None
        canvas.limb(self.px(points), color, width * self.unit, line, self.line_width)


def _bend(start: tuple[float, float], first: float, second: float, length: float) -> Points:
    """Points of an arm from shoulder to hand; angles from straight down, positive to the right."""
    elbow = (start[0] + length * np.sin(first), start[1] + length * np.cos(first))
    hand = (elbow[0] + length * np.sin(second), elbow[1] + length * np.cos(second))
    return smooth([start, elbow, hand], closed=False, steps=6)


def _arm(canvas: Canvas, figure: Figure, side: float) -> None:
    body, pose = figure.body, figure.pose
    index = 0 if side < 0 else 1
    swing = 0.45 * pose.stride * np.sin(pose.step + (0 if side < 0 else np.pi)) * abs(np.sin(pose.yaw))
    first = side * pose.arms[index] + swing
    second = first + side * pose.elbows[index]
    start = (side * body.shoulder * 0.88 * figure.wide, figure.shoulder_y + body.limb * 0.9)
    points = _bend(start, first, second, 0.25 + body.torso * 0.42)
    bare = figure.design.wobble[20] > 0.2 or figure.style.kind == "rubber"
    cut = 5 if bare else 11
    skin = figure.design.skin if figure.style.kind != "rubber" else BLACK
    figure.limb(canvas, points, skin if bare else body.top, body.limb * 1.5)
    if bare and figure.design.kind == "human":
        figure.limb(canvas, points[:cut], body.top, body.limb * 1.75)
    hand = points[-1]
    palm = WHITE if figure.style.kind == "rubber" else figure.design.skin
    figure.shape(canvas, ellipse(hand[0], hand[1], body.limb * 1.15, body.limb * 1.2, 14), palm)
    if figure.unit > 25:
        for spread in (-0.6, 0.0, 0.6):
            tip = hand + body.limb * 1.7 * np.array([np.sin(second + spread), np.cos(second + spread)])
            figure.limb(canvas, [hand + (tip - hand) * 0.5, tip], palm, body.limb * 0.7)


def _legs(canvas: Canvas, figure: Figure) -> None:
    body, pose = figure.body, figure.pose
    bare = body.skirt or figure.design.kind == "animal"
    color = figure.design.skin if bare else body.bottom
    for side in (-1.0, 1.0):
        phase = pose.step + (0 if side < 0 else np.pi)
        swing = 0.55 * pose.stride * np.sin(phase)
        lift = 0.25 * pose.stride * max(0.0, float(np.cos(phase))) * body.leg
        x = side * body.hip * 0.5 * figure.wide
        forward = np.sign(np.sin(pose.yaw)) * swing * body.leg * 0.6 * abs(np.sin(pose.yaw))
        knee = (x + forward * 0.6 + 0.1 * lift, figure.hip_y + body.leg * 0.5 - lift * 0.4)
        foot = (x + forward, figure.hip_y + body.leg - lift * 0.5)
        figure.limb(canvas, smooth([(x, figure.hip_y - 0.1), knee, foot], False), color, body.limb * 1.9)
        toe = 0.25 * (np.sin(pose.yaw) if abs(np.sin(pose.yaw)) > 0.3 else side * 0.6)
        figure.shape(canvas, ellipse(foot[0] + toe, foot[1], body.limb * 1.9, body.limb * 0.95, 16), body.shoe)


def _torso(canvas: Canvas, figure: Figure) -> None:
    body, wide = figure.body, figure.wide
    top, low = figure.shoulder_y, figure.hip_y
    shoulder, hip = body.shoulder * wide, body.hip * wide
    hem = hip * 1.7 if body.skirt else hip
    drop = body.leg * 0.45 if body.skirt else 0.15
    waist = (shoulder + hip) / 2 * 0.86
    lean = 0.1 * float(np.sin(figure.pose.step * 2)) * figure.pose.stride
    points = smooth(
        [
            (-shoulder * 0.4, top - 0.1), (shoulder * 0.4, top - 0.1), (shoulder, top + 0.2),
            (waist + lean, (top + low) / 2), (hem, low + drop), (-hem, low + drop), (-waist + lean, (top + low) / 2),
            (-shoulder, top + 0.2),
        ],
        steps=6,
    )  # fmt: skip
    color = figure.design.skin if figure.design.kind == "animal" and figure.design.wobble[21] > 0 else body.top
    pixels = figure.px(points)
    if body.pattern != "none" and not figure.style.is_unfilled and figure.unit > 8:
        canvas.paint(pixels, figure.style.tone(color), shading.pattern(body.pattern, 0.45 * figure.unit, 0.72))
        canvas.stroke(pixels, figure.style.line(color), figure.line_width, closed=True)
    else:
        figure.style.shape(canvas, pixels, color, figure.line_width)
    if figure.design.kind == "animal":
        figure.style.shape(
            canvas,
            figure.px(ellipse(0.2 * np.sin(figure.pose.yaw), (top + low) / 2 + 0.15, waist * 0.6, body.torso * 0.36)),
            figure.design.skin_light,
            0,
        )


def _collar(canvas: Canvas, figure: Figure) -> None:
    body, top = figure.body, figure.shoulder_y
    x = 0.15 * float(np.sin(figure.pose.yaw))
    if body.collar in ("round", "scarf"):
        is_scarf = body.collar == "scarf"
        thick = 0.24 if is_scarf else 0.12
        ring = ellipse(x * 0.5, top - 0.02, body.shoulder * 0.45 + thick, thick)
        figure.shape(canvas, ring, body.bottom if is_scarf else scaled(body.top, 0.75))
    elif body.collar != "none":
        for side in (-1, 1):
            tip, outer = (x + side * 0.1, top - 0.15), (x + side * 0.45, top - 0.1)
            figure.shape(canvas, [(x, top + 0.3), tip, outer, (x + side * 0.4, top + 0.2)], WHITE)
    if body.collar == "tie":
        low = top + body.torso * 0.6
        knot = [(x - 0.12, top + 0.1), (x + 0.12, top + 0.1)]
        figure.shape(canvas, [*knot, (x + 0.17, low), (x, low + 0.15), (x - 0.17, low)], body.bottom)
    elif body.collar == "bowtie":
        for side in (-1, 1):
            figure.shape(canvas, [(x, top + 0.15), (x + side * 0.35, top), (x + side * 0.35, top + 0.3)], body.bottom)


def _four_legged(canvas: Canvas, figure: Figure) -> None:
    body, pose = figure.body, figure.pose
    side = -1.0 if np.sin(pose.yaw) >= 0 else 1.0  # the body is behind the head
    length, high = 1.3 + body.torso * 0.6, figure.shoulder_y + 0.5
    middle = side * length * 0.55
    color = figure.design.skin
    if body.tail:
        end = middle + side * length
        wave = 0.3 * np.sin(pose.step)
        figure.limb(
            canvas,
            smooth(
                [(middle + side * length * 0.5, high), (end, high - 0.4), (end + side * 0.3, high - 1.1 + wave)], False
            ),
            color,
            body.limb,
        )
    for index, part in enumerate((-0.4, 0.5, -0.25, 0.35)):
        x = middle + part * length
        foot = x + 0.3 * pose.stride * np.sin(pose.step + index * 1.6)
        shade = scaled(color, 0.85 if index < 2 else 1.0)
        figure.limb(canvas, [(x, high + 0.2), (foot, high + 0.6 + body.leg * 0.5)], shade, body.limb * 1.8)
    figure.limb(canvas, [(0.0, 0.5), (middle * 0.3, high)], color, 0.8)
    figure.shape(canvas, ellipse(middle, high, length * 0.62, 0.62 + body.hip * 0.2), color)


def draw_head(canvas: Canvas, head: Head, tag: int) -> None:
    """Draw the head without its back hair; its face becomes ``tag`` in the canvas's owner map."""
    canvas.tag = 0
    hair.draw_ears(canvas, head, is_near=False)
    head.shape(canvas, head.outline, head.design.skin)
    if not head.is_back:
        canvas.claim(head.region(), tag)
        canvas.tag = None
        faces.draw_marks(canvas, head)
        canvas.tag = tag
        faces.draw_muzzle(canvas, head)
        canvas.tag = None
        eyes.draw_eyes(canvas, head)
        faces.draw_mouth(canvas, head)
        canvas.tag = tag
        noses.draw_nose(canvas, head)
        canvas.tag = None
        faces.draw_beard(canvas, head)
        eyes.draw_brows(canvas, head)
        faces.draw_glasses(canvas, head)
    canvas.tag = 0
    hair.draw_ears(canvas, head, is_near=True)
    hair.draw_front(canvas, head)
    hats.draw_hat(canvas, head)


def draw_behind(canvas: Canvas, figure: Figure) -> None:
    """The parts behind the head: far arm, legs, torso, neck."""
    canvas.tag = 0
    body, design = figure.body, figure.design
    if body.kind == "none":
        return
    if body.kind == "four" and design.kind == "animal":
        _four_legged(canvas, figure)
        return
    if body.tail:
        figure.limb(
            canvas,
            smooth([(0, figure.hip_y), (-1.2, figure.hip_y + 0.2), (-1.5, figure.hip_y - 0.8)], False),
            design.skin,
            body.limb,
        )
    _legs(canvas, figure)
    _arm(canvas, figure, -1.0 if figure.pose.yaw > 0 else 1.0)
    _torso(canvas, figure)
    if design.kind == "human":
        lean = 0.1 * float(np.sin(figure.pose.yaw))
        figure.limb(
            canvas,
            [(-lean, 0.6), (0, figure.shoulder_y + 0.05)],
            scaled(design.skin, 0.93),
            (0.2 if figure.style.kind == "anime" else 0.3) + body.limb,
        )
    _collar(canvas, figure)


def draw_before(canvas: Canvas, figure: Figure) -> None:
    """The part in front of the head: the near arm."""
    canvas.tag = 0
    body = figure.body
    if body.kind == "biped" or (body.kind == "four" and figure.design.kind != "animal"):
        _arm(canvas, figure, 1.0 if figure.pose.yaw > 0 else -1.0)


def draw_character(
    canvas: Canvas, design: Design, pose: Pose, centre: tuple[float, float], unit: float, tag: int
) -> None:
    """A whole character whose head's middle is at ``centre`` (pixels) and half as high as ``unit`` (pixels).

    The pixels of its face are ``tag`` in the canvas's owner map afterwards.
    """
    head = Head(design, pose, centre, unit)
    figure = Figure(design, pose, centre, unit)
    if design.kind == "thing":
        things.draw_thing(canvas, head, tag)
        canvas.tag = 0
        return
    hair.draw_back(canvas, head)
    draw_behind(canvas, figure)
    draw_head(canvas, head, tag)
    draw_before(canvas, figure)
