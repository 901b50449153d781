"""Renders a plan to frames: held drawings, cuts, fades, flashes, and the truth of each frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from acfd_stream.errors import ConfigError

from .plans import PLANS, Script
from .scene import Pixels, Scene, SeenFace
from .truth import GONE_SECONDS, Change, ClipTruth, FaceTruth, FrameTruth


@dataclass(frozen=True, slots=True)
class _Span:
    """The frames of a shot: ``start`` … ``end`` - 1; fades extend beyond them."""

    start: int
    end: int
    shot: int


class Clip:
    """A drawn clip; iterate to get (pixels, FrameTruth) frame by frame.

    ``truth`` is complete after an iteration. Every iteration gives the same frames.
    """

    def __init__(self, script: Script, seed: int, size: tuple[int, int], fps: Fraction) -> None:
        self.script, self.size, self.fps = script, size, fps
        self.spans = self._lay_out()
        self.frame_count = self.spans[-1].end
        self._fades = self._transitions()
        self._flashes = self._flash_frames()
        self.truth = ClipTruth(script.name, seed, size, fps, [], self._changes())

    def _lay_out(self) -> list[_Span]:
        spans, clock, start = [], 0.0, 0
        for index, shot in enumerate(self.script.shots):
            clock += shot.seconds
            end = max(start + 1, round(clock * float(self.fps)))
            spans.append(_Span(start, end, index))
            start = end
        return spans

    def _transitions(self) -> list[tuple[str, int, int, int]]:
        """(kind, first, last, at) of every fade and dissolve, frames."""
        found = []
        for span in self.spans[:-1]:
            shot = self.script.shots[span.shot]
            if shot.after != "cut":
                half = max(1, round(shot.after_seconds * float(self.fps) / 2))
                found.append((shot.after, span.end - half, span.end + half - 1, span.end))
        return found

    def _flash_frames(self) -> dict[int, str]:
        flashes = {}
        for span in self.spans:
            for seconds, length, kind in self.script.shots[span.shot].flashes:
                first = span.start + round(seconds * float(self.fps))
                flashes.update({index: kind for index in range(first, min(first + length, span.end))})
        return flashes

    def _changes(self) -> list[Change]:
        changes = [Change(kind, first, last, at) for kind, first, last, at in self._fades]
        for span in self.spans[:-1]:
            if self.script.shots[span.shot].after == "cut":
                changes.append(Change("cut", span.end, span.end, span.end))
        for index in sorted(self._flashes):
            if self._flashes.get(index - 1) != self._flashes[index]:
                last = index
                while self._flashes.get(last + 1) == self._flashes[index]:
                    last += 1
                changes.append(Change(f"flash_{self._flashes[index]}", index, last))
        return sorted(changes, key=lambda change: (change.first, change.kind))

    def span_at(self, index: int) -> _Span:
        """The frames of the shot that frame ``index`` is in."""
        return next(span for span in self.spans if span.start <= index < span.end)

    def __len__(self) -> int:
        return self.frame_count

    def __iter__(self) -> Iterator[tuple[Pixels, FrameTruth]]:
        self.truth.frames = []
        painter, names = _Painter(self), _Names(max(1, round(GONE_SECONDS * float(self.fps))))
        previous: object = None
        shown: _Shown | None = None
        drawing = -1
        for index in range(self.frame_count):
            pixels, faces, key = painter.frame(index)
            drawing += key != previous
            held = shown is not None and painter.shown.repeats(shown)
            previous, shown = key, painter.shown
            named = tuple(names.name(index, owner, face, visible) for owner, face, visible in faces)
            frame = FrameTruth(
                index, drawing, self.span_at(index).shot, tuple(sorted(named, key=lambda face: face.id)), held
            )
            self.truth.frames.append(frame)
            yield pixels, frame


class _Names:
    """Numbers the appearances of faces."""

    def __init__(self, gone: int) -> None:
        self._gone, self._count = gone, 0
        self._known: dict[tuple[int, int], tuple[int, int]] = {}  # (shot, character) → (id, last frame)

    def name(self, index: int, shot: int, face: SeenFace, visible: float) -> FaceTruth:
        """The face as truth; after a long absence, or in another shot, a character gets a new id."""
        key = (shot, face.character)
        known = self._known.get(key)
        if known is None or index - known[1] > self._gone + 1:
            self._count += 1
            known = (self._count, index)
        self._known[key] = (known[0], index)
        return FaceTruth(known[0], face.character + 1, face.box_xyxy, visible, face.yaw)


Shown = list[tuple[int, SeenFace, float]]  # (shot, face, visible after fades)


@dataclass(frozen=True, slots=True)
class _Shown:
    """The drawing of a frame before a fade, and how it is shown."""

    pixels: Pixels
    mode: object  # equal for frames that show their drawings in the same way, at any level

    def repeats(self, other: _Shown) -> bool:
        """Whether both are the same drawing; drawings with equal pixels are."""
        if self.mode != other.mode:
            return False
        return self.pixels is other.pixels or np.array_equal(self.pixels, other.pixels)


class _Painter:
    """Draws frames and caches the drawings that the next frame may repeat."""

    shown: _Shown  # of the last frame

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._scenes: dict[int, Scene] = {}
        self._last: dict[int, tuple[tuple[int, int], tuple[Pixels, list[SeenFace]]]] = {}

    def frame(self, index: int) -> tuple[Pixels, Shown, object]:
        """Pixels, faces, and a key that is equal for equal pictures."""
        clip = self._clip
        own = clip.span_at(index)
        for kind, first, last, at in clip._fades:
            if first <= index <= last:
                return self._faded(kind, index, (first, last, at))
        pixels, faces, steps = self._drawing(own, index)
        flash = clip._flashes.get(index)
        self.shown = _Shown(pixels, None if flash is None else ("flash", flash))
        if flash is None:
            return pixels, [(own.shot, face, face.visible) for face in faces], (own.shot, steps)
        hidden = [(own.shot, face, 0.0) for face in faces]
        if flash == "inverted":
            return np.asarray(255 - pixels, np.uint8), hidden, ("inverted", own.shot, steps)
        blank = np.full_like(pixels, 255 if flash == "white" else 0)
        self.shown = _Shown(blank, ("flash", flash))
        return blank, hidden, flash

    def _drawing(self, span: _Span, index: int) -> tuple[Pixels, list[SeenFace], tuple[int, int]]:
        clip = self._clip
        for shot in [number for number in self._scenes if number < span.shot - 1]:
            del self._scenes[shot]
            self._last.pop(shot, None)
        if span.shot not in self._scenes:
            script = clip.script
            shot_plan = script.shots[span.shot]
            self._scenes[span.shot] = Scene(shot_plan, script.casts[span.shot], script.styles[span.shot], clip.size)
        local = index - span.start
        hold, mouth_hold = clip.script.holds(span.shot)
        steps = (local // hold * hold, local // mouth_hold * mouth_hold)
        known = self._last.get(span.shot)
        if known is None or known[0] != steps:
            rate = float(clip.fps)
            known = (steps, self._scenes[span.shot].draw(steps[0] / rate, steps[1] / rate))
            self._last[span.shot] = known
        return known[1][0], known[1][1], steps

    def _faded(self, kind: str, index: int, span_at: tuple[int, int, int]) -> tuple[Pixels, Shown, object]:
        first, last, at = span_at
        before, after = self._clip.span_at(at - 1), self._clip.span_at(at)
        if kind == "dissolve":
            part = (index - first + 1) / (last - first + 2)
            old, old_faces, _ = self._drawing(before, index)
            new, new_faces, _ = self._drawing(after, index)
            mixed = old.astype(np.float32) * (1 - part) + new.astype(np.float32) * part
            self.shown = _Shown(new, index)  # every mixture is another picture
            shown = [(before.shot, face, face.visible * (1 - part)) for face in old_faces]
            shown += [(after.shot, face, face.visible * part) for face in new_faces]
            return mixed.astype(np.uint8), shown, index
        span = before if index < at else after
        left = (at - 1 - index) / max(at - first, 1) if index < at else (index - at) / max(last + 1 - at, 1)
        pixels, faces, _ = self._drawing(span, index)
        ground = 255.0 if kind == "fade_white" else 0.0
        mixed = pixels.astype(np.float32) * left + ground * (1 - left)
        key = ("bare", kind) if left == 0 else index
        self.shown = _Shown(np.empty(0, np.uint8), key) if left == 0 else _Shown(pixels, None)
        return mixed.astype(np.uint8), [(span.shot, face, face.visible * left) for face in faces], key


def render(
    plan: str = "demo", seed: int = 0, size: tuple[int, int] = (720, 1280), fps: Fraction | float = Fraction(24)
) -> Clip:
    """A drawn clip with its truth; the same arguments give the same clip.

    Args:
        plan: one of ``plans.PLANS``, for example demo or crowd.
        seed: chooses style, characters, scenes and events.
        size: (height, width) in pixels, each 64 … 4320.
        fps: frames per second, 1 … 120.

    Raises:
        ConfigError: an argument is outside its range.
    """
    rate = Fraction(fps).limit_denominator(1001)
    if plan not in PLANS:
        raise ConfigError(f"plan must be one of {', '.join(PLANS)}, got {plan!r}")
    if not all(64 <= side <= 4320 for side in size):
        raise ConfigError(f"size must be (height, width), each in 64 … 4320, got {size!r}")
    if not 1 <= rate <= 120:
        raise ConfigError(f"fps must be in 1 … 120, got {fps!r}")
    if seed < 0:
        raise ConfigError(f"seed must be >= 0, got {seed!r}")
    return Clip(PLANS[plan](np.random.default_rng((seed, list(PLANS).index(plan)))), seed, size, rate)
