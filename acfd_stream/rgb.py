"""RGB arrays, and the PIL images that callers have instead; imports PIL nowhere: an image of it has loaded it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

from acfd_stream.checked import is_between
from acfd_stream.errors import MediaError, ShapeError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALLOWED = "uint8 [H, W, 3] RGB or a PIL image"


class PilImage(Protocol):
    """What is needed of ``PIL.Image.Image``."""

    @property
    def mode(self) -> str:
        """Kind of pixels, such as "RGB"."""

    def convert(self, mode: str) -> Any:
        """The image in another mode."""


class HasPixels(Protocol):
    """What is needed of a ``Frame``."""

    def to_rgb(self) -> NDArray[np.uint8]:
        """uint8 [H, W, 3] RGB."""


def is_pil(image: object) -> bool:
    """Whether ``image`` is a PIL image."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


def rgb_of(image: NDArray[np.uint8] | PilImage, name: str = "image", allowed: str = ALLOWED) -> NDArray[np.uint8]:
    """The pixels of an array, not copied, or of a PIL image: uint8 [H, W, 3] RGB.

    Args:
        image: uint8 [H, W, 3] RGB, or a PIL image of any mode.
        name: of the argument, for the error.
        allowed: what the argument may be, for the error.

    Raises:
        ShapeError: it is neither.
        MediaError: a PIL image is closed, or its file is damaged.
    """
    import numpy as np

    if is_pil(image):
        image = _of_pil(image, name)  # type: ignore[arg-type]
    if not isinstance(image, np.ndarray):
        raise ShapeError(f"{name} must be {allowed}, got {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ShapeError(f"{name} must be {allowed}, got {image.dtype} {list(image.shape)}")
    return image


def _of_pil(image: PilImage, name: str) -> NDArray[np.uint8]:
    import numpy as np

    try:
        if image.mode.startswith("I;16"):  # PIL would cut values off instead of scaling them
            grey = (np.asarray(image) >> 8).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        if image.mode == "La":  # PIL converts it to "LA" only
            image = image.convert("LA")
        return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:  # a PIL image reads its file when its pixels are needed
        raise MediaError(f"{name} cannot be read by PIL: {error}") from error


def in_kind_of(image: object, rgb: NDArray[np.uint8]) -> Any:
    """``rgb`` as a PIL image if ``image`` is one, else ``rgb`` itself."""
    return sys.modules["PIL.Image"].fromarray(rgb) if is_pil(image) else rgb


def cut(
    image: NDArray[np.uint8] | PilImage | HasPixels, box_xyxy: tuple[float, float, float, float], margin: float
) -> Any:
    """A copy of the part of ``image`` in a box, as ``Face.crop`` says."""
    if not is_between(margin, 0, sys.float_info.max):
        raise ShapeError(f"margin must be >= 0 and finite, got {margin!r}")
    pixels = image.to_rgb() if hasattr(image, "to_rgb") else image
    rgb = rgb_of(pixels, allowed=f"a Frame, {ALLOWED}")
    (top, bottom), (left, right) = (
        _range(box_xyxy[axis], box_xyxy[axis + 2], margin, rgb.shape[1 - axis]) for axis in (1, 0)
    )
    return in_kind_of(image, rgb[top:bottom, left:right].copy())


def _range(low: float, high: float, margin: float, side: int) -> tuple[int, int]:
    """First and last pixel, exclusive, of a box within a picture's side; at least one pixel."""
    more = margin * (high - low)
    first = min(round(max(low - more, 0)), side - 1)
    return first, max(round(min(high + more, side)), first + 1)
