"""Alternative trackers on given detections; runs in a separate environment.

    python trackers.py JOBS.json TRACKS.json

JOBS is a list of {"peer": "norfair" | "bytetrack", "settings": {…}, "rate": fps, "resets": [frame …], "frames":
[[[x1, y1, x2, y2, score] …] …]}; TRACKS contains, for each job, a list of frames, each a list of [id, x1, y1, x2, y2].
A reset forgets every track; no ID is used twice.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Found = list[list[float]]  # x1, y1, x2, y2, score
Tracked = list[list[float]]  # id, x1, y1, x2, y2


class Peer(Protocol):
    """The common interface of the trackers."""

    def push(self, found: Found) -> Tracked:
        """The tracks of the next frame."""


class Norfair:
    """norfair: Kalman filters and a greedy match by IoU; boxes are its estimates, or their detections."""

    def __init__(
        self,
        rate: float,
        threshold: float = 0.7,
        hit_counter_max: int = 15,
        initialization_delay: int = 2,
        least_score: float = 0.4,
        estimates: bool = False,
    ) -> None:
        import norfair

        self._norfair = norfair
        self._least_score, self._estimates = least_score, estimates
        self._tracker = norfair.Tracker(
            distance_function="iou",
            distance_threshold=threshold,
            hit_counter_max=hit_counter_max,
            initialization_delay=initialization_delay,
        )

    def push(self, found: Found) -> Tracked:
        """The tracks of the next frame."""
        detections = [
            self._norfair.Detection(np.array(face[:4], float).reshape(2, 2), np.full(2, face[4]), label="face")
            for face in found
            if face[4] >= self._least_score
        ]
        tracks: Tracked = []
        for track in self._tracker.update(detections):
            last = track.last_detection
            is_seen = any(last is detection for detection in detections)
            if self._estimates:
                tracks.append([track.id, *track.estimate.ravel().tolist()])
            elif is_seen:
                tracks.append([track.id, *last.points.ravel().tolist()])
        return tracks


class ByteTrack:
    """supervision's ByteTrack."""

    def __init__(
        self,
        rate: float,
        track_activation_threshold: float = 0.25,
        lost_track_buffer: int = 30,
        minimum_matching_threshold: float = 0.8,
        minimum_consecutive_frames: int = 1,
    ) -> None:
        import supervision

        self._supervision = supervision
        self._tracker = supervision.ByteTrack(
            track_activation_threshold=track_activation_threshold,
            lost_track_buffer=lost_track_buffer,
            minimum_matching_threshold=minimum_matching_threshold,
            minimum_consecutive_frames=minimum_consecutive_frames,
            frame_rate=rate,
        )

    def push(self, found: Found) -> Tracked:
        """The tracks of the next frame."""
        values = np.array(found, float).reshape(-1, 5)
        faces = self._supervision.Detections(
            xyxy=values[:, :4], confidence=values[:, 4], class_id=np.zeros(len(values), int)
        )
        seen = self._tracker.update_with_detections(faces)
        ids = [] if seen.tracker_id is None else seen.tracker_id.tolist()
        return [[number, *box] for number, box in zip(ids, seen.xyxy.tolist(), strict=True)]


PEERS: dict[str, type[Norfair] | type[ByteTrack]] = {"norfair": Norfair, "bytetrack": ByteTrack}


def tracks_of(job: dict[str, Any]) -> list[Tracked]:
    """The tracks of every frame of a job."""
    peer: Peer = PEERS[job["peer"]](job["rate"], **job["settings"])
    resets, offset, highest = set(job["resets"]), 0, 0
    frames: list[Tracked] = []
    for index, found in enumerate(job["frames"]):
        if index in resets:
            peer, offset = PEERS[job["peer"]](job["rate"], **job["settings"]), highest
        tracks = [[int(number) + offset, *box] for number, *box in peer.push(found)]
        highest = max([highest, *(int(track[0]) for track in tracks)])
        frames.append(tracks)
    return frames


def main(jobs: str, tracks: str) -> None:
    """Run all jobs of a file."""
    warnings.simplefilter("ignore")  # of deprecation; the versions are pinned
    done = [tracks_of(job) for job in json.loads(Path(jobs).read_text())]
    Path(tracks).write_text(json.dumps(done))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
