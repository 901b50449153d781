"""acfd_stream finds cartoon faces in animation video, and gives every face the same ID from frame to frame.

``Detector`` finds the faces of pictures, ``track_video`` tracks them through a video. Names are loaded on first use, so
importing the package is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acfd_stream.characters import Character, CharacterConfig, CharacterLink
    from acfd_stream.config import DetectConfig, DropPolicy, Pace, PaceConfig, ShotConfig, TrackConfig, VideoConfig
    from acfd_stream.detect.detector import Detector
    from acfd_stream.errors import AcfdError
    from acfd_stream.identity.embedder import FaceEmbedder
    from acfd_stream.identity.views import TrackView
    from acfd_stream.outputs import to_pandas
    from acfd_stream.pipeline.checkpoint import SessionState
    from acfd_stream.pipeline.session import TrackSession
    from acfd_stream.pipeline.track_video import track_video
    from acfd_stream.pipeline.tracker import Tracker
    from acfd_stream.types import (
        Detections,
        DropReason,
        Face,
        FaceState,
        FrameResult,
        MediaInfo,
        Outcome,
        Picture,
        ShotChange,
        Verdict,
    )
    from acfd_stream.video.frame import Frame

__version__: str
"""The installed version, such as "0.1.0"; "unknown" where the package is not installed."""

__all__ = [
    "AcfdError",
    "Character",
    "CharacterConfig",
    "CharacterLink",
    "DetectConfig",
    "Detections",
    "Detector",
    "DropPolicy",
    "DropReason",
    "Face",
    "FaceEmbedder",
    "FaceState",
    "Frame",
    "FrameResult",
    "MediaInfo",
    "Outcome",
    "Pace",
    "PaceConfig",
    "Picture",
    "SessionState",
    "ShotChange",
    "ShotConfig",
    "TrackConfig",
    "TrackSession",
    "TrackView",
    "Tracker",
    "Verdict",
    "VideoConfig",
    "to_pandas",
    "track_video",
]

_ROOMS = {
    "characters": ("Character", "CharacterConfig", "CharacterLink"),
    "config": ("DetectConfig", "DropPolicy", "Pace", "PaceConfig", "ShotConfig", "TrackConfig", "VideoConfig"),
    "detect.detector": ("Detector",),
    "errors": ("AcfdError",),
    "identity.embedder": ("FaceEmbedder",),
    "identity.views": ("TrackView",),
    "outputs": ("to_pandas",),
    "pipeline.checkpoint": ("SessionState",),
    "pipeline.session": ("TrackSession",),
    "pipeline.track_video": ("track_video",),
    "pipeline.tracker": ("Tracker",),
    "types": (
        *("Detections", "DropReason", "Face", "FaceState", "FrameResult"),
        *("MediaInfo", "Outcome", "Picture", "ShotChange", "Verdict"),
    ),
    "video.frame": ("Frame",),
}
_MODULE_OF = {name: f"{__name__}.{module}" for module, names in _ROOMS.items() for name in names}


if not TYPE_CHECKING:  # a type checker finds a name that does not exist

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            return _version()
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_MODULE_OF[name]), name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("acfd-stream")
    except PackageNotFoundError:  # run from a source tree
        return "unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
