"""OpenCV's cascade on every frame: a classical detector without tracking.

OpenCV's packages contain Haar cascades only. The faster LBP cascades are in its source tree; pass one as ``weights``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turns import Look


def load(weights: str = "", size: str = "640", frame: str = "1080x1920") -> tuple[str, Look]:
    """A cascade on grey frames of ``size`` pixels on the longer side, with OpenCV's default settings."""
    import cv2
    from clips import brought_to, frames_of

    height, width = brought_to(frame, int(size))
    path = Path(weights) if weights else Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"
    cascade = cv2.CascadeClassifier(str(path))
    if cascade.empty():
        raise SystemExit(f"cascade: OpenCV cannot read {path} as a cascade")

    def look(clip: Path) -> Iterator[int]:
        for image in frames_of(clip):
            grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
            yield len(cascade.detectMultiScale(cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR)))

    threads = f"{cv2.getNumThreads()} threads"
    return f"opencv {cv2.__version__}, {threads}, {path.name}, {height}×{width} px", look
