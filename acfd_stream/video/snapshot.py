"""JPEGs of one frame: with its faces drawn on it for a page, or of one face."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from acfd_stream.errors import OutputError
from acfd_stream.ops import thumbnail
from acfd_stream.types import FrameResult
from acfd_stream.video.draw_result import draw_result
from acfd_stream.video.frame import Frame

_QUALITY = 85


def drawn_jpeg(frame: Frame, result: FrameResult, *, longer_side: int) -> bytes:
    """JPEG of the display picture of ``frame`` with ``result`` on it, its longer side at most ``longer_side`` pixels.

    Raises:
        OutputError: it cannot be encoded.
    """
    height, width = frame.picture.display_size
    scale = min(1.0, longer_side / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    image = thumbnail(frame.picture, size)
    draw_result(image, result, (size[0] / height, size[1] / width))
    return _jpeg(image, size)


def cut_jpeg(frame: Frame, box_xyxy: tuple[int, int, int, int], *, longer_side: int) -> bytes:
    """JPEG of a part of the display picture of ``frame``, its longer side at most ``longer_side`` pixels.

    Args:
        frame: with pixels.
        box_xyxy: within the display picture, not empty.
        longer_side: a smaller part keeps its size.

    Raises:
        OutputError: it cannot be encoded.
    """
    x1, y1, x2, y2 = box_xyxy
    size = frame.picture.display_size
    image = thumbnail(frame.picture, size)[y1:y2, x1:x2]
    scale = min(1.0, longer_side / max(image.shape[:2]))
    return _jpeg(image, (max(1, round((y2 - y1) * scale)), max(1, round((x2 - x1) * scale))))


def _jpeg(image: NDArray[np.uint8], size: tuple[int, int]) -> bytes:
    """``image``, uint8 [H, W, 3] RGB, in ``size`` (height, width), which is not larger."""
    height, width = size
    data = BytesIO()
    try:
        picture = PilImage.fromarray(image)
        if size != image.shape[:2]:
            picture = picture.resize((width, height), PilImage.Resampling.BOX)
        picture.save(data, "JPEG", quality=_QUALITY)
    except (OSError, ValueError) as error:
        raise OutputError(f"a picture of {width}x{height} cannot be written as a JPEG") from error
    return data.getvalue()
