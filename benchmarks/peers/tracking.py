"""Cost of tracking alone: ours, norfair and supervision's ByteTrack on the same recorded detections."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from trackers import PEERS, Found, Peer, Tracked

if TYPE_CHECKING:
    from turns import Look


class Ours:
    """``FaceTracker``, one frame at a time; it returns final frames, some of them later."""

    def __init__(self) -> None:
        import numpy as np

        from acfd_stream.track import FaceTracker
        from acfd_stream.types import Detections

        self._array, self._detections, self._tracker = np.array, Detections, FaceTracker()

    def push(self, found: Found) -> Tracked:
        """The faces that are final now."""
        values = self._array(found, "float32").reshape(-1, 5)
        settled = self._tracker.push(self._detections(values[:, :4], values[:, 4]), is_new_shot=False)
        return [[face.track_id, *face.box_xyxy] for faces in settled for face in faces]


def load(peer: str, rate: str = "24") -> tuple[str, Look]:
    """A tracker with its default settings; every pass starts a new one."""
    warnings.simplefilter("ignore")  # of deprecation; the versions are pinned

    def look(recorded: Path) -> Iterator[int]:
        frames = _recorded(recorded)  # read once, before the passes that count
        tracker: Peer = Ours() if peer == "ours" else PEERS[peer](float(rate))
        for found in frames:
            yield len(tracker.push(found))

    package = {"ours": "acfd_stream", "bytetrack": "supervision"}.get(peer, peer)
    return f"{package} {version(package)}", look


@cache
def _recorded(path: Path) -> list[Found]:
    frames: list[Found] = json.loads(path.read_text())
    return frames
