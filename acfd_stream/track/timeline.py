"""Frames that wait for the confirmation of one of their tracks, and the ids of tracks.

A frame leaves when nothing in it can change any more: no track of it is still tentative and no
gap over it may still be closed. Ids are given here, so they rise in order of first appearance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acfd_stream import stored
from acfd_stream.types import Face, FaceState

Box = tuple[float, float, float, float]  # x1, y1, x2, y2


@dataclass(frozen=True, slots=True)
class Sighting:
    """A track's face in one frame."""

    key: int  # the tracker's own number of the track
    box_xyxy: Box
    score: float
    state: FaceState = FaceState.DETECTED


def between(before: Sighting, after: Sighting, share: float) -> Sighting:
    """The filled sighting between two, at ``share`` (0 … 1) of the distance."""
    first, second = before.box_xyxy, after.box_xyxy
    values = [a + (b - a) * share for a, b in zip(first, second, strict=True)]
    box = (values[0], values[1], values[2], values[3])
    return Sighting(before.key, box, min(before.score, after.score), FaceState.FILLED)


class Timeline:
    """Sightings by frame, from the oldest frame that is not settled."""

    def __init__(self) -> None:
        self._first_frame = 0  # index of _frames[0]
        self._frames: list[list[Sighting]] = []
        self._drawings: list[int] = []  # which drawing each of _frames shows, rising
        self._confirmed: set[int] = set()  # keys of confirmed tracks
        self._ids: dict[int, int] = {}  # key → id, of live tracks that have appeared
        self.ids_given = 0

    @property
    def next_frame(self) -> int:
        """Index of the frame that ``open_frame`` opens."""
        return self._first_frame + len(self._frames)

    def open_frame(self, drawing: int) -> int:
        """Begin a frame that shows ``drawing``; returns its index."""
        self._frames.append([])
        self._drawings.append(drawing)
        return self.next_frame - 1

    def drawing_of(self, frame: int) -> int:
        """The drawing of a frame that is not settled."""
        return self._drawings[frame - self._first_frame]

    def add(self, frame: int, sighting: Sighting) -> None:
        """Add a sighting to a frame that is not settled."""
        self._frames[frame - self._first_frame].append(sighting)

    def confirm(self, key: int) -> None:
        """Confirm the track: its sightings, also past ones, appear in results."""
        self._confirmed.add(key)

    def settle(self, end: int) -> list[tuple[Face, ...]]:
        """Faces of the unsettled frames before index ``end``, each sorted by id."""
        count = max(0, end - self._first_frame)
        done, self._frames = self._frames[:count], self._frames[count:]
        self._drawings = self._drawings[count:]
        self._first_frame += len(done)
        return [self._faces(sightings) for sightings in done]

    def forget(self, live_keys: set[int]) -> None:
        """Forget tracks that have ended and are in no waiting frame."""
        needed = live_keys.union(sighting.key for frame in self._frames for sighting in frame)
        self._confirmed &= needed
        self._ids = {key: track_id for key, track_id in self._ids.items() if key in needed}

    def _faces(self, sightings: list[Sighting]) -> tuple[Face, ...]:
        shown = sorted((s for s in sightings if s.key in self._confirmed), key=lambda s: s.key)
        for sighting in shown:
            if sighting.key not in self._ids:
                self.ids_given += 1
                self._ids[sighting.key] = self.ids_given
        return tuple(Face(self._ids[s.key], s.box_xyxy, s.score, s.state) for s in shown)

    @property
    def first_frame(self) -> int:
        """Index of the oldest frame that is not settled."""
        return self._first_frame

    def state(self) -> dict[str, Any]:
        """The whole state, for JSON."""
        return {
            "first_frame": self._first_frame,
            "frames": [[[s.key, list(s.box_xyxy), s.score, s.state.value] for s in frame] for frame in self._frames],
            "drawings": self._drawings.copy(),
            "confirmed": sorted(self._confirmed),
            "ids": sorted(self._ids.items()),
            "ids_given": self.ids_given,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state()`` returned.

        Raises:
            ResumeError: it is damaged.
        """
        names = ("first_frame", "frames", "drawings", "confirmed", "ids", "ids_given")
        stored.fields(state, "timeline", *names)
        self._first_frame = stored.whole(state["first_frame"], "timeline.first_frame")
        lists = {name: stored.items(state[name], f"timeline.{name}", stored.MOST_ITEMS) for name in names[1:5]}
        self._frames = [
            [_restored(values) for values in stored.items(frame, "timeline.frames", stored.MOST_ITEMS)]
            for frame in lists["frames"]
        ]
        self._drawings = [stored.whole(drawing, "timeline.drawings") for drawing in lists["drawings"]]
        stored.same_count("timeline", self._frames, self._drawings)
        self._confirmed = {stored.whole(key, "timeline.confirmed", 1) for key in lists["confirmed"]}
        self.ids_given = given = stored.whole(state["ids_given"], "timeline.ids_given")
        pairs = [stored.items(pair, "timeline.ids", 2, 2) for pair in lists["ids"]]
        self._ids = {
            stored.whole(key, "timeline.ids", 1): stored.whole(track_id, "timeline.ids", 1, given)
            for key, track_id in pairs
        }


def _restored(values: Any) -> Sighting:
    key, box, score, state = stored.items(values, "timeline.frames", 4, 4)
    return Sighting(
        stored.whole(key, "key of a face", 1),
        stored.box(box, "box of a face"),
        stored.score(score, "score of a face"),
        stored.member(state, "state of a face", FaceState),
    )


def box_of(values: Sequence[float]) -> Box:
    """Four numbers as a box."""
    x1, y1, x2, y2 = values
    return x1, y1, x2, y2
