"""The pixel aspect of each frame, which a stream may change at a keyframe."""

from __future__ import annotations

from collections import deque
from fractions import Fraction

from av.video.stream import VideoStream

_FORMATS = ("matroska", "mov")  # whose header gives the pixel aspect of all frames
_KEYFRAMES_KEPT = 64  # more than a decoder delays


def fixed_aspect(stream: VideoStream) -> Fraction | None:
    """Width of a pixel divided by its height, of all frames, by the container; None: frames have their own."""
    aspect = stream.sample_aspect_ratio
    if not aspect or aspect < 0:
        return None
    is_of_container = stream.container.format.name.startswith(_FORMATS)
    return aspect if is_of_container or aspect != stream.codec_context.sample_aspect_ratio else None


class PixelAspects:
    """Follows the aspect that a decoder reports.

    A decoder tells its latest aspect, not that of a frame. It changes while a keyframe is decoded; frames that were
    decoded before that keyframe may follow. So the new aspect counts from the keyframe's time on.

    Args:
        fixed: the aspect of the container, where that counts for all frames; None: frames have their own.
    """

    def __init__(self, fixed: Fraction | None) -> None:
        self._fixed = fixed
        self._told: Fraction | None = None
        self._keyframes: deque[int] = deque(maxlen=_KEYFRAMES_KEPT)  # pts
        self._coming: deque[tuple[int, Fraction]] = deque()
        self.current = fixed or Fraction(1)

    def note_keyframe(self, pts: int | None) -> None:
        """Note a keyframe that goes into the decoder."""
        if pts is not None and self._fixed is None:
            self._keyframes.append(pts)

    def note_frame(self, pts: int | None, told: Fraction | None) -> None:
        """Set ``current`` to the aspect of a frame that came out, with what the decoder told at that time."""
        if self._fixed is not None:
            return
        aspect = told if told is not None and told > 0 else Fraction(1)
        if self._told is None or pts is None:
            self.current = aspect
        elif aspect != self._told:
            begin = next((keyframe for keyframe in self._keyframes if keyframe >= pts), pts)
            self._coming.append((begin, aspect))
        self._told = aspect
        while self._coming and pts is not None and pts >= self._coming[0][0]:
            self.current = self._coming.popleft()[1]
