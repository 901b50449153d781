"""The contestants and what they are compared in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Contestant:
    """A module of this folder with its options."""

    name: str  # in the names of rows
    label: str  # for people
    task: str  # what it does per frame
    module: str
    options: Mapping[str, str] = field(default_factory=dict)
    is_peer: bool = False  # needs the peers' packages


TASK = "faces, tracks, shots"
OURS = Contestant("ours", "acfd_stream", TASK, "ours")
VIDEO = (
    OURS,
    Contestant("ours_640", "acfd_stream, every frame, 640 px", TASK, "ours", {"size": "640", "every_frame": "yes"}),
    Contestant("naive", "PyAV + OpenVINO in 40 lines", "faces, with our network", "naive"),
    Contestant("yolo11n", "Ultralytics YOLO11n track", "80 classes, tracks", "yolo11n", is_peer=True),
    Contestant(
        "yolo11n_openvino", "YOLO11n track on OpenVINO", "80 classes, tracks", "yolo11n", {"runtime": "openvino"}, True
    ),
    Contestant("yunet", "OpenCV YuNet", "human faces", "yunet", is_peer=True),
    Contestant("cascade", "OpenCV Haar cascade", "frontal human faces", "cascade", is_peer=True),
)
TRACKERS = (
    Contestant("ours", "FaceTracker", "tracks", "tracking", {"peer": "ours"}),
    Contestant("norfair", "norfair", "tracks", "tracking", {"peer": "norfair"}, True),
    Contestant("bytetrack", "supervision's ByteTrack", "tracks", "tracking", {"peer": "bytetrack"}, True),
)
