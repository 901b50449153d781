"""The limit on the size of a picture, as FFmpeg's decoders apply it: before they take memory for the picture.

The size in a container's header may be another one than that in a packet. Only the decoder's own size counts.
"""

from __future__ import annotations

import errno
import math

from av.video.codeccontext import VideoCodecContext

_MOST = 2**31 - 1  # of max_pixels
# A decoder compares what it allocates: sides are rounded up to blocks, and some have borders. The margin is enough up
# to a ratio of the sides of about 30; of still longer pictures some a little below the limit are refused.
_MARGIN_TIMES, _MARGIN = 512, 2**16


class PictureSizeError(Exception):
    """The decoder refused a picture for its size."""


def size_options(frame_pixels: int) -> dict[str, str]:
    """The option of a decoder, or of a container's analysis, that refuses pictures far above ``frame_pixels``.

    A picture little above it is decoded, and refused by its exact size afterwards.
    """
    return {"max_pixels": str(min(_MOST, frame_pixels + _MARGIN_TIMES * math.isqrt(frame_pixels) + _MARGIN))}


def is_refused_for_size(context: VideoCodecContext, error: Exception, frame_pixels: int, *, had_size: bool) -> bool:
    """Whether ``error``, which a decoder with ``size_options`` raised for a packet, is that its picture is too large.

    FFmpeg has no error code for it. A decoder keeps the size that it refused, or sets it to 0. dav1d has a code.

    Args:
        context: the decoder.
        error: what it raised.
        frame_pixels: its limit.
        had_size: whether it knew a size before the packet.
    """
    code, pixels = getattr(error, "errno", None), context.width * context.height
    is_taken_back = pixels == 0 and (had_size or code == errno.EINVAL)
    return pixels > frame_pixels or is_taken_back or code == errno.ERANGE
