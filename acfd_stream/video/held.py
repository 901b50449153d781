"""Finds frames that repeat the drawing before them, on the planes from the decoder.

Animation is drawn on twos and threes: a drawing lasts some frames, which the codec, grain or a fade change slightly.
Every frame is compared with the detected frame of the drawing, never with the last repeat, so that slow motion adds up.

Block means are compared, about as fine as the network's input: no detector sees a change that they do not show. In each
window of 8×8 means the difference is related to the variance there. A codec that sharpens or smears a line changes part
of it. A line that moves, a mouth that opens or an eye that shuts replaces what was there: one window is enough. A fade
changes all means by one gain and one offset, which are estimated first and removed.

A good codec leaves a hundredth of the variance unexplained, a coarse one as much as slow motion does. The last frames
show the noise of the codec: if some differ much less from their drawings than the others, those are repeats, and their
differences are noise. If all frames differ alike, none of it counts as noise.

Source: the share of the variance that is not explained, as in the structure term of Wang et al., "Image quality
assessment: from error visibility to structural similarity", 2004; the threshold between two kinds of frames by Otsu,
"A threshold selection method from gray-level histograms", 1979.
"""

from __future__ import annotations

import base64
import contextlib
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream import ops, stored
from acfd_stream.types import Picture, PixelFormat

Means = NDArray[np.int16]  # [H, W], 14-bit samples
Floats = NDArray[np.float64]

LEVEL = 64
"""14-bit samples per 8-bit level."""
FINEST_SIDE = 1280
"""Up to this longer side, samples, blocks have 2 samples per side; each doubling doubles them."""
LEAST_LIMIT, MOST_LIMIT = 0.1, 0.6
"""A window with a larger unexplained share shows another drawing; the limit depends on the codec's noise."""
UNKNOWN_LIMIT = 0.12
"""The limit while the codec's noise is unknown or cannot be distinguished from motion."""
OTHER_COLOUR = 1.0
COLOUR_LIMIT = 0.5
"""The same of colour, which codecs treat alike at every quality."""
NOISE_TIMES = 3.0
"""The limit is so many times what repeats usually leave unexplained."""
FLOOR = 12.0
"""Levels of difference, root mean square, beyond which a flat window is another one."""
FRAMES_KEPT, FRAMES_NEEDED = 24, 6
"""The noise of the codec is estimated from at most so many of the last frames, and at least so many."""
LEAST_RATIO = 3.0
"""Repeats must differ so many times less from their drawings than other frames do. Steady motion that is slow enough
to pass every other time reaches 4 (twice as far is four times the share); the limit then stops faster motion."""
SLIGHTEST, UTMOST = 1e-3, 2.0
"""Bounds of the shares of the variance in the estimate, so that a cut does not dominate it."""
FADE_GAINS = (0.6, 1.67)
"""A drawing that a fade has made this much fainter or stronger counts as new."""
FADE_LEVELS = 0.8
"""The typical cell differs by more levels in a fade."""
FADE_CONTRAST = 4.0
"""Least standard deviation, levels, of a picture whose gain can be estimated."""


_MOST_SIDE = 65_535


@dataclass(frozen=True, slots=True)
class BlockMeans:
    """Block means of the frame on which detection ran; read-only."""

    kind: tuple[Any, ...]  # layout of the planes; another layout is another drawing
    means: tuple[Means, ...]  # of each channel

    def values(self) -> dict[str, Any]:
        """For JSON; some 100 kB for 1080p."""
        return {
            "kind": list(self.kind),
            "means": [[list(mean.shape), _pack(mean)] for mean in self.means],
        }

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> BlockMeans:
        """The block means that ``values`` was taken from.

        Raises:
            ResumeError: ``values`` is not of that kind.
        """
        stored.fields(values, "held.drawing", "kind", "means")
        kind = _restored_kind(values["kind"])
        shapes = _shapes(kind)
        channels = [
            stored.items(channel, "held.means", 2, 2) for channel in stored.items(values["means"], "held.means", 3)
        ]
        if [shape for shape, _ in channels] != [list(shape) for shape in shapes]:
            stored.damaged("held.means", "others", f"of the shapes {shapes}")
        return cls(kind, tuple(_unpack(text, shape) for (_, text), shape in zip(channels, shapes, strict=True)))


@dataclass(frozen=True, slots=True)
class HeldState:
    """The state of a detector; read-only."""

    drawing: BlockMeans | None = None  # of the last detection
    shares: tuple[float, ...] = ()  # of the variance that each of the last frames left unexplained

    def values(self) -> dict[str, Any]:
        """For JSON."""
        return {"drawing": None if self.drawing is None else self.drawing.values(), "shares": list(self.shares)}

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> HeldState:
        """The state that ``values`` was taken from.

        Raises:
            ResumeError: ``values`` is not of that kind.
        """
        stored.fields(values, "held", "drawing", "shares")
        drawing = None if values["drawing"] is None else BlockMeans.from_values(values["drawing"])
        shares = stored.items(values["shares"], "held.shares", FRAMES_KEPT)
        return cls(drawing, tuple(stored.real(share, "held.shares", SLIGHTEST, UTMOST) for share in shares))


def block_means_of(picture: Picture) -> BlockMeans:
    """The block means of a picture."""
    size = picture.stored_size
    kind = (picture.pixel_format.value, *size, picture.bit_depth, picture.is_full_range, picture.rotation)
    return BlockMeans(kind, ops.mean_pool(picture, _block(size)))


def unexplained(drawing: BlockMeans, frame: BlockMeans) -> float:
    """The part of its variance, luma's, that ``frame`` does not have from ``drawing``, where most: 0 … about 3.

    At least OTHER_COLOUR where colour shows that it is another drawing; infinite where planes are laid out differently.
    """
    if frame.kind != drawing.kind:
        return math.inf
    if all(map(np.array_equal, drawing.means, frame.means)):
        return 0.0
    luma, *chroma = (_Change(*pair) for pair in zip(drawing.means, frame.means, strict=True))
    gain, offset = luma.fade()
    # A fade leaves what has no colour without colour: grey stays where it is. Of RGB all three are like luma.
    shift = offset if drawing.kind[0] == "rgb24" else 128 * LEVEL * (1.0 - gain)
    is_other_colour = any(change.unexplained(gain, shift) > COLOUR_LIMIT for change in chroma)
    return max(luma.unexplained(gain, offset), OTHER_COLOUR if is_other_colour else 0.0)


class HeldFrameDetector:
    """Held frames of one stream. Set ``state`` to continue from another detector."""

    def __init__(self) -> None:
        self.state = HeldState()

    def push(self, picture: Picture) -> bool:
        """Whether the next frame's picture repeats the drawing of the last detection."""
        frame, (drawing, shares) = block_means_of(picture), (self.state.drawing, self.state.shares)
        share = math.inf if drawing is None else unexplained(drawing, frame)
        is_held = share < limit_for(shares)
        if math.isfinite(share):
            shares = (*shares, min(max(share, SLIGHTEST), UTMOST))[-FRAMES_KEPT:]
        self.state = HeldState(drawing if is_held else frame, shares)
        return is_held


def limit_for(shares: Sequence[float]) -> float:
    """The largest unexplained share of a repeat, after frames with these shares."""
    if len(shares) < FRAMES_NEEDED:
        return UNKNOWN_LIMIT
    ranked = np.sort(np.log(np.array(shares)))
    below = np.arange(max(2, len(ranked) // 4), len(ranked) - 1)  # frames of the lower kind: not a chance few
    sums = np.cumsum(ranked)
    apart = sums[below - 1] / below - (sums[-1] - sums[below - 1]) / (len(ranked) - below)
    split = int(below[np.argmax(below * (len(ranked) - below) * apart * apart)])
    usual, other = (math.exp(float(np.median(part))) for part in (ranked[:split], ranked[split:]))
    if other < LEAST_RATIO * usual:
        return UNKNOWN_LIMIT
    return min(max(NOISE_TIMES * usual, LEAST_LIMIT), MOST_LIMIT)


class _Change:
    """The change from one plane of means to another, per cell."""

    def __init__(self, before: Means, after: Means) -> None:
        self._sums = ops.cell_moments(before, after)  # int64 [5, H, W]: a, b, aa, ab, bb
        self._counts = _cell_counts(before.shape[0], before.shape[1])

    def fade(self) -> tuple[float, float]:
        """(gain, offset) that map most cells of one picture to the other; (1, 0) if there is no fade."""
        none = (1.0, 0.0)
        differences = self._squares(*none) / self._counts
        if np.median(differences) <= (FADE_LEVELS * LEVEL) ** 2:
            return none
        is_usual = np.ones(self._counts.shape, bool)
        gain, offset = none
        for _ in range(3):
            found = self._line(is_usual)
            if found is None:
                return none
            gain, offset = found
            differences = self._squares(gain, offset) / self._counts
            is_usual = differences <= max(float(LEVEL**2), 2.0 * float(np.median(differences)))
        return (gain, offset) if FADE_GAINS[0] <= gain <= FADE_GAINS[1] else none

    def unexplained(self, gain: float, offset: float) -> float:
        """The largest part of a window's variance that does not come from the picture before."""
        a, b, aa, _, bb = _windows(self._sums.astype(np.float64))
        counts = _windows(self._counts)
        varied = gain * gain * (aa - a * a / counts) + bb - b * b / counts
        return float((_windows(self._squares(gain, offset)) / (varied + counts * (FLOOR * LEVEL) ** 2)).max())

    def _squares(self, gain: float, offset: float) -> Floats:
        """Sum over each cell of the squared differences from gain · a + offset."""
        a, b, aa, ab, bb = self._sums
        if (gain, offset) == (1.0, 0.0):
            return np.asarray(aa - 2 * ab + bb, np.float64)
        sums = gain * gain * aa + bb + offset * offset * self._counts
        sums += 2.0 * (gain * offset * a - gain * ab - offset * b)
        return np.asarray(np.maximum(sums, 0.0), np.float64)

    def _line(self, is_used: NDArray[np.bool_]) -> tuple[float, float] | None:
        """Gain and offset of least squares over some cells; None if these are too flat."""
        count = int(self._counts[is_used].sum())
        a, b, aa, ab, _ = map(int, self._sums.reshape(5, -1) @ is_used.ravel().astype(np.int64))  # exact, in any order
        spread = count * aa - a * a
        if count == 0 or spread < (count * FADE_CONTRAST * LEVEL) ** 2:
            return None
        gain = (count * ab - a * b) / spread
        return gain, (b - gain * a) / count


def _block(size: tuple[int, int]) -> int:
    """Samples of a block's side for planes of this size."""
    block = 2
    while max(size) > FINEST_SIDE * block // 2 and block < 16:
        block *= 2
    return block


def _windows(cells: Floats) -> Floats:
    """Sums [..., H-1, W-1] over windows of 2×2 cells [..., H, W]; a single row or column is its own neighbour."""
    down = cells[..., 1:, :] + cells[..., :-1, :] if cells.shape[-2] > 1 else cells
    return down[..., 1:] + down[..., :-1] if cells.shape[-1] > 1 else down


@lru_cache(maxsize=64)
def _cell_counts(height: int, width: int) -> Floats:
    """Means in each cell."""
    ones = np.ones((height, width), np.int16)
    counts: Floats = ops.cell_moments(ones, ones)[0].astype(np.float64)
    counts.flags.writeable = False
    return counts


def _pack(means: Means) -> str:
    """Differences along the rows, deflated by runs only, because a drawing is mostly flat."""
    steps = np.ascontiguousarray(np.diff(means, axis=1, prepend=np.int16(0)), "<i2")
    deflater = zlib.compressobj(1, strategy=zlib.Z_RLE)
    return base64.b64encode(deflater.compress(steps.tobytes()) + deflater.flush()).decode()


def _unpack(text: Any, shape: tuple[int, int]) -> Means:
    """The means of one channel; no more is inflated than they take."""
    count, found, inflater = 2 * shape[0] * shape[1], b"", zlib.decompressobj()
    with contextlib.suppress(ValueError, TypeError, zlib.error):
        found = inflater.decompress(base64.b64decode(text, validate=True), count + 1)
    if len(found) != count:
        stored.damaged("held.means", text, f"{count} bytes, deflated, in base64")
    steps = np.frombuffer(found, "<i2").reshape(shape)
    return np.cumsum(steps, axis=1, dtype=np.int16)


def _restored_kind(values: Any) -> tuple[Any, ...]:
    layout, height, width, bit_depth, is_full_range, rotation = stored.items(values, "held.kind", 6, 6)
    return (
        stored.member(layout, "held.kind", PixelFormat).value,
        stored.whole(height, "held.kind", 1, _MOST_SIDE),
        stored.whole(width, "held.kind", 1, _MOST_SIDE),
        stored.whole(bit_depth, "held.kind", 8, 16),
        stored.flag(is_full_range, "held.kind"),
        stored.whole(rotation, "held.kind", 0, 270),
    )


def _shapes(kind: tuple[Any, ...]) -> list[tuple[int, int]]:
    """(height, width) of the means of each channel."""
    layout, *size = kind[:3]
    block, half = _block((size[0], size[1])), 1 if layout == PixelFormat.RGB24.value else 2
    luma, chroma = ([math.ceil(math.ceil(side / divisor) / block) for side in size] for divisor in (1, half))
    return [(luma[0], luma[1]), *2 * [(chroma[0], chroma[1])]]
