"""Finds holes in a video by its packets: counters of the transport, and times at a constant rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from av.packet import Packet
from av.video.stream import VideoStream

from acfd_stream.types import Gap, GapCause
from acfd_stream.video import rtp_losses

# Their packets have counters. FFmpeg marks a packet where one jumps, unless the stream declares a discontinuity; of RTP
# with another payload ``rtp_losses`` marks it.
_COUNTED = ("mpegts", "hls", *rtp_losses.FORMATS)
_IN_FILE_ORDER = ("matroska", "flv")  # whose packets lie one behind the other
_LOOKAHEAD = 2  # packets behind a marked one within which the hole is
_RTP_LOOKAHEAD = 3  # the same, with the marked one itself, where a parser puts packets together
_STEADY_RUN = 8  # distances at the rate before a hole that is believed without another sign
_TOLERATED, _PER_TOLERATED = 3, 100  # holes in a steady video: so many, and one more for so many packets
_HEADER_BYTES = 128  # that may lie between two packets besides other packets
_MANY_BYTES = 2**16  # passed over between two packets
_REORDERED = 16  # most pictures by which a codec reorders
_EFFECT_SECONDS = 1.0  # pictures that are lost so soon behind a hole are lost because of it


class Pace(NamedTuple):
    """How steadily packets came, for a reading that continues in the middle."""

    packets: int = 0
    irregular: int = 0  # distances that are not those of the rate
    run: int = 0  # distances at the rate since the last other one


@dataclass(frozen=True, slots=True)
class Hole:
    """A hole before a packet."""

    begin: int  # dts that the first missing packet had; pts of its picture in what ``HoleWatch.holes`` returns
    missing: int  # units of the time base
    cause: GapCause
    # Nothing may be missing, as where recordings are joined: a hole only if a picture before it is damaged.
    is_unsure: bool = False


class HoleWatch:
    """Looks at the packets of a video in decoding order.

    A hole is told where packets of the transport are missing. It is also told where the times jump by whole pictures
    in a video that is steady before, if many bytes were passed over there, or if the packets say how long they last
    and nearly all do as they say. In a video of variable rate a jump is no hole, nor before a keyframe of a transport.

    Args:
        format: FFmpeg's name of the container.
        is_numbered: a mark stands on a packet behind a loss, and is sure, as ``rtp_losses.with_marks`` puts it. FFmpeg
            puts one on the packet before, and also where recordings are joined.
    """

    def __init__(self, format: str = "", *, is_numbered: bool = False) -> None:
        self._is_numbered = is_numbered
        names = format.split(",")
        self._has_counters = any(name in _COUNTED for name in names)
        self._is_in_file_order = any(name in _IN_FILE_ORDER for name in names)
        self.restart()

    def restart(self) -> None:
        """Forget everything, after a seek."""
        self._holes: list[Hole] = []
        self._packets = self._irregular = self._run = 0  # see Pace
        self._first_dts: int | None = None
        self._first_pts: int | None = None
        self._regular_sum = self._regular_count = 0
        self._bytes_between = 0  # packets, in the regular distances
        self.is_partial = False  # the bytes end inside the last packet
        self.note_seam()

    def note_seam(self) -> None:
        """The next packet belongs to another recording: what lies between is no hole."""
        self._due: int | None = None  # dts of the next packet
        self._last_dts: int | None = None
        self._is_told = False  # the last packet says how long it lasts
        self._passed_over, self._since_passed = 0, _REORDERED  # many bytes between two packets; packets since then
        self._is_behind_hole = False  # the last distance that is not of the rate is a hole
        self._step = 0  # duration of the last packet
        self._end_pos: int | None = None  # of the last packet, in the file
        self._marked: int | None = None  # packets since a marked one
        self._is_scrambled = False  # it was marked because packets before it are scrambled, as they say

    def note_loss(self, *, is_scrambled: bool) -> None:
        """Packets of the transport before the next one are lost, or say that they are scrambled; some are clear."""
        self._marked, self._is_scrambled = 0, is_scrambled

    def note_end(self, end: Packet[VideoStream]) -> None:
        """Look at the empty packet at the end, which is marked where packets before it are lost."""
        if end.is_corrupt:
            self.note_loss(is_scrambled=False)

    @property
    def pace(self) -> Pace:
        """For ``resume``."""
        return Pace(self._packets, self._irregular, self._run)

    def resume(self, pace: Pace) -> None:
        """Continue as after ``pace``; some packets before that were read again."""
        self._packets, self._irregular, self._run = pace

    @property
    def is_plain(self) -> bool:
        """Whether there was no sign of a hole so far."""
        return not self._holes and self._marked is None

    def note_packet(self, packet: Packet[VideoStream]) -> None:
        """Look at the next packet, also at an empty one that repeats a picture."""
        dts = packet.dts
        if self._packets < _REORDERED and packet.pts is not None:
            self._first_pts = packet.pts if self._first_pts is None else min(self._first_pts, packet.pts)
        self._packets += 1
        if packet.is_corrupt and self._is_numbered:
            self.note_loss(is_scrambled=False)
        if dts is None:
            self._due = None if self._due is None else self._due + self._step
        else:
            if self._first_dts is None:
                self._first_dts = dts
            self._compare(packet, dts)
            self._is_told = bool(packet.duration)
            self._step = packet.duration or self._distance(dts)
            self._due = dts + self._step if self._step > 0 else None
            self._last_dts = dts
        if packet.pos is not None and packet.pos >= 0:
            self._end_pos = packet.pos + packet.size
        if packet.is_corrupt and self._has_counters and not self._is_numbered:
            self.note_loss(is_scrambled=False)
        self.is_partial = packet.is_corrupt and not self._has_counters

    def _distance(self, dts: int) -> int:
        """From the last packet to this one; behind a hole that before it."""
        if self._last_dts is None or (self._step and dts > self._last_dts + 1.5 * self._step):
            return self._step
        return max(0, dts - self._last_dts)

    def _compare(self, packet: Packet[VideoStream], dts: int) -> None:
        """Compare a packet with when it is due."""
        if self._due is None:
            return
        late, step = dts - self._due, self._step
        if late < -8 * max(step, 1):
            self.note_seam()  # a clock that begins again
            return
        if self._marked is not None:
            self._marked += 1
            is_hole = late > step / 2
            if is_hole or self._marked >= (_RTP_LOOKAHEAD if self._is_numbered else _LOOKAHEAD):
                may_be_seam = packet.is_keyframe and not self._is_numbered
                is_unsure = not is_hole and (may_be_seam or self._is_scrambled)
                self._holes.append(Hole(self._due, late if is_hole else 0, GapCause.LOST_PACKETS, is_unsure))
                self._marked, self._is_scrambled = None, False
            return
        between = 0 if self._end_pos is None or packet.pos is None else packet.pos - self._end_pos
        # Times may jump some packets behind damage: FFmpeg makes those of decoding from those of the pictures.
        self._passed_over = between if between > _MANY_BYTES else self._passed_over
        self._since_passed = 0 if between > _MANY_BYTES else self._since_passed + 1
        if abs(late) <= max(2, step / 10):
            self._regular_sum, self._regular_count = self._regular_sum + step + late, self._regular_count + 1
            self._bytes_between += between if between <= _MANY_BYTES else 0
            self._run += 1
            return
        if self._since_passed <= _REORDERED:
            between = max(between, self._passed_over)
        # Counters count to 16, so that a loss of that many does not show. A splice of a transport begins at a keyframe.
        may_be_hole = not (self._has_counters and packet.is_keyframe)
        is_told = False
        if may_be_hole and self._is_whole_pictures(late):
            cause = self._cause(between, late)
            is_damage = cause is GapCause.DAMAGED_CONTAINER
            # Damage often takes the packet before it, too, whose hole of its own ended the steady run.
            is_steady = self._run >= _STEADY_RUN or (is_damage and self._is_behind_hole)
            is_told = is_steady and (self._is_told or is_damage)
            if is_told:
                self._holes.append(Hole(self._due, late, cause))
        self._irregular, self._run, self._is_behind_hole = self._irregular + 1, 0, is_told

    @property
    def _mean_step(self) -> float:
        """Mean of the distances at the rate, which durations round."""
        return self._regular_sum / self._regular_count if self._regular_count else float(self._step)

    def _is_whole_pictures(self, late: int) -> bool:
        pictures = (late + self._step) / self._mean_step if self._mean_step else 0.0
        return pictures > 1.5 and abs(pictures - round(pictures)) <= 0.25

    def _cause(self, between: int, late: int) -> GapCause:
        """Whether more bytes were passed over than other streams and headers have in this time."""
        if not self._is_in_file_order or not self._regular_count:
            return GapCause.TIME_HOLE
        usual = self._bytes_between / self._regular_count * (late / self._mean_step + 1)
        return GapCause.DAMAGED_CONTAINER if between > 3 * usual + _HEADER_BYTES else GapCause.TIME_HOLE

    def holes(self) -> list[Hole]:
        """The holes, after the last packet."""
        found = list(self._holes)
        if self._marked is not None and self._due is not None:
            found.append(Hole(self._due, 0, GapCause.LOST_PACKETS, self._is_scrambled))
        if self._irregular > _TOLERATED + self._packets // _PER_TOLERATED:
            found = [hole for hole in found if hole.cause is not GapCause.TIME_HOLE]
        delay = 0
        if self._first_dts is not None and self._first_pts is not None:
            delay = max(0, self._first_pts - self._first_dts)
        return [replace(hole, begin=hole.begin + delay) for hole in found]


def merged(gaps: list[Gap], frame_seconds: float) -> list[Gap]:
    """``gaps`` in order of time, each hole once.

    Pictures that are lost in or soon behind another hole belong to it.

    Args:
        gaps: in any order.
        frame_seconds: duration of a frame: gaps that are not further apart are one.
    """
    holes: list[Gap] = []
    for gap in sorted(set(gaps), key=lambda gap: (gap.time, gap.cause is GapCause.DAMAGED_PACKET)):
        last = holes[-1] if holes else None
        if last is not None:
            is_effect = gap.cause is GapCause.DAMAGED_PACKET and last.cause is not GapCause.DAMAGED_PACKET
            reach = _EFFECT_SECONDS if is_effect else 1.5 * frame_seconds
            if gap.time <= last.time + last.missing_seconds + reach:
                holes[-1] = replace(last, missing_seconds=last.missing_seconds + gap.missing_seconds)
                continue
        holes.append(gap)
    return holes
