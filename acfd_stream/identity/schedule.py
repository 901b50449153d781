"""Chooses the faces of a new drawing that are embedded: few per face, early, and better ones later.

It runs when a frame's pixels are there, before its shot and its tracks are known. So it follows faces by the overlap of
their boxes alone. A face that it loses costs one more embedding, and no error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acfd_stream import stored
from acfd_stream.types import FloatArray

LEAST_IOU = 0.3
"""A face is followed from drawing to drawing if its boxes overlap by this IoU or more."""
GROWTH = 3
"""The views of a face are due at its drawings 1, 3, 9, 27 …"""
BETTER = 1.3
"""A view that is better by this factor than all before is taken before it is due."""
MOST_AT_ONCE = 4
"""Most views of one drawing; the others are due at the next one."""
FORGOTTEN_DRAWINGS = 6
"""A face that is gone for more drawings is not followed."""
MOST_FOLLOWED = 256
_Box = tuple[float, float, float, float]


@dataclass(slots=True)
class _Followed:
    """A face from drawing to drawing."""

    box_xyxy: _Box
    last_drawing: int
    drawings: int = 0
    views: int = 0
    best: float = 0.0  # quality


class ViewSchedule:
    """The choice of views for one stream.

    Args:
        views: views per face that are taken when they are due; as many again if they are better.
    """

    def __init__(self, views: int) -> None:
        self._views = views
        self._followed: list[_Followed] = []
        self._drawing = 0

    def choose(self, boxes_xyxy: FloatArray, qualities: FloatArray, *, may_begin_shot: bool) -> list[int]:
        """The faces of a new drawing of which a view is taken, rising.

        Args:
            boxes_xyxy: float32 [N, 4], display pixels.
            qualities: float32 [N], as of ``box_qualities``.
            may_begin_shot: the faces before are not followed.
        """
        self._drawing += 1
        oldest = 0 if may_begin_shot else self._drawing - FORGOTTEN_DRAWINGS
        self._followed = [each for each in self._followed if not may_begin_shot and each.last_drawing >= oldest]
        faces = self._joined(boxes_xyxy)
        due = [index for index, face in enumerate(faces) if self._is_due(face, float(qualities[index]))]
        due = sorted(due, key=lambda index: (-float(qualities[index]), index))[:MOST_AT_ONCE]
        for index in due:
            faces[index].views += 1
            faces[index].best = max(faces[index].best, float(qualities[index]))
        return sorted(due)

    def _joined(self, boxes_xyxy: FloatArray) -> list[_Followed]:
        """The followed face of every box, a new one where none overlaps; best overlap first."""
        boxes: list[_Box] = [(x1, y1, x2, y2) for x1, y1, x2, y2 in boxes_xyxy.tolist()]
        found: dict[int, _Followed] = {}
        overlap = _iou(np.array([face.box_xyxy for face in self._followed], np.float32).reshape(-1, 4), boxes_xyxy)
        taken: set[int] = set()
        for position in np.argsort(-overlap, axis=None, kind="stable").tolist():
            row, column = divmod(position, len(boxes))
            if overlap[row, column] < LEAST_IOU:
                break
            if row not in taken and column not in found:
                taken.add(row)
                found[column] = self._followed[row]
        for column, box in enumerate(boxes):
            if column not in found:
                found[column] = _Followed(box, self._drawing)
                self._followed.append(found[column])
            face = found[column]
            face.box_xyxy, face.last_drawing, face.drawings = box, self._drawing, face.drawings + 1
        self._followed = self._followed[-MOST_FOLLOWED:]
        return [found[column] for column in range(len(boxes))]

    def _is_due(self, face: _Followed, quality: float) -> bool:
        if quality <= 0.0 or face.views >= 2 * self._views:
            return False
        if face.views < self._views and face.drawings >= GROWTH**face.views:
            return True
        return quality >= BETTER * face.best

    def state(self) -> dict[str, Any]:
        """The whole state, for JSON."""
        faces = [[list(f.box_xyxy), f.last_drawing, f.drawings, f.views, f.best] for f in self._followed]
        return {"drawing": self._drawing, "faces": faces}

    def restore(self, values: Mapping[str, Any]) -> None:
        """Restore what ``state`` returned.

        Raises:
            ResumeError: it is damaged.
        """
        stored.fields(values, "schedule", "drawing", "faces")
        self._drawing = stored.whole(values["drawing"], "schedule.drawing")
        self._followed = [self._restored(face) for face in stored.items(values["faces"], "schedule", MOST_FOLLOWED)]

    def _restored(self, values: Any) -> _Followed:
        box, last, drawings, views, best = stored.items(values, "schedule", 5, 5)
        return _Followed(
            stored.box(box, "box of a followed face"),
            stored.whole(last, "drawing of a followed face", 0, self._drawing),
            stored.whole(drawings, "drawings of a followed face"),
            stored.whole(views, "views of a followed face"),
            stored.score(best, "quality of a followed face"),
        )


def overlap(first_xyxy: Sequence[float], second_xyxy: Sequence[float]) -> float:
    """IoU of two boxes."""
    return float(_iou(np.array([first_xyxy], np.float32), np.array([second_xyxy], np.float32))[0, 0])


def _iou(first_xyxy: FloatArray, second_xyxy: FloatArray) -> FloatArray:
    """IoU of every pair, float32 [N, M]."""
    low = np.maximum(first_xyxy[:, None, :2], second_xyxy[None, :, :2])
    high = np.minimum(first_xyxy[:, None, 2:], second_xyxy[None, :, 2:])
    shared = np.maximum(high - low, 0.0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first_xyxy, second_xyxy)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1][None, :] - shared, 1e-6), np.float32)
