"""Shot detection and tracking of a stream: holds its shot, its tracks, and the frames that are not settled yet."""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from acfd_stream import ops, stored
from acfd_stream.config import ShotConfig, TrackConfig
from acfd_stream.pipeline.characters import CharacterStage
from acfd_stream.pipeline.detection import DetectedFrame
from acfd_stream.pipeline.settled_frame import SettledFrame
from acfd_stream.track.tracker import FaceTracker
from acfd_stream.types import Detections, Face, Outcome, Picture, ShotChange, Verdict
from acfd_stream.video.decode_position import DecodePosition
from acfd_stream.video.held import HeldState
from acfd_stream.video.shots import THUMBNAIL_SIZE, ShotDetector

_FIELDS = ("next_index", "place", "held", "found", "follows_seen", "shot", "shots", "tracker", "undecided", "tracked")


@dataclass(slots=True)
class _Unsettled:
    """A frame after detection, before its result."""

    settled: SettledFrame
    detections: Detections
    is_seen: bool  # has pixels; False: it was dropped or could not be decoded


class StreamTracker:
    """Turns frames with detections into settled results, in order.

    Args:
        track_config: how detections become tracks.
        shot_config: how shots are detected.
        characters: links tracks to characters; None: faces have none.
    """

    def __init__(
        self, track_config: TrackConfig, shot_config: ShotConfig, characters: CharacterStage | None = None
    ) -> None:
        self._characters = characters
        self._shots = ShotDetector(shot_config)
        self._tracker = FaceTracker(track_config)
        self._keep_score = track_config.keep_score  # no track has faces with a lower score
        self._shot = 0
        self.held = HeldState()  # of the held-frame detector, after the last frame
        self._found = Detections.empty()  # of the last frame that was not held
        self._follows_seen = False  # the last frame of the tracker had pixels
        self._position: DecodePosition | None = None  # of the last frame of the shot detector
        self._undecided: deque[_Unsettled] = deque()  # wait for the shot detector
        self._tracked: deque[_Unsettled] = deque()  # wait for the tracker
        self.next_index = 0  # of the next frame

    @property
    def tracks(self) -> int:
        """Tracks started so far."""
        return self._tracker.tracks_started

    def push(self, detected: DetectedFrame, keeps_frame: bool) -> list[SettledFrame]:
        """Add the next frame; returns the frames that are settled now, in order."""
        begin = time.perf_counter()
        self.held = detected.held_state
        if not detected.has_pixels:
            return self._push_unseen(detected)
        if detected.detections is not None:
            self._found = detected.detections
        frame, found = detected.decoded.frame, self._found
        is_truncated = found.is_truncated and found.cut_score >= self._keep_score
        entry = SettledFrame.of(frame, detected.timings)
        entry.is_truncated, entry.reused = is_truncated, detected.is_held
        entry.frame = frame if keeps_frame else None
        self._undecided.append(_Unsettled(entry, found, is_seen=True))
        changes = self._shots.push(frame.picture)
        if self._characters is not None and not detected.is_held:
            may_begin_shot = self._shots.may_begin_shot or bool(frame.seams)
            self._characters.look(frame, found, may_begin_shot=may_begin_shot)
        settled = self._decided(changes)
        self._position = DecodePosition(frame.index, frame.pts, frame.is_pts_filled, detected.decoded.loss_counts)
        self.next_index = frame.index + 1
        detected.timings["track"] = time.perf_counter() - begin
        return settled

    def _push_unseen(self, detected: DetectedFrame) -> list[SettledFrame]:
        """Add a frame without pixels: it was dropped or could not be decoded."""
        frame, drop_reason = detected.decoded.frame, detected.decoded.drop_reason
        outcome = Outcome.FAILED if drop_reason is None else Outcome.DROPPED
        entry = SettledFrame.of(frame, detected.timings)
        entry.verdict = Verdict(outcome, drop_reason=drop_reason, failure=frame.failure)
        self._undecided.append(_Unsettled(entry, Detections.empty(), is_seen=False))
        self.next_index = frame.index + 1
        return self._decided([])

    def flush(self) -> list[SettledFrame]:
        """The remaining frames, at the end of the stream."""
        settled = self._decided(self._shots.flush()) + self._with_faces(self._tracker.flush())
        if self._characters is not None:
            self._characters.end()
        return settled

    def _decided(self, changes: list[ShotChange | None]) -> list[SettledFrame]:
        settled = self._unseen()
        for change in changes:
            settled += self._in_shot(is_new=change is not None)
            settled += self._unseen()
        return settled

    def _unseen(self) -> list[SettledFrame]:
        """Pass on frames without pixels, up to the first that waits for the shot detector."""
        settled: list[SettledFrame] = []
        while self._undecided and not self._undecided[0].is_seen:
            settled += self._in_shot(is_new=False)
        return settled

    def _in_shot(self, is_new: bool) -> list[SettledFrame]:
        entry = self._undecided.popleft()
        is_new = is_new or (bool(entry.settled.seams) and entry.settled.index > 0)
        self._shot += is_new
        entry.settled.shot = self._shot
        self._tracked.append(entry)
        # The tracker repeats the frame before. After a frame without pixels, that may be another drawing.
        is_held = entry.settled.reused and self._follows_seen
        self._follows_seen = entry.is_seen
        return self._with_faces(self._tracker.push(entry.detections, is_new_shot=is_new, is_held=is_held))

    def _with_faces(self, faces_by_frame: list[tuple[Face, ...]]) -> list[SettledFrame]:
        done = []
        for faces in faces_by_frame:
            settled = self._tracked.popleft().settled
            settled.faces = faces
            if self._characters is not None:
                self._characters.settle(settled)
            done.append(settled)
        return done

    # State

    def state(self) -> dict[str, Any]:
        """Everything on which later results depend, for ``packed``, which is slower and can run in another thread."""
        characters = {} if self._characters is None else {"characters": self._characters.state()}
        return {
            "next_index": self.next_index,
            "place": None if self._position is None else self._position.values(),
            "held": self.held,
            "found": _packed(self._found),
            "follows_seen": self._follows_seen,
            "shot": self._shot,
            "shots": self._shots.state(),
            "tracker": self._tracker.state(),
            "undecided": [[e.settled.values(), e.is_seen, _packed(e.detections)] for e in self._undecided],
            "tracked": [entry.settled.values() for entry in self._tracked],
            **characters,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore what ``state`` returned.

        Raises:
            ConfigError: other settings.
            ResumeError: it is damaged.
        """
        stored.fields(state, "stream", *_FIELDS)
        self._shots.restore(state["shots"])
        self._tracker.restore(state["tracker"])
        self.held = HeldState.from_values(state["held"])
        self._found = _unpacked(state["found"])
        self._follows_seen = stored.flag(state["follows_seen"], "follows_seen")
        self.next_index = stored.whole(state["next_index"], "next_index")
        self._position = position_of(state)
        self._shot = stored.whole(state["shot"], "shot")
        undecided = stored.items(state["undecided"], "undecided", stored.MOST_ITEMS)
        tracked = stored.items(state["tracked"], "tracked", stored.MOST_ITEMS)
        self._undecided = deque(map(_restored_undecided, undecided))
        self._tracked = deque(
            _Unsettled(SettledFrame.from_values(values), Detections.empty(), True) for values in tracked
        )
        if self._characters is not None:
            self._characters.restore(stored.fields(state, "stream", "characters")["characters"])


def packed(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state of ``StreamTracker.state`` for ``json.dumps``."""
    characters = {"characters": state["characters"].values()} if "characters" in state else {}
    return {**state, "held": state["held"].values(), **characters}


def position_of(state: Mapping[str, Any]) -> DecodePosition | None:
    """Position from which decoding continues after ``state``; None: from the start."""
    if state["place"] is None:
        return None
    views = state["shots"]["views"]
    if not views:
        stored.damaged("views", 0, "some where a frame was read")
    thumbnail = base64.b64decode(views[-1])

    def is_picture(picture: Picture) -> bool:
        return ops.thumbnail(picture, THUMBNAIL_SIZE).tobytes() == thumbnail

    position = DecodePosition.from_values(state["place"], is_picture)
    stored.whole(position.index, "place.index", 0, state["next_index"] - 1)
    return position


def _packed(detections: Detections) -> list[Any]:
    return [
        detections.boxes_xyxy.tolist(),
        detections.scores.tolist(),
        detections.is_truncated,
        float(detections.cut_score),
    ]


def _unpacked(values: Any) -> Detections:
    boxes, scores, is_truncated, cut_score = stored.items(values, "detections", 4, 4)
    boxes = [stored.box(box, "box of a detection") for box in stored.items(boxes, "detections", stored.MOST_ITEMS)]
    scores = [stored.score(score, "score of a detection") for score in stored.items(scores, "scores", len(boxes))]
    stored.same_count("detections", boxes, scores)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        stored.flag(is_truncated, "detections"),
        stored.score(cut_score, "cut_score"),
    )


def _restored_undecided(values: Any) -> _Unsettled:
    settled, is_seen, found = stored.items(values, "undecided", 3, 3)
    return _Unsettled(SettledFrame.from_values(settled), _unpacked(found), stored.flag(is_seen, "undecided"))
