"""Draws the parts of a head in order."""

from __future__ import annotations

from . import eyes, faces, hair, hats, noses
from .canvas import Canvas
from .head import Head


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
