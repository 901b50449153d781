"""Reads a picture file as an RGB array, for ``Detector.detect`` and the command line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acfd_stream.config import PictureConfig
from acfd_stream.errors import MediaError


def path_of(name: str | os.PathLike[str]) -> Path:
    """The path of a picture file that a caller names.

    Raises:
        MediaError: the name is empty, or an address.
    """
    text = os.fspath(name)
    if not text:
        raise MediaError("cannot read a picture without a name; give the path of a file")
    if "://" in text and not os.path.lexists(text):
        raise MediaError(f"cannot read {text}: a picture must be a file; download it first")
    return Path(text)


def read_picture(path: Path, config: PictureConfig | None = None) -> NDArray[np.uint8]:
    """The picture at ``path``, rotated as its EXIF data says; the first one of an animation: uint8 [H, W, 3] RGB.

    Raises:
        MediaError: the file does not exist, is not a picture, or is larger than ``config`` allows.
    """
    return decode_picture(read_bytes(path, config), path)


def read_bytes(path: Path, config: PictureConfig | None = None) -> bytes:
    """The content of a picture file.

    Raises:
        MediaError: the file cannot be read, or is larger than ``config`` allows.
    """
    most_bytes = (config or PictureConfig()).file_bytes
    try:
        with path.open("rb") as file:
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # a NUL in the name
        raise MediaError(f"cannot read {str(path)!r}: {error}") from error
    if len(data) > most_bytes:
        raise MediaError(f"cannot decode {path}: it is larger than {most_bytes} bytes, the limit file_bytes")
    return data


def decode_picture(data: bytes, path: Path) -> NDArray[np.uint8]:
    """The picture in ``data``, the content of the file ``path``, as ``read_picture`` returns it.

    Raises:
        MediaError: it is not a picture, or only part of one.
    """
    from acfd_stream.video.decode_image import decode_image

    try:
        return decode_image(data)
    except MediaError as error:
        raise MediaError(f"cannot decode {path}: {error}") from error
