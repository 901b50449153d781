"""A decoded frame, which every source of frames gives out."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from acfd_stream.ops import thumbnail
from acfd_stream.types import Picture, Seam


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame: a picture with its timestamp."""

    index: int  # 0, 1, 2 … in display order, counted from the first frame that was read
    pts: int  # in units of time_base, from the container; may be negative
    time_base: Fraction  # seconds
    picture: Picture
    is_pts_filled: bool = False  # the container had none: pts was computed from the frame rate
    arrived_at: float | None = field(default=None, compare=False)  # perf_counter() when its bytes had arrived
    ingest_seconds: float = field(default=0.0, compare=False)  # time that its bytes waited for the decoder
    decode_seconds: float = field(default=0.0, compare=False)  # time of decoding
    failure: str = field(default="", compare=False)  # decoding error; the frame has no pixels then
    is_damaged: bool = False  # the decoder says that parts of the picture are wrong
    seams: tuple[Seam, ...] = ()  # what begins anew here

    @property
    def pts_seconds(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    def to_rgb(self) -> NDArray[np.uint8]:
        """The upright picture in its display size: uint8 [H, W, 3] RGB, SDR, a copy.

        Raises:
            ShapeError: the frame has no pixels, because it was dropped or could not be decoded.
        """
        return thumbnail(self.picture, self.picture.display_size)
