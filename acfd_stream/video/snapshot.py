"""One frame with its faces drawn on, as a JPEG: what a page shows of a stream."""

from __future__ import annotations

import cv2

from acfd_stream.errors import OutputError
from acfd_stream.ops import letterbox
from acfd_stream.types import Frame, FrameResult
from acfd_stream.video.drawing import draw_result

_QUALITY = 85


def drawn_jpeg(frame: Frame, result: FrameResult, *, longer_side: int) -> bytes:
    """JPEG of the display picture of ``frame`` with ``result`` on it, its longer side at most ``longer_side`` pixels.

    Raises:
        OutputError: it cannot be encoded.
    """
    height, width = frame.picture.display_size
    scale = min(1.0, longer_side / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    image = letterbox(frame.picture, size, size)
    draw_result(image, result, (size[0] / height, size[1] / width))
    is_done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not is_done:
        raise OutputError(f"a picture of {size[1]}x{size[0]} cannot be written as a JPEG")
    return data.tobytes()
