"""OpenCV's cascade on every frame: the classical detector; it does not track.

OpenCV's packages carry Haar cascades only. The LBP cascades, which are faster, are files of its sources; whoever has
one passes it as ``weights``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turns import Look


def load(weights: str = "", size: str = "640", frame: str = "1080x1920") -> tuple[str, Look]:
    """A cascade on grey frames of ``size`` pixels on the longer side, with OpenCV's own settings."""
    import cv2
    from clips import brought_to, frames_of

    height, width = brought_to(frame, int(size))
    path = Path(weights) if weights else Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"
    cascade = cv2.CascadeClassifier(str(path))
    if cascade.empty():
        raise SystemExit(f"cascade: {path} is no cascade that OpenCV reads")

    def look(clip: Path) -> Iterator[int]:
        for image in frames_of(clip):
            grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
            yield len(cascade.detectMultiScale(cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR)))

    threads = f"{cv2.getNumThreads()} threads"
    return f"opencv {cv2.__version__}, {threads}, {path.name}, {height}×{width} px", look
