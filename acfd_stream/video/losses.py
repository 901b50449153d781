"""Losses that a decoder does not report: packets without a frame, and missing frames of the header's count."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from acfd_stream.types import Gap

_PENDING_PACKETS = 256  # more than any decoder delays
_TOLERATED_FRAMES = 2  # containers count slightly differently
_TOLERATED_SHARE = 0.005


class LossWatch:
    """Compares the packets that went into a decoder with the frames that came out.

    Args:
        promised_frames: as the header claims; 0 if it does not say.
        promised_seconds: time of the end as the header claims, on the frames' clock; None if it does not say.
    """

    def __init__(self, promised_frames: int, promised_seconds: float | None) -> None:
        self._promised_frames = promised_frames
        self._promised_seconds = promised_seconds
        self.restart()

    def restart(self) -> None:
        """Reset everything after a seek; frames are counted from here."""
        self.packets = 0
        self.frames = 0
        self._pending: OrderedDict[int, int] = OrderedDict()  # pts → number of the packet
        self._last_matched = -1
        self._is_one_to_one = True
        self.refused = 0
        self.damaged = 0
        self._end_seconds = 0.0

    @property
    def unshown(self) -> int:
        """Packets that gave no frame and never will, such as those that an edit list cuts away."""
        return self.packets - self.frames - len(self._pending)

    def resume(self, frames: int, pts: int, *, refused: int, damaged: int, unshown: int) -> None:
        """Set the counts to those after ``frames`` frames, the last at ``pts``, most of which a seek has skipped."""
        for past in [known for known in self._pending if known <= pts]:
            del self._pending[past]
        self.frames, self.refused, self.damaged = frames, refused, damaged
        self.packets = frames + unshown + len(self._pending) + refused

    def note_packet(self, pts: int | None, is_discarded: bool) -> None:
        """Count a packet that goes into the decoder."""
        self.packets += 1
        if pts is None or is_discarded:
            return
        self._pending[pts] = self.packets
        if len(self._pending) > _PENDING_PACKETS:  # a field, or a packet without a picture, as some codecs have
            self._pending.popitem(last=False)
            self._is_one_to_one = False

    def note_repeats(self, count: int) -> None:
        """Count empty packets, which repeat the picture before and do not go into the decoder."""
        self.packets += count

    def note_refused(self) -> None:
        """Count a packet that the decoder rejects before its first frame, as at the start of a recording."""
        self.refused += 1

    def note_frame(self, pts: int | None, seconds: tuple[float, float], is_damaged: bool, is_interlaced: bool) -> None:
        """Count a frame from the decoder; ``seconds`` are its begin and end."""
        self.frames += 1
        self.damaged += is_damaged
        self._end_seconds = seconds[1]
        if is_interlaced:
            self._is_one_to_one = False
        if pts is not None:
            self._last_matched = max(self._last_matched, self._pending.pop(pts, -1))

    @property
    def is_end_lost(self) -> bool:
        """Whether the last packets gave no frame while all before them did.

        A decoder with many threads ends in silence on a broken packet near the end, one with few reports it; with
        this the result does not depend on the number of cores.
        """
        if not self._is_one_to_one or self._last_matched < 0 or not self._pending:
            return False
        return min(self._pending.values()) > self._last_matched

    def warnings(self, is_whole: bool) -> list[str]:
        """Warnings for the user, after the last frame.

        Args:
            is_whole: the video was read from its beginning to its end, so that the header's promise can be judged.
        """
        found = []
        if self.refused:
            found.append(f"packets at the beginning that could not be decoded and were left out: {self.refused}")
        if self.damaged:
            found.append(f"damaged frames that the decoder patched up: {self.damaged}")
        if is_whole:
            found += self._shortness()
        return found

    def _shortness(self) -> list[str]:
        tolerated = max(_TOLERATED_FRAMES, self._promised_frames * _TOLERATED_SHARE)
        if self.packets < self._promised_frames - tolerated:
            return [
                f"the file is cut short: its header promises {self._promised_frames} frames, {self.packets} are there"
            ]
        promised = self._promised_seconds
        if promised is not None and self._end_seconds < promised - max(2.0, promised * 0.05):
            end = self._end_seconds
            return [f"the file is cut short: its header promises {promised:.1f} s, its frames end at {end:.1f} s"]
        return []


def gap_warnings(gaps: Sequence[Gap]) -> list[str]:
    """A warning for the user about the holes of a video; none without a hole."""
    if not gaps:
        return []
    number = "pictures are missing in 1 place" if len(gaps) == 1 else f"pictures are missing in {len(gaps)} places"
    missing = sum(gap.missing_seconds for gap in gaps)
    length = f", {missing:.3f} s in all" if missing > 0 else ""
    return [f"{number}{length}; the first is at {gaps[0].time:.3f} s ({gaps[0].cause})"]
