"""Ground truth of a drawn clip: the faces of every frame and the shot changes, read and written as JSON.

``visible`` is the visible share of the whole face: less if something covers it, if the frame cuts it or during a fade,
and 0 in a flash frame. ``id`` is one appearance: a character within a shot, until its face was invisible for longer
than ``GONE_SECONDS``. ``character`` is the same for the whole clip. ``drawing`` counts distinct pictures: neighbouring
frames with the same number have the same bytes. ``held`` marks a frame that repeats the drawing before it: the same
lines and colours, though a fade may show them at another level.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from acfd_stream.errors import MediaError

FORMAT = 1
GONE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class FaceTruth:
    """One face of one frame."""

    id: int  # from 1, one appearance
    character: int  # from 1, the same in every shot
    box_xyxy: tuple[float, float, float, float]  # pixels; of the visible part
    visible: float  # [0, 1]
    yaw: float = 0.0  # direction of view, radians, positive to the right; ±π/2 is a profile


@dataclass(frozen=True, slots=True)
class FrameTruth:
    """One frame."""

    index: int
    drawing: int
    shot: int
    faces: tuple[FaceTruth, ...] = ()
    held: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A shot change or a flash: it affects frames ``first`` … ``last`` inclusive.

    A cut affects the first frame of the new shot only. After a fade or dissolve, the new shot begins at ``at``.
    """

    kind: str  # cut, fade_black, fade_white, dissolve, flash_white, flash_black, flash_inverted
    first: int
    last: int
    at: int | None = None  # index of the new shot's first frame; None for a flash, which starts no shot


@dataclass(slots=True)
class ClipTruth:
    """A whole clip."""

    plan: str
    seed: int
    size: tuple[int, int]  # (height, width)
    fps: Fraction
    frames: list[FrameTruth] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        content = {
            "format": FORMAT,
            "plan": self.plan,
            "seed": self.seed,
            "height": self.size[0],
            "width": self.size[1],
            "fps": [self.fps.numerator, self.fps.denominator],
            "changes": [asdict(change) for change in self.changes],
            "frames": [_frame_json(frame) for frame in self.frames],
        }
        Path(path).write_text(json.dumps(content) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> ClipTruth:
        """Read what ``save`` wrote.

        Raises:
            MediaError: the file cannot be read or is not the truth of a clip.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content.get("format") != FORMAT:
                raise ValueError(f"format must be {FORMAT}, got {content.get('format')!r}")
            return cls(
                content["plan"],
                content["seed"],
                (content["height"], content["width"]),
                Fraction(*content["fps"]),
                [_frame(frame) for frame in content["frames"]],
                [Change(**change) for change in content["changes"]],
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise MediaError(f"{path}: not the truth of a drawn clip: {error}") from error


def _frame_json(frame: FrameTruth) -> dict[str, Any]:
    faces = [
        {
            "id": face.id,
            "character": face.character,
            "box": [round(v, 2) for v in face.box_xyxy],
            "visible": round(face.visible, 4),
            "yaw": round(face.yaw, 2),
        }
        for face in frame.faces
    ]
    where = {"index": frame.index, "drawing": frame.drawing, "shot": frame.shot}
    return {**where, "held": frame.held, "faces": faces}


def _frame(content: dict[str, Any]) -> FrameTruth:
    faces = tuple(
        FaceTruth(face["id"], face["character"], tuple(face["box"]), face["visible"], face.get("yaw", 0.0))
        for face in content["faces"]
    )
    return FrameTruth(content["index"], content["drawing"], content["shot"], faces, content.get("held", False))
