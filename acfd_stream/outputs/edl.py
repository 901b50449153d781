"""Scenes as a CMX3600 edit decision list, which video editors import.

Timecodes count frames: 23.976, 29.97 and 59.94 fps count 24, 30 and 60 numbers a second, so without drop frames they
run 0.1 % behind the clock. Drop-frame timecode leaves out numbers, not pictures, to follow it: the first 2 (of 59.94:
4) of every minute but every tenth. It exists for 29.97 and 59.94 fps only: 23.976 fps has none.
Source: SMPTE ST 12-1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from acfd_stream.errors import ConfigError
from acfd_stream.outputs.reader import ResultFile
from acfd_stream.outputs.scenes import Scene
from acfd_stream.printable import printable

RATES = tuple(Fraction(rate) for rate in ("24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60"))
"""Frames per second that timecodes count."""
_MOST_EVENTS = 999  # of a CMX3600 list
_MOST_DEVIATION = Fraction(1, 2000)  # 23.976 and 24 differ by twice of that
_TITLE_CHARACTERS = 70


@dataclass(frozen=True)
class Timecode:
    """How frames are numbered.

    Raises:
        ConfigError: there are no drop frames at this rate.
    """

    rate: Fraction  # one of ``RATES``
    is_drop_frame: bool = False

    def __post_init__(self) -> None:
        if self.is_drop_frame and self._dropped == 0:
            raise ConfigError(f"drop-frame timecode exists for 29.97 and 59.94 fps only, got {float(self.rate):.3f}")

    @property
    def base(self) -> int:
        """Numbers of a second."""
        return round(self.rate)

    @property
    def _dropped(self) -> int:
        """Numbers that are left out at most minutes."""
        return self.base // 15 if self.rate.denominator == 1001 and self.base % 30 == 0 else 0

    def frames(self, seconds: Fraction) -> int:
        """The number of the frame at this time."""
        return max(0, round(seconds * self.rate))

    def text(self, frames: int) -> str:
        """The timecode of a frame, from 0; after 24 hours it begins again."""
        number = frames + (self._left_out(frames) if self.is_drop_frame else 0)
        seconds, frame = divmod(number, self.base)
        minutes, second = divmod(seconds, 60)
        hours, minute = divmod(minutes, 60)
        sign = ";" if self.is_drop_frame else ":"
        return f"{hours % 24:02d}:{minute:02d}:{second:02d}{sign}{frame:02d}"

    def _left_out(self, frames: int) -> int:
        """How many numbers come before that of a frame and are left out."""
        minute = 60 * self.base - self._dropped  # frames of a minute that leaves out numbers
        ten_minutes = 10 * minute + self._dropped
        tens, rest = divmod(frames, ten_minutes)
        minutes = max(0, rest - self._dropped) // minute
        return self._dropped * (9 * tens + minutes)


def rate_of(results: ResultFile) -> Fraction:
    """The rate of ``RATES`` that the frames of results have on average.

    Raises:
        ConfigError: they have none of these.
    """
    average = Fraction(results.frames) / Fraction(str(results.duration_seconds)) if results.duration_seconds else 0
    nearest = min(RATES, key=lambda rate: abs(rate - average))
    if abs(nearest - average) > nearest * _MOST_DEVIATION:
        raise ConfigError(
            f"{results.path}: has {float(average):.3f} frames a second; choose the rate of your project with --rate: "
            + ", ".join(f"{float(rate):.6g}" for rate in RATES)
        )
    return nearest


def edl(scenes: Iterable[Scene], results: ResultFile, timecode: Timecode, title: str) -> bytes:
    """The list, one event per scene; 00:00:00:00 is the first frame of the results.

    Args:
        scenes: in the order of the events.
        results: that they are from.
        timecode: of the source and of the list.
        title: of the list.

    Raises:
        ConfigError: there are more scenes than a list can have.
        MediaError: the results cannot be read.
    """
    scenes = list(scenes)
    if len(scenes) > _MOST_EVENTS:
        raise ConfigError(f"a CMX3600 list has at most {_MOST_EVENTS} events, got {len(scenes)}; choose a longer --gap")
    first = next(iter(results), None)
    begin = Fraction(0) if first is None else first.pts * first.time_base
    mode = "DROP FRAME" if timecode.is_drop_frame else "NON-DROP FRAME"
    lines = [f"TITLE: {_line(title)[:_TITLE_CHARACTERS]}", f"FCM: {mode}", ""]
    at = 0
    for number, scene in enumerate(scenes, 1):
        source = timecode.frames(scene.begin_seconds - begin)
        until = max(source + 1, timecode.frames(scene.end_seconds - begin))
        codes = (source, until, at, at + until - source)
        at = codes[3]
        lines.append(f"{number:03d}  AX       V     C        {' '.join(map(timecode.text, codes))}")
        lines.append(f"* FROM CLIP NAME: {_line(results.header.source)}")
        lines += [f"* COMMENT: {_line(scene.name or f'character {scene.character}')}, scene {scene.number}", ""]
    return "\r\n".join(lines).encode("utf-8", "backslashreplace") + b"\r\n"


def _line(text: str) -> str:
    return printable(" ".join(text.split()))
