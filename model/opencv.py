"""OpenCV, which draws cartoons and prepares training pictures: any of its four packages will do.

It is no dependency of the package: two of its packages in one environment overwrite each other.
"""

from __future__ import annotations

from acfd_stream.errors import BackendUnavailable

try:
    import cv2
except ModuleNotFoundError as error:
    raise BackendUnavailable(
        "drawing and training need OpenCV, which is not installed; pip install 'acfd-stream[opencv]', or any other "
        "of its packages: opencv-python, opencv-contrib-python, opencv-contrib-python-headless"
    ) from error

__all__ = ["cv2"]
