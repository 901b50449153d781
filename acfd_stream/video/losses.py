"""Losses of a video: packets without a frame, holes, and a file that is cut short."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from fractions import Fraction

from acfd_stream.types import Gap, GapCause
from acfd_stream.video.holes import HoleWatch, Pace, merged

_PENDING_PACKETS = 256  # more than any decoder delays
_DAMAGE_FRAMES = 5  # frames before the end of a recording among which its last packet's is


class LossWatch:
    """Compares the packets that went into a decoder with the frames that came out.

    Args:
        listed_packets: in the container's index, which says where each of them is; 0 if it has none of that kind.
        promised_frames: as the header claims; 0 if it does not say.
        promised_seconds: time of the end as the header claims, on the frames' clock; None if it does not say.
        holes: looks at the packets.
    """

    def __init__(
        self,
        listed_packets: int = 0,
        promised_frames: int = 0,
        promised_seconds: float | None = None,
        holes: HoleWatch | None = None,
    ) -> None:
        self.holes = holes or HoleWatch()
        self._listed_packets = listed_packets
        self._promised_frames, self._promised_seconds = promised_frames, promised_seconds
        self.restart()
        self._is_from_beginning = True

    def restart(self) -> None:
        """Reset everything after a seek; frames are counted from here."""
        self._is_from_beginning = False
        self._first: int | None = None  # pts of the first packet
        self._broken_start: tuple[int, int] | None = None  # pts of the first packet, if damaged, and the first frame
        self._left_out: set[int] = set()  # pts of packets before the first frame
        self.packets = 0
        self.frames = 0
        self._pending: OrderedDict[int, int] = OrderedDict()  # pts → number of the packet
        self._last_matched = -1
        self._is_one_to_one = True
        self.refused = 0
        self.damaged = 0
        self._is_joined = False
        self._damaged_at: list[float] = []  # times of damaged frames
        self._lost: list[Gap] = []  # pictures that the decoder did not give, or that are cut away
        self._cuts: list[str] = []  # warnings
        self._end_seconds = 0.0
        self._shown: int | None = None  # pts of the last frame
        self._hidden: dict[int, tuple[int, int]] = {}  # pts of a packet without a frame → those of the frames around
        self.holes.restart()

    @property
    def is_plain(self) -> bool:
        """Whether there was no damage and no sign of a hole so far."""
        return not (self.damaged or self._lost or self._broken_start) and self.holes.is_plain

    def gaps(self, time_base: Fraction, frame_seconds: float) -> list[Gap]:
        """The holes in order of time, after the last frame.

        Args:
            time_base: of the packets, seconds.
            frame_seconds: duration of a frame.
        """
        found = []
        for hole in self.holes.holes():
            # The decoder may hide what follows a hole, for example a lost keyframe, up to the next clean picture.
            hidden = [shown - hole.begin for before, shown in self._hidden.values() if before < hole.begin < shown]
            gap = Gap(float(hole.begin * time_base), float(max(hole.missing, *hidden, 0) * time_base), hole.cause)
            begin, end = gap.time - _DAMAGE_FRAMES * frame_seconds, gap.time + frame_seconds
            if not hole.is_unsure or any(begin <= seconds <= end for seconds in self._damaged_at):
                found.append(gap)
        if self._broken_start is not None:
            begin, end = (float(pts * time_base) for pts in self._broken_start)
            found.append(Gap(begin, end - begin, GapCause.DAMAGED_PACKET))
        return merged(found + self._lost, frame_seconds)

    def begin_part(self, listed_packets: int, promised_frames: int) -> None:
        """Go on with another recording, whose index and header are added: what lies before it is no hole."""
        self._is_joined = True
        self._listed_packets += listed_packets
        self._promised_frames += promised_frames
        self.holes.note_seam()

    @property
    def unshown(self) -> int:
        """Packets that gave no frame and never will, such as those that an edit list cuts away."""
        return self.packets - self.frames - len(self._pending) - self.refused

    def resume(self, frames: int, pts: int, *, refused: int, damaged: int, unshown: int, pace: Pace) -> None:
        """Set the counts to those after ``frames`` frames, the last at ``pts``, most of which a seek has skipped."""
        for past in [known for known in self._pending if known <= pts]:
            del self._pending[past]
        self.frames, self.refused, self.damaged = frames, refused, damaged
        self.packets = frames + unshown + len(self._pending) + refused
        self.holes.resume(pace)

    def note_packet(self, pts: int | None, is_discarded: bool) -> None:
        """Count a packet that goes into the decoder."""
        self.packets += 1
        if self.packets == 1:
            self._first = pts
        if pts is None or is_discarded or pts in self._left_out:
            return
        self._pending[pts] = self.packets
        if len(self._pending) > _PENDING_PACKETS:  # a field, or a packet without a picture, as some codecs have
            self._pending.popitem(last=False)
            self._is_one_to_one = False

    def note_repeats(self, count: int) -> None:
        """Count empty packets, which repeat the picture before and do not go into the decoder."""
        self.packets += count

    def note_refused(self, pts: int | None = None, *, is_damaged: bool = False) -> None:
        """Count a packet that the decoder rejects before its first frame, as at the start of a recording.

        Args:
            pts: its time.
            is_damaged: where it is the first one, this is no recording that begins in mid-stream.
        """
        self.refused += 1
        if pts is None:
            return
        self._left_out.add(pts)
        if is_damaged and self._is_from_beginning and pts == self._first:
            self._broken_start = pts, pts

    def note_lost(self, seconds: float, missing_seconds: float, cause: GapCause = GapCause.DAMAGED_PACKET) -> None:
        """Note a picture behind the first frame that the decoder does not give, with its time and duration."""
        self._lost.append(Gap(seconds, missing_seconds, cause))

    def is_left_out(self, pts: int | None) -> bool:
        """Whether a packet was counted among those before the first frame."""
        return pts in self._left_out

    def _leave_out_before(self, pts: int) -> None:
        """Count packets that are shown before the first frame, at ``pts``: the decoder passed over them."""
        earlier = [pending for pending in self._pending if pending < pts]
        for pending in earlier:
            self.drop(pending)
        self.refused += len(earlier)
        self._left_out.update(earlier)
        if self._broken_start is not None:
            self._broken_start = self._broken_start[0], pts

    def note_cut(self, what: str, missing_seconds: float = 0.0) -> None:
        """Note that the container ends too early behind the last frame.

        Args:
            what: a warning for the user.
            missing_seconds: duration of the pictures that are cut away; 0 where it is not known.
        """
        self._cuts.append(what)
        self.note_lost(self._end_seconds, missing_seconds, GapCause.DAMAGED_CONTAINER)

    def drop(self, pts: int | None) -> None:
        """A packet gives no frame, which is noted elsewhere."""
        if pts is not None:
            self._pending.pop(pts, None)
            self._hidden.pop(pts, None)

    def read_again(self) -> None:
        """All packets will be noted once more, with what is lost, and only the frames that were not yet noted."""
        self.packets, self.refused, self._lost = 0, len(self._left_out), []
        self.holes.restart()
        self._pending.clear()
        self._is_one_to_one = False

    def note_frame(self, pts: int | None, seconds: tuple[float, float], is_damaged: bool, is_interlaced: bool) -> None:
        """Count a frame from the decoder; ``seconds`` are its begin and end."""
        if not self.frames and pts is not None and self._is_from_beginning:
            self._leave_out_before(pts)
        self.frames += 1
        self.damaged += is_damaged
        if is_damaged:
            self._damaged_at.append(seconds[0])
        self._end_seconds = seconds[1]
        if is_interlaced:
            self._is_one_to_one = False
        if pts is not None:
            before, self._shown = self._shown, pts
            self._hidden.pop(pts, None)
            if before is not None and not is_interlaced and len(self._pending) < _PENDING_PACKETS:
                self._hidden |= {pending: (before, pts) for pending in self._pending if before < pending < pts}
            self._last_matched = max(self._last_matched, self._pending.pop(pts, -1))

    @property
    def is_end_lost(self) -> bool:
        """Whether the last packets gave no frame while all before them did."""
        if not self._is_one_to_one or self._last_matched < 0 or not self._pending:
            return False
        return min(self._pending.values()) > self._last_matched

    def take_end(self) -> list[int]:
        """Pts of the last packets if ``is_end_lost``; they are forgotten here."""
        lost = sorted(self._pending) if self.is_end_lost else []
        self._pending.clear()
        return lost

    def note_end(
        self, frame_seconds: float, is_cut_off: bool = False, sign: str = "", *, ends_in_zeros: bool = False
    ) -> None:
        """Compare what came with what the container promises; after a reading from its beginning to its end.

        Args:
            frame_seconds: duration of a frame.
            is_cut_off: its bytes end too early; this does not hold for joined recordings. Without that, what the header
                promises may be that of another stream, or of a file before a cut.
            sign: another sign that it is cut short, in words; "" if there is none.
            ends_in_zeros: its bytes are there, but zeros at the end; as ``is_cut_off`` if the header promises more.
        """
        is_known = self._promised_seconds is not None or self._promised_frames > 0
        is_short = (is_cut_off or (ends_in_zeros and is_known)) and not self._is_joined
        found, missing_seconds = self._shortness(frame_seconds, is_short)
        if found or sign:
            self.note_cut(f"the file is cut short: {found or sign}", missing_seconds)

    def warnings(self) -> list[str]:
        """Warnings for the user, after the last frame."""
        found = []
        if self.refused:
            found.append(f"packets at the beginning that could not be decoded and were left out: {self.refused}")
        if self.damaged:
            found.append(f"damaged frames that the decoder patched up: {self.damaged}")
        return found + self._cuts

    def _shortness(self, frame_seconds: float, is_cut_off: bool) -> tuple[str, float]:
        """Why the file is cut short, "" if it is not, and seconds of the pictures that are cut away."""
        frames = self._promised_frames if is_cut_off else self._listed_packets
        if self.packets < frames:
            missing = (frames - self.packets) * frame_seconds
            return f"its header promises {frames} frames, {self.packets} are there", missing
        promised, end = self._promised_seconds, self._end_seconds
        if is_cut_off and promised is not None and promised - end > frame_seconds / 2:
            return f"its header promises {promised:.1f} s, its frames end at {end:.1f} s", promised - end
        if is_cut_off and promised is None and not frames:
            return "its header promises more bytes than are there", 0.0
        return ("its last packet is incomplete" if self.holes.is_partial else ""), 0.0


def gap_warnings(gaps: Sequence[Gap]) -> list[str]:
    """A warning for the user about the holes of a video; none without a hole."""
    if not gaps:
        return []
    number = "data is missing in 1 place" if len(gaps) == 1 else f"data is missing in {len(gaps)} places"
    missing = sum(gap.missing_seconds for gap in gaps)
    length = f", {missing:.3f} s of pictures in all" if missing > 0 else ""
    return [f"{number}{length}; the first is at {gaps[0].time:.3f} s ({gaps[0].cause})"]
