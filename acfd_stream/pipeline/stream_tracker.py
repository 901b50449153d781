"""What a stream remembers between its frames: its shot, its tracks, the frames that are not settled yet."""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from acfd_stream import ops
from acfd_stream.config import ShotConfig, TrackConfig
from acfd_stream.pipeline.detection import DetectedFrame
from acfd_stream.pipeline.engine import StageSeconds
from acfd_stream.track.tracker import FaceTracker
from acfd_stream.types import (
    Detections,
    DropReason,
    Face,
    Frame,
    FrameResult,
    Outcome,
    Picture,
    ShotChange,
    Verdict,
)
from acfd_stream.video.decode_position import DecodePosition
from acfd_stream.video.held import HeldState
from acfd_stream.video.shots import THUMBNAIL_SIZE, ShotDetector


@dataclass(slots=True)
class SettledFrame:
    """All that is known of a frame so far; ``result`` is built from it once, when it is handed out."""

    index: int
    pts: int
    is_pts_filled: bool
    timings: StageSeconds = field(default_factory=dict)
    is_truncated: bool = False
    reused: bool = False
    shot: int = 0
    faces: tuple[Face, ...] = ()
    verdict: Verdict = field(default_factory=Verdict)
    arrived_at: float | None = None  # perf_counter() when its bytes were there
    frame: Frame | None = None  # only where its pixels are wanted

    @classmethod
    def of(cls, frame: Frame, timings: StageSeconds) -> SettledFrame:
        """The record of a frame that has just been detected, or dropped."""
        return cls(frame.index, frame.pts, frame.is_pts_filled, timings, arrived_at=frame.arrived_at)

    def result(self, time_base: Fraction, verdict: Verdict) -> FrameResult:
        """The result that users get."""
        return FrameResult(
            index=self.index,
            pts=self.pts,
            time_base=time_base,
            pts_seconds=float(self.pts * time_base),
            faces=self.faces,
            shot=self.shot,
            is_pts_filled=self.is_pts_filled,
            reused=self.reused,
            is_truncated=self.is_truncated,
            timings=self.timings,
            verdict=verdict,
        )

    def values(self) -> list[Any]:
        """The record for JSON, without its timings."""
        verdict = self.verdict
        reason = None if verdict.drop_reason is None else verdict.drop_reason.value
        faces = [face.values() for face in self.faces]
        flags = [self.is_pts_filled, self.reused, self.is_truncated]
        return [self.index, self.pts, self.shot, flags, verdict.outcome.value, reason, verdict.failure, faces]

    @classmethod
    def from_values(cls, values: list[Any]) -> SettledFrame:
        """The record that ``values`` gave."""
        index, pts, shot, (is_pts_filled, reused, is_truncated), outcome, reason, failure, faces = values
        return cls(
            index,
            pts,
            is_pts_filled,
            is_truncated=is_truncated,
            reused=reused,
            shot=shot,
            faces=tuple(Face.of_values(face) for face in faces),
            verdict=Verdict(
                Outcome(outcome), drop_reason=None if reason is None else DropReason(reason), failure=failure
            ),
        )


@dataclass(slots=True)
class _Unsettled:
    """A frame between the detector and its result."""

    settled: SettledFrame
    detections: Detections
    is_seen: bool  # by shot detector and network; False: it was dropped or could not be decoded


class StreamTracker:
    """Frames with their detections in, settled results out, in order."""

    def __init__(self, track_config: TrackConfig, shot_config: ShotConfig) -> None:
        self._shots = ShotDetector(shot_config)
        self._tracker = FaceTracker(track_config)
        self._keep_score = track_config.keep_score  # what scores less is in no track, cut off or not
        self._shot = 0
        self.held = HeldState()  # of the detector of held drawings, behind the last frame
        self._found = Detections.empty()  # in the drawing that was looked at last
        self._follows_seen = False  # the frame that the tracker had last was looked at, or held
        self._position: DecodePosition | None = None  # of the last frame that the shot detector saw
        self._undecided: deque[_Unsettled] = deque()  # which shot?
        self._tracked: deque[_Unsettled] = deque()  # which faces?
        self.next_index = 0  # of the frame that is pushed next

    @property
    def tracks(self) -> int:
        """Tracks started so far."""
        return self._tracker.tracks_started

    def push(self, sight: DetectedFrame, keeps_frame: bool) -> list[SettledFrame]:
        """Take the next frame; the frames that are settled now, in order."""
        begin = time.perf_counter()
        self.held = sight.memory
        if not sight.has_pixels:
            return self._push_unseen(sight)
        if sight.detections is not None:
            self._found = sight.detections
        frame, found = sight.decoded.frame, self._found
        is_truncated = found.is_truncated and found.cut_score >= self._keep_score
        entry = SettledFrame.of(frame, sight.timings)
        entry.is_truncated, entry.reused = is_truncated, sight.is_held
        entry.frame = frame if keeps_frame else None
        self._undecided.append(_Unsettled(entry, found, is_seen=True))
        settled = self._decided(self._shots.push(frame.picture))
        self._position = DecodePosition(frame.index, frame.pts, frame.is_pts_filled, sight.decoded.loss_counts)
        self.next_index = frame.index + 1
        sight.timings["track"] = time.perf_counter() - begin
        return settled

    def _push_unseen(self, sight: DetectedFrame) -> list[SettledFrame]:
        """Take a frame that nobody looked at: it was dropped or could not be decoded. What is settled now, in order."""
        frame, drop_reason = sight.decoded.frame, sight.decoded.drop_reason
        outcome = Outcome.FAILED if drop_reason is None else Outcome.DROPPED
        entry = SettledFrame.of(frame, sight.timings)
        entry.verdict = Verdict(outcome, drop_reason=drop_reason, failure=frame.failure)
        self._undecided.append(_Unsettled(entry, Detections.empty(), is_seen=False))
        self.next_index = frame.index + 1
        return self._decided([])

    def flush(self) -> list[SettledFrame]:
        """The stream has ended; what was still open."""
        return self._decided(self._shots.flush()) + self._with_faces(self._tracker.flush())

    def _decided(self, verdicts: list[ShotChange | None]) -> list[SettledFrame]:
        settled = self._unseen()
        for verdict in verdicts:
            settled += self._in_shot(is_new=verdict is not None)
            settled += self._unseen()
        return settled

    def _unseen(self) -> list[SettledFrame]:
        """Frames that await no verdict, up to the first that does."""
        settled: list[SettledFrame] = []
        while self._undecided and not self._undecided[0].is_seen:
            settled += self._in_shot(is_new=False)
        return settled

    def _in_shot(self, is_new: bool) -> list[SettledFrame]:
        entry = self._undecided.popleft()
        self._shot += is_new
        entry.settled.shot = self._shot
        self._tracked.append(entry)
        # The tracker repeats the frame before, which must be of the same drawing: behind one that nobody saw it looks.
        is_held = entry.settled.reused and self._follows_seen
        self._follows_seen = entry.is_seen
        return self._with_faces(self._tracker.push(entry.detections, is_new_shot=is_new, is_held=is_held))

    def _with_faces(self, faces_by_frame: list[tuple[Face, ...]]) -> list[SettledFrame]:
        done = []
        for faces in faces_by_frame:
            settled = self._tracked.popleft().settled
            settled.faces = faces
            done.append(settled)
        return done

    # State

    def state(self) -> dict[str, Any]:
        """Everything that later results depend on, for ``packed``, which takes longer and may be another thread's."""
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
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what ``state`` was taken from.

        Raises:
            ConfigError: it was taken with other settings.
            KeyError, TypeError, ValueError: it is not such a state.
        """
        self._shots.restore(state["shots"])
        self._tracker.restore(state["tracker"])
        self.held = HeldState.from_values(state["held"])
        self._found, self._follows_seen = _unpacked(state["found"]), bool(state["follows_seen"])
        self._position = position_of(state)
        self._shot, self.next_index = int(state["shot"]), int(state["next_index"])
        self._undecided = deque(
            _Unsettled(SettledFrame.from_values(values), _unpacked(found), bool(is_seen))
            for values, is_seen, found in state["undecided"]
        )
        self._tracked = deque(
            _Unsettled(SettledFrame.from_values(values), Detections.empty(), True) for values in state["tracked"]
        )


def packed(state: Mapping[str, Any]) -> dict[str, Any]:
    """What ``StreamTracker.state`` gave, ready for ``json.dumps``."""
    return {**state, "held": state["held"].values()}


def position_of(state: Mapping[str, Any]) -> DecodePosition | None:
    """Where reading goes on after a stream's ``state``; None: at the beginning."""
    if state["place"] is None:
        return None
    thumbnail = base64.b64decode(state["shots"]["views"][-1])

    def is_picture(picture: Picture) -> bool:
        return ops.thumbnail(picture, THUMBNAIL_SIZE).tobytes() == thumbnail

    return DecodePosition.from_values(state["place"], is_picture)


def _packed(detections: Detections) -> list[Any]:
    return [
        detections.boxes_xyxy.tolist(),
        detections.scores.tolist(),
        detections.is_truncated,
        float(detections.cut_score),
    ]


def _unpacked(values: list[Any]) -> Detections:
    boxes, scores, is_truncated, cut_score = values
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), bool(is_truncated), float(cut_score)
    )
