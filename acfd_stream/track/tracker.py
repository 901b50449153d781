"""Faces of one stream, joined over time: detections of a frame in, settled frames out.

Two passes per frame as in ByteTrack: first the high scores against all tracks, then the low scores against the
remaining tracks. A detection is compared with the predicted and with the last box of a track, because drawings stand
still for two or three frames and then jump. Motion is counted in drawings: a frame that repeats a drawing moves no
track, and a face whose box is that of its last drawing shows that drawing again. Gaps are counted in frames.

Source: Zhang et al., ByteTrack, algorithm 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream import stored
from acfd_stream.config import TrackConfig
from acfd_stream.errors import ConfigError
from acfd_stream.track.assignment import (
    REFUSED,
    assign,
    cover_matrix,
    is_same_box,
    pair_costs,
    size_ratio_matrix,
)
from acfd_stream.track.kalman import DoubleArray, KalmanBank
from acfd_stream.track.timeline import Box, Sighting, Timeline, between, box_of
from acfd_stream.types import Detections, Face

STATE_FORMAT = 2
REST_COST = 0.1
"""Extra cost of the last box over the predicted one, so that crossing faces keep their direction."""
REACH_FRAMES = 8
"""A face that was not detected for longer is joined only if the boxes overlap."""
LEAST_REACH = 0.6
"""How far a face at rest may jump, in box sides."""
FIRST_REACH = 1.0
"""How far a face of unknown motion may jump, in box sides."""
JUMP_FRAMES = 3.0
"""A jump covers the motion of so many frames: a drawing on threes."""
STILL_IOU = 0.9
"""Least IoU with the box of the track's last drawing at which a box shows that drawing again."""
MOST_HELD = 4
"""A drawing that lasted more frames is not used to predict how long the next ones last."""
LEAST_SIZE_RATIO = 0.5
"""Faces whose areas differ by more are not joined without overlap."""
DUPLICATE_SIZE_RATIO = 0.2
"""A box below this share of a better one is a face in front of it, not a duplicate."""


@dataclass(slots=True)
class _Track:
    key: int
    first_frame: int
    last_frame: int
    last_drawing: int
    last: Sighting
    drawn_box: Box  # when it last moved
    drawn_frame: int  # when it last moved, detected or not
    held_frames: int = 1  # how long its drawings last
    hits: int = 1
    is_confirmed: bool = False


class FaceTracker:
    """Tracks of one stream. Deterministic: time is the count of frames."""

    def __init__(self, config: TrackConfig | None = None) -> None:
        self._config = config or TrackConfig()
        self._bank = KalmanBank()
        self._tracks: list[_Track] = []  # one per row of the bank
        self._timeline = Timeline()
        self._next_key = 1
        self._drawing = 0  # number of the drawing that was shown last, from 1

    @property
    def tracks_started(self) -> int:
        """Number of ids so far."""
        return self._timeline.ids_given

    def push(self, detections: Detections, *, is_new_shot: bool, is_held: bool = False) -> list[tuple[Face, ...]]:
        """Take the next frame; returns the faces of the newly settled frames, in order.

        Args:
            detections: faces found in this frame, in any pixels; may be empty.
            is_new_shot: this frame opens a shot: every track ended with the frame before.
            is_held: this frame shows the drawing of the frame before it. Its detections are ignored: those of the
                frame before are repeated, and no track moves. Ignored where a shot begins.

        Returns:
            One tuple per settled frame, sorted by id. A frame is settled at the latest after
            ``TrackConfig.delay_frames`` further frames, or at once if no gaps are filled.
        """
        settled = self._end_shot() if is_new_shot else []
        if is_held and not is_new_shot and self._drawing:
            frame = self._timeline.open_frame(self._drawing)
            self._repeat(frame)
        else:
            self._drawing += 1
            frame = self._timeline.open_frame(self._drawing)
            boxes, scores = self._wanted(detections)
            columns = self._join(frame, boxes, scores)
            self._start(frame, boxes, scores, columns)
        self._drop_ended(frame)
        settled += self._timeline.settle(self._first_open_frame(frame))
        self._timeline.forget({track.key for track in self._tracks})
        return settled

    def flush(self) -> list[tuple[Face, ...]]:
        """End all tracks; returns the faces of the remaining frames, in order."""
        return self._end_shot()

    def state(self) -> dict[str, Any]:
        """Everything that later faces depend on, ready for ``json.dumps``."""
        tracks = [_packed(track) for track in self._tracks]
        return {
            "format": STATE_FORMAT,
            "config": dataclasses.asdict(self._config),
            "next_key": self._next_key,
            "drawing": self._drawing,
            "tracks": tracks,
            "motion": self._bank.state(),
            "timeline": self._timeline.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state`` of a tracker with the same config.

        Raises:
            ConfigError: the state is of another format or another config.
            ResumeError: it is damaged.
        """
        stored.fields(state, "tracker", "config", "next_key", "drawing", "tracks", "motion", "timeline")
        if state.get("format") != STATE_FORMAT:
            raise ConfigError(f"tracker state must be of format {STATE_FORMAT}, got {state.get('format')!r}")
        own = dataclasses.asdict(self._config)
        if state["config"] != own:
            raise ConfigError(f"tracker state must be of the same config {own}, got {state['config']}")
        self._next_key = stored.whole(state["next_key"], "next_key", 1)
        self._drawing = stored.whole(state["drawing"], "drawing")
        self._bank.restore(state["motion"])
        self._timeline.restore(state["timeline"])
        self._tracks = [self._restored(values) for values in stored.items(state["tracks"], "tracks", stored.MOST_ITEMS)]
        stored.same_count("tracks", self._tracks, self._bank)

    def _restored(self, values: Any) -> _Track:
        """The track that ``_packed`` was given."""
        key, when, box, score, drawn_box, hits = stored.items(values, "track", 6, 6)
        first, last, drawing, drawn, held = stored.items(when, "frames of a track", 5, 5)
        latest = self._timeline.next_frame - 1
        # Frames since the last one are filled, and must not be settled yet.
        oldest = self._timeline.first_frame - 1 if self._config.fills_gaps else 0
        hits = stored.whole(hits, "hits of a track", 1)
        key = stored.whole(key, "key of a track", 1, self._next_key - 1)
        last = stored.whole(last, "last frame of a track", max(0, oldest), latest)
        return _Track(
            key,
            stored.whole(first, "first frame of a track", 0, last),
            last,
            stored.whole(drawing, "drawing of a track", 0, self._drawing),
            Sighting(key, stored.box(box, "box of a track"), stored.score(score, "score of a track")),
            stored.box(drawn_box, "drawn box of a track"),
            stored.whole(drawn, "drawn frame of a track", 0, latest),
            stored.whole(held, "held frames of a track", 1),
            hits,
            hits >= self._config.confirm_hits,
        )

    def _wanted(self, detections: Detections) -> tuple[DoubleArray, DoubleArray]:
        """Boxes [N, 4] and scores [N] above the threshold, best first."""
        scores = detections.scores.astype(np.float64)
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= self._config.keep_score]
        return detections.boxes_xyxy[order].astype(np.float64), scores[order]

    def _repeat(self, frame: int) -> None:
        """Repeat the detections of the frame before."""
        for track in self._tracks:
            if track.last_frame == frame - 1:
                self._see(track, frame, track.last)

    def _join(self, frame: int, boxes: DoubleArray, scores: DoubleArray) -> NDArray[np.int64]:
        """Continue tracks with detections; returns the columns of these detections."""
        split = int(np.count_nonzero(scores >= self._config.start_score))
        costs = self._costs(frame, boxes)
        rows, columns = assign(costs[:, :split])
        if split < len(boxes):
            is_left = np.ones(len(self._tracks), bool)
            is_left[rows] = False
            left = np.flatnonzero(is_left)
            low_rows, low_columns = assign(costs[left, split:])
            rows = np.concatenate([rows, left[low_rows]])
            columns = np.concatenate([columns, low_columns + split])
        self._move(frame, rows, boxes[columns])
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            track = self._tracks[row]
            self._see(track, frame, Sighting(track.key, box_of(boxes[column].tolist()), float(scores[column])))
        return columns

    def _move(self, frame: int, rows: NDArray[np.int64], seen: DoubleArray) -> None:
        """Move the tracks whose drawing changes: detected elsewhere, or undetected for the length of a drawing."""
        if not self._tracks:
            return
        drawn = np.array([track.drawn_box for track in self._tracks])
        moved = ~is_same_box(drawn[rows], seen, STILL_IOU)
        changes = np.array([frame - track.drawn_frame >= track.held_frames for track in self._tracks])
        changes[rows] = moved
        self._bank.predict(np.flatnonzero(changes))
        self._bank.update(rows[moved], seen[moved])
        for row, box in zip(rows[moved].tolist(), seen[moved], strict=True):
            track = self._tracks[row]
            held = frame - track.drawn_frame
            if track.last_frame == frame - 1 and held <= MOST_HELD:
                track.held_frames = held
            track.drawn_box = box_of(box.tolist())
        for row in np.flatnonzero(changes).tolist():
            self._tracks[row].drawn_frame = frame

    def _costs(self, frame: int, boxes: DoubleArray) -> DoubleArray:
        """Cost of each track with each detection, float64 [T, N]."""
        if not self._tracks or not len(boxes):
            return np.full((len(self._tracks), len(boxes)), REFUSED)
        config = self._config
        missed = np.array([frame - track.last_frame for track in self._tracks], np.float64)
        last = np.array([track.last.box_xyxy for track in self._tracks])
        limits = (config.least_iou, np.tile(self._reach(missed), 2), LEAST_SIZE_RATIO)
        both = pair_costs(np.concatenate([self._bank.next_boxes_xyxy, last]), boxes, *limits)
        moved, rested = both[: len(last)], both[len(last) :]
        return np.minimum(moved, np.minimum(rested + REST_COST, REFUSED))

    def _reach(self, missed: DoubleArray) -> DoubleArray:
        """How far each track may jump after ``missed`` frames without detection: box sides, float64 [T]."""
        boxes, velocity = self._bank.boxes_xyxy, self._bank.velocities
        side = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
        speed = np.hypot(velocity[:, 0], velocity[:, 1]) / side
        least = np.where([track.is_confirmed for track in self._tracks], LEAST_REACH, FIRST_REACH)
        reach = np.minimum(least + JUMP_FRAMES * speed, self._config.reach)
        return np.where(missed <= REACH_FRAMES, reach, 0.0)

    def _see(self, track: _Track, frame: int, sighting: Sighting) -> None:
        if self._config.fills_gaps:
            self._fill(track, frame, sighting)
        self._timeline.add(frame, sighting)
        track.last_frame, track.last_drawing, track.last = frame, self._drawing, sighting
        track.hits += 1
        if track.hits >= self._config.confirm_hits and not track.is_confirmed:
            track.is_confirmed = True
            self._timeline.confirm(track.key)

    def _fill(self, track: _Track, frame: int, sighting: Sighting) -> None:
        """Fill the frames since the track was last detected: still for a drawing, then moving with the next."""
        drawings = self._drawing - track.last_drawing
        for missed in range(track.last_frame + 1, frame):
            share = (self._timeline.drawing_of(missed) - track.last_drawing) / drawings
            self._timeline.add(missed, between(track.last, sighting, share))

    def _start(self, frame: int, boxes: DoubleArray, scores: DoubleArray, joined: NDArray[np.int64]) -> None:
        """Begin a tentative track for each high-score detection without a track and without a better duplicate."""
        taken = joined.tolist()
        sure = set(np.flatnonzero(scores >= self._config.start_score).tolist())
        alone = sorted(sure.difference(taken))
        if not alone:
            return
        cover = cover_matrix(boxes, boxes)
        is_double = (cover > self._config.duplicate_cover) & (size_ratio_matrix(boxes, boxes) > DUPLICATE_SIZE_RATIO)
        fresh: list[int] = []
        for column in alone:
            if not is_double[column, taken].any():
                taken.append(column)
                fresh.append(column)
        self._bank.add(boxes[fresh])
        for column in fresh:
            sighting = Sighting(self._next_key, box_of(boxes[column].tolist()), float(scores[column]))
            track = _Track(self._next_key, frame, frame, self._drawing, sighting, sighting.box_xyxy, frame, hits=0)
            self._tracks.append(track)
            self._next_key += 1
            self._see(track, frame, sighting)

    def _drop_ended(self, frame: int) -> None:
        is_kept = [not self._has_ended(track, frame) for track in self._tracks]
        if not all(is_kept):
            self._bank.keep(np.array(is_kept))
            self._tracks = [track for track, keep in zip(self._tracks, is_kept, strict=True) if keep]

    def _has_ended(self, track: _Track, frame: int) -> bool:
        if track.is_confirmed:
            return frame - track.last_frame > self._config.max_gap_frames
        return frame - track.first_frame >= self._config.tentative_frames

    def _first_open_frame(self, frame: int) -> int:
        """The first frame whose faces may still change."""
        if not self._config.fills_gaps:
            return frame + 1
        opened = [t.last_frame + 1 if t.is_confirmed else t.first_frame for t in self._tracks]
        return min([*opened, frame + 1])

    def _end_shot(self) -> list[tuple[Face, ...]]:
        self._tracks = []
        self._bank = KalmanBank()
        settled = self._timeline.settle(self._timeline.next_frame)
        self._timeline.forget(set())
        return settled


def _packed(track: _Track) -> list[Any]:
    """A track for JSON."""
    when = [track.first_frame, track.last_frame, track.last_drawing, track.drawn_frame, track.held_frames]
    return [track.key, when, list(track.last.box_xyxy), track.last.score, list(track.drawn_box), track.hits]
