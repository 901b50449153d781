"""acfd_stream itself: a file to face tracks, as ``acfd-stream track`` does it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turns import Look


def load(model: str = "acfd-n", size: str = "", every_frame: str = "") -> tuple[str, Look]:
    """Faces of all frames with the shipped settings; ``size`` changes the network's view, pixels."""
    from acfd_stream import Detector, track_video
    from acfd_stream.config import DetectConfig

    config = DetectConfig(size=int(size)) if size else DetectConfig()
    settings = every_frame_settings() if every_frame else {}
    detector = Detector.open(model, "cpu", config)

    def look(clip: Path) -> Iterator[int]:
        for result in track_video(str(clip), detector=detector, **settings):
            yield len(result.faces)

    return f"acfd_stream, {detector.description}, {config.size} px", look


def every_frame_settings() -> dict[str, Any]:
    """What ``track_video`` is given so that it looks at held drawings again."""
    return {}
