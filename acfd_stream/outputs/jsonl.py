"""Results as JSON lines, streamed: a header, one line per frame, a closing line.

A frame line has ``pts_filled``, ``truncated`` and ``damaged`` only if they are true, ``seam`` only where something
begins anew, ``display_size`` only where it changes, and ``links`` only in a stream, where one is new or changed; the
header has ``times`` only if they are made up. The closing line has ``error``, ``warnings``, ``gaps`` and ``characters``
only if there are any. Text is UTF-8; a byte of a file name that is not
text becomes a lone surrogate escape, as in ``os.fsdecode``. A file without its closing line is unfinished.
``face_values`` rounds faces; seconds have 6 decimals.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from acfd_stream import stored
from acfd_stream.characters import Character, CharacterLink
from acfd_stream.outputs.face_values import face_of, face_values, rounded
from acfd_stream.outputs.writer import ResultEnd, ResultHeader
from acfd_stream.printable import escaped
from acfd_stream.types import FrameResult, Gap, GapCause, Seam

FORMAT_VERSION = 1
SECONDS_DECIMALS = 6
ROUNDING_SECONDS = Fraction(1, 10**SECONDS_DECIMALS)
"""Most by which rounding changes a time."""
CONFIDENCE_DECIMALS = 4


def json_line(values: Mapping[str, Any]) -> bytes:
    """One UTF-8 line with its newline."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(", ", ": "))
    return escaped(text).encode() + b"\n"


class JsonlLines:
    """An ``Encoder`` of JSON lines. Its state can be saved, and another one continues from it."""

    def __init__(self, header: ResultHeader, state: Mapping[str, Any] | None = None) -> None:
        """Start, or continue after the line at which ``state`` was saved.

        Raises:
            ResumeError: the state is damaged.
        """
        self._header = header
        values = {"frames": 0, "first_pts": None, "last_pts": 0} if state is None else state
        stored.fields(values, "lines", "frames", "first_pts", "last_pts")
        first_pts = values["first_pts"]
        self._frames = stored.whole(values["frames"], "lines.frames")
        self._first_pts = None if first_pts is None else stored.pts(first_pts, "lines.first_pts")
        self._last_pts = stored.pts(values["last_pts"], "lines.last_pts")

    def state(self) -> dict[str, Any]:
        """The state that later lines depend on, ready for ``json.dumps``."""
        return {"frames": self._frames, "first_pts": self._first_pts, "last_pts": self._last_pts}

    def header(self) -> bytes:
        """The first line."""
        return json_line(header_values(self._header))

    def frame(self, result: FrameResult) -> bytes:
        """The line of a frame; frames come in order."""
        self.count(result)
        return json_line(_frame_values(result))

    def end(self, end: ResultEnd) -> bytes:
        """The closing line."""
        return json_line(self.end_values(end))

    def trailer(self, end: ResultEnd) -> Iterable[bytes]:
        """The closing line, as an ``Encoder`` returns it."""
        return (self.end(end),)

    def count(self, result: FrameResult) -> None:
        """Count a frame without encoding it, for formats that contain the closing line."""
        self._frames += 1
        self._last_pts = result.pts
        if self._first_pts is None:
            self._first_pts = result.pts

    def end_values(self, end: ResultEnd) -> dict[str, Any]:
        """The values of the closing line."""
        values: dict[str, Any] = {
            "type": "end",
            "frames": self._frames,
            "tracks": end.tracks,
            "duration": self.duration_seconds(end),
            "complete": end.is_complete,
        }
        if end.error is not None:
            values["error"] = end.error
        if end.warnings:
            values["warnings"] = list(end.warnings)
        if end.gaps:
            values["gaps"] = [_gap_values(gap) for gap in end.gaps]
        if end.characters:
            values["characters"] = [_character_values(character) for character in end.characters]
        return values

    def duration_seconds(self, end: ResultEnd) -> float:
        """From the first frame to the end of the last: its time on screen, or one frame if the rate is known."""
        if self._first_pts is None:
            return 0.0
        shown = (self._last_pts - self._first_pts) * self._header.time_base
        rate, last = self._header.frame_rate, end.last_seconds
        if last is None:
            last = 1 / rate if rate else Fraction(0)
        return rounded(float(shown + last), SECONDS_DECIMALS)

    def end_seconds(self, end: ResultEnd) -> Fraction:
        """Presentation time at which the last frame ends, as exact as the closing line."""
        begin = (self._first_pts or 0) * self._header.time_base
        return begin + Fraction(str(self.duration_seconds(end)))


def header_values(header: ResultHeader) -> dict[str, Any]:
    """The values of the header line."""
    height, width = header.display_size
    values = {
        "type": "header",
        "version": FORMAT_VERSION,
        "source": header.source,
        "width": width,
        "height": height,
        "time_base": f"{header.time_base.numerator}/{header.time_base.denominator}",
        "model": dict(header.model),
        "settings": dict(header.settings),
    }
    return values | {"times": header.times} if header.times else values


def _frame_values(result: FrameResult) -> dict[str, Any]:
    values: dict[str, Any] = {
        "type": "frame",
        "index": result.index,
        "pts": result.pts,
        "time": rounded(result.pts_seconds, SECONDS_DECIMALS),
        "shot": result.shot,
        "reused": result.reused,
        "faces": [face_values(face) for face in result.faces],
    }
    if result.is_pts_filled:
        values["pts_filled"] = True
    if result.is_truncated:
        values["truncated"] = True
    if result.links:
        values["links"] = [_link_values(link) for link in result.links]
    return values | frame_marks(result)


def frame_marks(result: FrameResult) -> dict[str, Any]:
    """The values of a frame line that say what is unusual about the picture; of an ordinary one none."""
    values: dict[str, Any] = {}
    if result.is_damaged:
        values["damaged"] = True
    if result.seams:
        values["seam"] = [str(seam) for seam in result.seams]
    if result.display_size is not None:
        height, width = result.display_size
        values["display_size"] = [width, height]
    return values


def _gap_values(gap: Gap) -> dict[str, Any]:
    time, missing = (rounded(seconds, SECONDS_DECIMALS) for seconds in (gap.time, gap.missing_seconds))
    return {"time": time, "missing_seconds": missing, "cause": str(gap.cause)}


def _link_values(link: CharacterLink) -> dict[str, Any]:
    confidence = rounded(link.confidence, CONFIDENCE_DECIMALS)
    values = {"id": link.track_id, "character": link.character, "confidence": confidence}
    values["tentative"] = link.is_tentative
    return values | ({"name": link.name} if link.name else {})


def _character_values(character: Character) -> dict[str, Any]:
    return {
        "character": character.number,
        **({"name": character.name} if character.name else {}),
        "tracks": list(character.tracks),
        "confidence": rounded(character.confidence, CONFIDENCE_DECIMALS),
    }


def characters_of(end: Mapping[str, Any]) -> tuple[Character, ...]:
    """The characters of a parsed closing line."""
    return tuple(
        Character(int(each["character"]), tuple(map(int, each["tracks"])), each["confidence"], each.get("name", ""))
        for each in end.get("characters", ())
    )


def gaps_of(end: Mapping[str, Any]) -> tuple[Gap, ...]:
    """The gaps of a parsed closing line."""
    return tuple(Gap(gap["time"], gap["missing_seconds"], GapCause(gap["cause"])) for gap in end.get("gaps", ()))


def frame_of(values: Mapping[str, Any], time_base: Fraction) -> FrameResult:
    """The frame of a parsed frame line, as exact as the line; ``time_base`` is in the header line."""
    size = values.get("display_size")
    return FrameResult(
        index=values["index"],
        pts=values["pts"],
        time_base=time_base,
        pts_seconds=float(values["pts"] * time_base),
        faces=tuple(face_of(face) for face in values["faces"]),
        shot=values["shot"],
        reused=values["reused"],
        is_pts_filled=values.get("pts_filled", False),
        is_truncated=values.get("truncated", False),
        is_damaged=values.get("damaged", False),
        seams=tuple(map(Seam, values.get("seam", ()))),
        display_size=None if size is None else (size[1], size[0]),
        links=tuple(
            CharacterLink(each["id"], each["character"], each["confidence"], each["tentative"], each.get("name", ""))
            for each in values.get("links", ())
        ),
    )
