"""Frames from OpenCV's reader, as in most scripts, for peers without a decoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def brought_to(frame: str, size: int) -> tuple[int, int]:
    """(height, width) of a frame "HEIGHTxWIDTH" whose longer side becomes ``size``."""
    height, width = (int(side) for side in frame.split("x"))
    scale = size / max(height, width)
    return round(height * scale), round(width * scale)


def frames_of(clip: Path) -> Iterator[Any]:
    """BGR frames of a clip."""
    import cv2

    video = cv2.VideoCapture(str(clip))
    try:
        while True:
            is_there, image = video.read()
            if not is_there:
                return
            yield image
    finally:
        video.release()
