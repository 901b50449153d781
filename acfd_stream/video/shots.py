"""Finds shot changes on thumbnails, with a delay of a few frames.

Two pictures are of different shots when they differ by more than small motion explains and their
outlines are arranged anew; either alone happens within a shot (light changes, fast motion).
The rules:

* A cut stands at the first frame of the new shot. Its difference must stand out from those of the
  frames around it, so that steady fast motion, on twos and threes too, is none.
* A flash, frames after which the same picture comes back within ``lookahead_frames``, is no change.
* A blank frame (one colour) belongs to the shot before it. After a blank the new shot begins with
  the first frame that shows a picture again: FADE where a picture fades out or in, CUT where
  none does. The same picture after at most ``lookahead_frames`` blank ones is a flash.
* A fade to a blank end is no change: no shot follows.
* A cross-dissolve is a FADE, given late in it, when the old picture is all but gone; of scenes that move fast
  some are missed.

Wipes and irises are not told apart from motion. Black parts are not compared, so an iris that
closes is no cut.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream import ops, stored
from acfd_stream.config import ShotConfig
from acfd_stream.errors import ConfigError
from acfd_stream.types import FloatArray, Picture, ShotChange

STATE_FORMAT = 1
THUMBNAIL_SIZE = (36, 64)
"""(height, width) of the compared thumbnails, for sources of any shape."""
MOTION_PIXELS = 3
"""Motion up to so many thumbnail pixels, a twentieth of the width, costs nothing."""
AROUND_FRAMES = 4
"""Frames before and after a cut whose changes must be smaller."""
BLACK_LEVEL = 12
"""A pixel whose channels are all below is not compared."""
LEAST_SHARE = 0.02
"""Share of the pixels that must be left to compare."""
STRONG_DIFFERENCE = 0.25
"""From here on a cut needs only half the margin, and over all but one of the frames around it."""
DIM_SHARE = 0.5
"""A picture of less than this share of the usual contrast is fading."""
DISSOLVE_SPANS = (8, 12, 16, 24, 32)
"""Lengths, frames, at which cross-dissolves are detected."""
SPREAD_SHARE = 0.4
"""Median over mean change; a title that appears changes only its own area."""
STILL_REARRANGEMENT, MOVING_REARRANGEMENT = 0.45, 0.75
"""Least change of the outlines over a dissolve of scenes at rest, and of scenes that move."""
STILL_RESIDUE, MOVING_RESIDUE = 0.25, 0.36
"""Largest part of the difference of two pictures that their mixture may leave unexplained."""
MOVING_SPAN = 24
"""Least length, frames, at which a dissolve of moving scenes can be distinguished from motion."""
LEAST_CHANGE = 6.0
"""Mean change of luma over a dissolve, 8-bit levels."""
FADE_IN_FRAMES = 24
"""Frames after a blank frame in which the picture may still grow brighter: no dissolve is detected."""

Bytes3 = NDArray[np.uint8]  # [36, 64, 3]
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, slots=True)
class _View:
    """A thumbnail and its compared features."""

    pixels: Bytes3
    low: Bytes3  # least and greatest value within MOTION_PIXELS
    high: Bytes3
    is_shown: NDArray[np.bool_]  # [36, 64], not black
    outlines: FloatArray  # [N], without mean, of length 1 (0 where there are none)
    luma: FloatArray  # [18, 32]
    deviation: float  # mean standard deviation of the channels, 8-bit levels


@dataclass(frozen=True, slots=True)
class _Step:
    """How two pictures differ."""

    difference: float  # beyond small motion, share of the contrast
    rearrangement: float  # of the outlines, 1 - correlation


class ShotDetector:
    """Shot changes of one stream. Decisions come ``ShotConfig.lookahead_frames`` frames late."""

    def __init__(self, config: ShotConfig | None = None) -> None:
        self._config = config or ShotConfig()
        self._pushed = 0  # frames taken
        self._decided = 0  # frames with a decision
        self._views: list[_View] = []  # the last frames taken, the newest last
        self._steps: list[_Step] = []  # of each of them from the one before it
        self._calm_until = 0  # frames before this one belong to a flash
        self._blank_run = 0  # blank frames just before the next decision
        self._before_blank: _View | None = None
        self._usual_deviation = 0.0
        self._shot_start = 0  # dissolves are detected from here on
        self._dissolve_at = -1

    def push(self, picture: Picture) -> list[ShotChange | None]:
        """Take the next frame's picture; returns the new decisions in frame order."""
        self._take(_view(ops.thumbnail(picture, THUMBNAIL_SIZE)))
        return self._decide(self._pushed - self._config.lookahead_frames)

    @property
    def may_begin_shot(self) -> bool:
        """Whether the newest picture differs from the one before it as the first one of a shot does."""
        step, config = self._steps[-1], self._config
        return step.difference >= config.least_difference and step.rearrangement >= config.least_rearrangement

    def flush(self) -> list[ShotChange | None]:
        """The remaining decisions in frame order; no frame follows."""
        return self._decide(self._pushed)

    def state(self) -> dict[str, Any]:
        """Everything that later decisions depend on, for ``json.dumps`` (about 0.4 MB)."""
        before_blank = self._before_blank
        return {
            "format": STATE_FORMAT,
            "config": dataclasses.asdict(self._config),
            "numbers": {name: getattr(self, name) for name in (*_NUMBERS, _DEVIATION)},
            "views": [_pack(view) for view in self._views],
            "steps": [[step.difference, step.rearrangement] for step in self._steps],
            "before_blank": None if before_blank is None else _pack(before_blank),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state`` of a detector with the same config.

        Raises:
            ConfigError: the state is of another format or another config.
            ResumeError: it is damaged.
        """
        stored.fields(state, "shots", "config", "numbers", "views", "steps", "before_blank")
        if state.get("format") != STATE_FORMAT:
            raise ConfigError(f"shot state must be of format {STATE_FORMAT}, got {state.get('format')!r}")
        own = dataclasses.asdict(self._config)
        if state["config"] != own:
            raise ConfigError(f"shot state must be of the same config {own}, got {state['config']}")
        numbers = stored.fields(state["numbers"], "shots.numbers", *_NUMBERS, _DEVIATION)
        for name in _NUMBERS:
            setattr(self, name, stored.whole(numbers[name], f"shots.{name}", -1 if name == "_dissolve_at" else 0))
        stored.whole(self._decided, "shots._decided", 0, self._pushed)
        self._usual_deviation = stored.real(numbers[_DEVIATION], f"shots.{_DEVIATION}", 0.0, 255.0)
        self._views = [_unpack(text) for text in stored.items(state["views"], "shots.views", self._kept)]
        self._steps = [_restored_step(values) for values in stored.items(state["steps"], "shots.steps", self._kept)]
        stored.same_count("shots", self._views, self._steps)
        before_blank = state["before_blank"]
        self._before_blank = None if before_blank is None else _unpack(before_blank)

    def _take(self, view: _View) -> None:
        self._steps.append(_step(self._views[-1], view) if self._views else _Step(0.0, 0.0))
        self._views.append(view)
        self._pushed += 1
        del self._views[: -self._kept], self._steps[: -self._kept]
        if self._dissolve_at < self._decided and self._ends_dissolve():
            self._dissolve_at = self._decided

    @property
    def _kept(self) -> int:
        """Most views that are kept."""
        return max(DISSOLVE_SPANS[-1], AROUND_FRAMES + self._config.lookahead_frames) + 2

    def _decide(self, end: int) -> list[ShotChange | None]:
        verdicts = []
        while self._decided < end:
            frame = self._decided
            verdict = self._verdict(frame)
            view = self._view_of(frame)
            self._usual_deviation = max(view.deviation, 0.95 * self._usual_deviation)
            if verdict is not None:
                self._shot_start = max(self._shot_start, frame if frame != self._dissolve_at else self._pushed)
            verdicts.append(verdict)
            self._decided += 1
        return verdicts

    def _verdict(self, frame: int) -> ShotChange | None:
        view = self._view_of(frame)
        if self._is_blank(view):
            if self._blank_run == 0 and frame > 0:
                self._before_blank = self._view_of(frame - 1)
            self._blank_run += 1
            return None
        if self._blank_run:
            return self._after_blank(frame)
        if frame == self._dissolve_at:
            return ShotChange.FADE
        if frame < self._calm_until or not self._stands_out(frame) or self._is_flash(frame):
            return None
        return ShotChange.FADE if self._is_dim(view) and self._is_dim(self._view_of(frame - 1)) else ShotChange.CUT

    def _after_blank(self, frame: int) -> ShotChange | None:
        """The decision on the first picture after blank frames."""
        before, run = self._before_blank, self._blank_run
        self._before_blank, self._blank_run = None, 0
        self._shot_start = frame + FADE_IN_FRAMES
        if before is None:  # the stream began blank
            return None
        ahead = self._ahead(frame)
        if run <= self._config.lookahead_frames and any(not self._is_other(before, view) for view in ahead):
            self._calm_until = frame + 1
            return None
        brightest = max(view.deviation for view in ahead)
        is_fading_in = ahead[0].deviation < DIM_SHARE * brightest
        return ShotChange.FADE if is_fading_in or self._is_dim(before) else ShotChange.CUT

    def _stands_out(self, frame: int) -> bool:
        """Whether the step to ``frame`` is a cut, if flashes are ignored."""
        step, config = self._step_of(frame), self._config
        if step.difference < config.least_difference or step.rearrangement < config.least_rearrangement:
            return False
        first = max(1, frame - AROUND_FRAMES, self._pushed - len(self._steps))
        last = min(self._pushed, frame + AROUND_FRAMES + 1)
        if frame > first and self._step_of(frame - 1).difference >= step.difference:
            return False  # no shot is one frame long: the greater step is the cut
        if frame + 1 < last and self._step_of(frame + 1).difference > step.difference:
            return False
        around = sorted(self._step_of(i).difference for i in range(first, last) if i != frame)
        if len(around) > 1 and step.difference >= STRONG_DIFFERENCE:
            return step.difference >= config.outstanding / 2 * around[-2]
        return not around or step.difference >= config.outstanding * around[-1]

    def _is_flash(self, frame: int) -> bool:
        """Whether the picture before ``frame`` returns; if so, there is no cut up to then."""
        before = self._view_of(frame - 1)
        for offset, view in enumerate(self._ahead(frame)[1:], 1):
            if not self._is_blank(view) and not self._is_other(before, view):
                self._calm_until = frame + offset + 1
                return True
        return False

    def _is_other(self, first: _View, second: _View) -> bool:
        step = _step(first, second)
        limit = self._config
        return step.difference >= limit.least_difference and step.rearrangement >= limit.least_rearrangement

    def _is_blank(self, view: _View) -> bool:
        return view.deviation < self._config.blank_deviation

    def _is_dim(self, view: _View) -> bool:
        return view.deviation < DIM_SHARE * self._usual_deviation

    def _ends_dissolve(self) -> bool:
        """Whether a cross-dissolve has just come to rest with the newest frame."""
        known = min(len(self._views), self._pushed - self._shot_start)
        return any(_is_dissolve(self._views[-span - 1 :]) for span in DISSOLVE_SPANS if span < known)

    def _view_of(self, frame: int) -> _View:
        return self._views[frame - self._pushed]

    def _step_of(self, frame: int) -> _Step:
        return self._steps[frame - self._pushed]

    def _ahead(self, frame: int) -> list[_View]:
        """The views of ``frame`` and of the lookahead's frames after it."""
        return self._views[frame - self._pushed :][: self._config.lookahead_frames + 1]


_NUMBERS = (
    "_pushed",
    "_decided",
    "_calm_until",
    "_blank_run",
    "_shot_start",
    "_dissolve_at",
)
_DEVIATION = "_usual_deviation"


def _view(pixels: Bytes3) -> _View:
    channels = pixels.reshape(-1, 3).T.astype(np.float32)  # [3, N]
    luma = (_LUMA @ channels).reshape(THUMBNAIL_SIZE)
    deviation = float(channels.std(axis=1).mean())
    brightest = channels.max(axis=0).reshape(THUMBNAIL_SIZE)
    high, inverted = _spread(np.stack([pixels, ~pixels]))
    quarter = (luma[::2, ::2] + luma[1::2, ::2] + luma[::2, 1::2] + luma[1::2, 1::2]) / 4
    return _View(pixels, ~inverted, high, brightest >= BLACK_LEVEL, _outlines(luma), quarter, deviation)


def _spread(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The greatest value within MOTION_PIXELS (3) rows and columns of every pixel; uint8 [N, H, W, 3]."""
    for axis in (1, 2):
        shape = list(pixels.shape)
        shape[axis] += 6
        padded = np.zeros(shape, np.uint8)  # no pixel is below
        rows = np.moveaxis(padded, axis, 0)
        rows[3:-3] = np.moveaxis(pixels, axis, 0)
        two = np.maximum(rows[:-1], rows[1:])
        four = np.maximum(two[:-2], two[2:])
        pixels = np.moveaxis(np.maximum(four[:-3], four[3:]), 0, axis)
    return pixels


def _outlines(luma: FloatArray) -> FloatArray:
    smooth = _blur(luma)
    across = smooth[1:-1, 2:] - smooth[1:-1, :-2]
    down = smooth[2:, 1:-1] - smooth[:-2, 1:-1]
    strength = _blur(np.sqrt(across * across + down * down)).ravel()
    strength -= strength.mean()
    length = float(np.sqrt(strength @ strength))
    return strength / np.float32(length) if length > 0 else strength


def _blur(values: FloatArray) -> FloatArray:
    """Means of 3×3 values, [H - 2, W - 2]."""
    rows = values[:-2] + values[1:-1] + values[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / np.float32(9.0))


def _step(first: _View, second: _View) -> _Step:
    """How far each picture is outside the range that small motion of the other one allows."""
    rearrangement = 1.0 - float(first.outlines @ second.outlines)
    is_compared = first.is_shown & second.is_shown
    count = int(np.count_nonzero(is_compared))
    if count < LEAST_SHARE * is_compared.size:
        is_compared = first.is_shown | second.is_shown
        count = max(1, int(np.count_nonzero(is_compared)))
    beyond = np.maximum(second.pixels, first.high) - first.high + (first.low - np.minimum(second.pixels, first.low))
    back = np.maximum(first.pixels, second.high) - second.high + (second.low - np.minimum(first.pixels, second.low))
    total = int(beyond[is_compared].sum(dtype=np.int64)) + int(back[is_compared].sum(dtype=np.int64))
    contrast = max(first.deviation, second.deviation, 8.0)
    return _Step(total / (6 * count) / contrast, rearrangement)


def _is_dissolve(views: list[_View]) -> bool:
    """Whether the frames go from the first to the last picture by mixing the two.

    Mixtures explain still scenes well, and there the end is awaited. Where both scenes move they explain less and
    nothing comes to rest, so the two ends must be the less alike.
    """
    first, last, span = views[0], views[-1], len(views) - 1
    change = last.luma - first.luma
    amount = np.abs(change)
    size = float(amount.mean())
    dimmer, brighter = sorted((first.deviation, last.deviation))
    if size < LEAST_CHANGE or dimmer < max(8.0, 0.35 * brighter) or np.median(amount) < SPREAD_SHARE * size:
        return False
    rearrangement = 1.0 - float(first.outlines @ last.outlines)
    is_at_rest = float(np.abs(last.luma - views[-2].luma).mean()) < 0.5 * size / span
    if rearrangement < (STILL_REARRANGEMENT if is_at_rest else MOVING_REARRANGEMENT):
        return False
    residue, shares = _mixture([views[i].luma - first.luma for i in (span // 4, span // 2, span - span // 4)], change)
    if not is_at_rest:
        is_even = all(abs(share - due) < 0.2 for share, due in zip(shares, (0.25, 0.5, 0.75), strict=True))
        # If motion explains a part of the change, such as a camera turn, the limit is lower.
        allowed = min(MOVING_RESIDUE, 0.1 + _step(first, last).difference)
        return span >= MOVING_SPAN and is_even and residue < allowed
    is_rising = all(b >= a - 0.05 for a, b in pairwise([0.0, *shares, 1.0]))
    return is_rising and 0.15 < shares[1] < 0.85 and residue < STILL_RESIDUE


def _mixture(gone: list[FloatArray], change: FloatArray) -> tuple[float, list[float]]:
    """The part of each step of ``gone`` that is ``change``, and the most that this leaves unexplained, in changes."""
    power, size = float((change * change).sum()), float(np.abs(change).mean())
    shares = [float((step * change).sum()) / power for step in gone]
    left = [float(np.abs(step - share * change).mean()) for step, share in zip(gone, shares, strict=True)]
    return max(left) / size, shares


def _pack(view: _View) -> str:
    return base64.b64encode(view.pixels.tobytes()).decode("ascii")


def _restored_step(values: Any) -> _Step:
    difference, rearrangement = stored.items(values, "shots.steps", 2, 2)
    return _Step(
        stored.real(difference, "shots.steps", 0.0, 255.0), stored.real(rearrangement, "shots.steps", -1.0, 3.0)
    )


def _unpack(text: Any) -> _View:
    height, width = THUMBNAIL_SIZE
    data = stored.data(text, "shots.views", height * width * 3)
    pixels = np.frombuffer(data, np.uint8).reshape(height, width, 3)
    return _view(pixels)
