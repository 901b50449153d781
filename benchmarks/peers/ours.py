"""acfd_stream itself: a file to face tracks, as in ``acfd-stream track``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turns import Look


def load(model: str = "acfd-n", size: str = "", every_frame: str = "") -> tuple[str, Look]:
    """Faces of all frames with the shipped settings; ``size`` in pixels; ``every_frame`` disables reuse."""
    from acfd_stream import Detector, track_video
    from acfd_stream.config import DetectConfig, VideoConfig

    config = DetectConfig(size=int(size)) if size else DetectConfig()
    video = VideoConfig(every_frame=bool(every_frame))
    detector = Detector.open(model, "cpu", config)

    def look(clip: Path) -> Iterator[int]:
        for result in track_video(str(clip), detector=detector, video_config=video):
            yield len(result.faces)

    what = "every frame" if every_frame else "held drawings reused"
    return f"acfd_stream, {detector.description}, {config.size} px, {what}", look
