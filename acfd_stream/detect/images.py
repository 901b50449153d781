"""The pictures that ``Detector.detect`` takes, as ``Picture``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from acfd_stream.rgb import PilImage, rgb_of
from acfd_stream.types import Picture

Image: TypeAlias = "str | os.PathLike[str] | NDArray[np.uint8] | PilImage | Picture"
_ALLOWED = "a path, uint8 [H, W, 3] RGB, a PIL image or a Picture"


def picture_of(image: Image, name: str = "image") -> Picture:
    """The picture that a caller means; an array is not copied.

    Args:
        image: path of a picture file, uint8 [H, W, 3] RGB, a PIL image of any mode, or a Picture.
        name: of the argument, for the error.

    Raises:
        ShapeError: it is none of these.
        MediaError: the file cannot be read or decoded.
    """
    if isinstance(image, Picture):
        return image
    if isinstance(image, str | os.PathLike):
        from acfd_stream.picture_files import path_of, read_picture

        return Picture.from_rgb(read_picture(path_of(image)))
    return Picture.from_rgb(rgb_of(image, name, _ALLOWED))


def in_groups(images: Iterable[Image], count: int) -> Iterator[list[Picture]]:
    """The pictures of a list, ``count`` at a time, so that no more files are in memory at once."""
    pictures = (picture_of(image, f"image[{number}]") for number, image in enumerate(images))
    while group := list(islice(pictures, count)):
        yield group
