"""The result of a frame while it is built, and as a checkpoint keeps it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from enum import Enum
from fractions import Fraction
from typing import Any

from acfd_stream import stored
from acfd_stream.characters import CharacterLink
from acfd_stream.identity.views import TrackView
from acfd_stream.pipeline.engine import StageSeconds
from acfd_stream.types import FACE_FIELDS, DropReason, Face, FaceField, FrameResult, Outcome, Seam, Verdict
from acfd_stream.video.frame import Frame

_FAILURE_CHARACTERS = 2000  # of the error of a frame
_LEAST_OF_FACE = sum(each.default is dataclasses.MISSING for each in dataclasses.fields(Face))


@dataclass(slots=True)
class SettledFrame:
    """The result of a frame so far; ``result`` is built from it once, when it is returned."""

    index: int
    pts: int
    is_pts_filled: bool
    timings: StageSeconds = field(default_factory=dict)
    is_truncated: bool = False
    reused: bool = False
    shot: int = 0
    faces: tuple[Face, ...] = ()
    verdict: Verdict = field(default_factory=Verdict)
    arrived_at: float | None = None  # perf_counter() when its bytes had arrived
    frame: Frame | None = None  # only if its pixels are wanted
    is_damaged: bool = False
    seams: tuple[Seam, ...] = ()
    display_size: tuple[int, int] | None = None
    links: tuple[CharacterLink, ...] = ()
    views: tuple[TrackView, ...] = ()  # of the tracks that ended before this frame

    @classmethod
    def of(cls, frame: Frame, timings: StageSeconds) -> SettledFrame:
        """The entry of a frame after detection, or of a dropped one."""
        return cls(
            frame.index,
            frame.pts,
            frame.is_pts_filled,
            timings,
            arrived_at=frame.arrived_at,
            is_damaged=frame.is_damaged,
            seams=frame.seams,
            display_size=frame.picture.display_size if Seam.SIZE in frame.seams else None,
        )

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
            is_damaged=self.is_damaged,
            seams=self.seams,
            display_size=self.display_size,
            links=self.links,
        )

    def values(self) -> list[Any]:
        """The entry for JSON, without its timings."""
        verdict = self.verdict
        reason = None if verdict.drop_reason is None else verdict.drop_reason.value
        faces = [face.values() for face in self.faces]
        flags = [self.is_pts_filled, self.reused, self.is_truncated]
        values = [self.index, self.pts, self.shot, flags, verdict.outcome.value, reason, verdict.failure, faces]
        marks = [self.is_damaged, list(self.seams), self.display_size]
        linked = [[list(astuple(link)) for link in self.links], [view.values() for view in self.views]]
        if any(linked):
            return [*values, marks, linked]
        return [*values, marks] if any(marks) else values

    @classmethod
    def from_values(cls, values: list[Any]) -> SettledFrame:
        """The entry that ``values`` returned.

        Raises:
            ResumeError: it is damaged.
        """
        index, pts, shot, flags, outcome, reason, failure, faces, *rest = stored.items(values, "a frame", 10, 8)
        is_damaged, seams, size = stored.items(rest[0], "marks of a frame", 3, 3) if rest else (False, (), None)
        links, views = stored.items(rest[1], "characters of a frame", 2, 2) if len(rest) > 1 else ((), ())
        is_pts_filled, reused, is_truncated = (
            stored.flag(flag, "a flag of a frame") for flag in stored.items(flags, "flags of a frame", 3, 3)
        )
        verdict = Verdict(
            stored.member(outcome, "outcome of a frame", Outcome),
            drop_reason=None if reason is None else stored.member(reason, "drop reason of a frame", DropReason),
            failure=stored.text(failure, "failure of a frame", _FAILURE_CHARACTERS),
        )
        return cls(
            stored.whole(index, "index of a frame"),
            stored.pts(pts, "pts of a frame"),
            is_pts_filled,
            is_truncated=is_truncated,
            reused=reused,
            shot=stored.whole(shot, "shot of a frame"),
            faces=tuple(map(_restored_face, stored.items(faces, "faces of a frame", stored.MOST_ITEMS))),
            verdict=verdict,
            is_damaged=stored.flag(is_damaged, "damage of a frame"),
            seams=tuple(
                stored.member(seam, "seam of a frame", Seam) for seam in stored.items(seams, "seams", len(Seam))
            ),
            display_size=None if size is None else _restored_size(size),
            links=tuple(map(_restored_link, stored.items(links, "links of a frame", stored.MOST_ITEMS))),
            views=tuple(map(TrackView.from_values, stored.items(views, "views of a frame", stored.MOST_ITEMS))),
        )


def _restored_face(values: Any) -> Face:
    found = stored.items(values, "face", len(FACE_FIELDS), _LEAST_OF_FACE)
    return Face.of_values(check(value, name) for (name, check), value in zip(_FACE_CHECKS, found, strict=False))


def _check_of(field: FaceField) -> Callable[[Any, str], Any]:
    """The function of ``stored`` for a field of a face, whose value goes into ``Face.of_values``."""
    if issubclass(field.kind, Enum):
        return lambda value, name: stored.member(value, name, field.kind).value
    if field.kind is str:
        return lambda value, name: stored.text(value, name, _FAILURE_CHARACTERS)
    return _CHECKS[field.kind]


_CHECKS: dict[type, Callable[[Any, str], Any]] = {
    int: stored.whole,
    float: stored.real,
    bool: stored.flag,
    tuple: stored.box,
}
_FACE_CHECKS = [(f"{each.name} of a face", _check_of(each)) for each in FACE_FIELDS]


def _restored_link(values: Any) -> CharacterLink:
    track_id, character, confidence, is_tentative, name = stored.items(values, "a link", 5, 5)
    return CharacterLink(
        stored.whole(track_id, "track of a link", 1),
        stored.whole(character, "character of a link"),
        stored.score(confidence, "confidence of a link"),
        stored.flag(is_tentative, "a link"),
        stored.text(name, "name of a link", _FAILURE_CHARACTERS),
    )


def _restored_size(values: Any) -> tuple[int, int]:
    height, width = (stored.whole(side, "display_size", 1) for side in stored.items(values, "display_size", 2, 2))
    return height, width
