"""Puts packets whose clock restarts, and those of several parts, on one line of time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any

from av.packet import Packet
from av.video.stream import VideoStream

from acfd_stream.types import Seam
from acfd_stream.video.clock import MOST_REORDERED

CLOCK_WRAP = 2**33
"""MPEG clocks count to this, in units of 1/90000 s. Source: ISO/IEC 13818-1, 2.4.3.7."""
_RESTART_SECONDS = 1.0  # a step back between keyframes that is more than disorder
_DISORDER_FRAMES = 2  # a step back of the dts up to which it is jitter
_CONTINUED_SECONDS = 1.0  # a part that begins so soon after the one before it has its clock
_LATEST_SECONDS, _LATEST = 2**34, 2**61  # of a time that is not damage: 544 years; FFmpeg counts in 64 bits


@dataclass(frozen=True, slots=True)
class SeamPoint:
    """Where the packets change over to another clock or stream."""

    seams: tuple[Seam, ...]
    pts: int | None = None  # on the line of time, of the first packet; None: the next frame is the first


class Timeline:
    """The line of time of a video, in the time base of its first part.

    Args:
        time_base: of the line, seconds.
        frame_seconds: duration of a frame, where a packet has none.
        wraps: whether the clock is that of MPEG streams, which wraps.
        has_dts: whether the container has a dts, which rises; else FFmpeg makes it up.
    """

    def __init__(self, time_base: Fraction, frame_seconds: Fraction, *, wraps: bool, has_dts: bool) -> None:
        self.time_base, self._frame, self._wraps = time_base, max(1, round(frame_seconds / time_base)), wraps
        self._has_dts = has_dts
        self._limit = min(Fraction(_LATEST), _LATEST_SECONDS / time_base)
        self._scale = Fraction(1)  # from units of the part
        self._farthest = math.ceil(self._limit)  # in units of the part; an integer compares faster
        self._shift = 0
        self._latest: int | None = None  # clock of the part, in units of the line
        self._latest_dts: int | None = None  # clock and units of the part
        self._end = 0  # on the line, of the last frame
        self._is_new_part = False

    def begin_part(self, time_base: Fraction) -> None:
        """The next packet is the first of another part."""
        self._scale = time_base / self.time_base
        self._farthest = math.ceil(self._limit / self._scale)
        self._is_new_part = True

    def forget(self) -> None:
        """Forget the last packet: the next one comes from elsewhere."""
        self._latest = self._latest_dts = None

    def has_place(self, packet: Packet[VideoStream]) -> bool:
        """Remove times that only damage makes; False for an empty packet that has none left, and repeats nothing."""
        was_end = is_end(packet)
        if packet.pts is not None and abs(packet.pts) >= self._farthest:
            packet.pts = None
        if packet.dts is not None and abs(packet.dts) >= self._farthest:
            packet.dts = None
        return was_end or not is_end(packet)

    def restarts(self, packet: Packet[VideoStream]) -> bool:
        """Whether the clock of the part restarts at this packet, which a keyframe shows, or a long step back."""
        time = self._clock(packet)
        if time is None or self._latest is None or self._is_new_part:
            return False
        step, dts = self._step(self._latest, time), packet.dts
        if step >= 0:
            return False
        is_long = step < -max(_RESTART_SECONDS / self.time_base, MOST_REORDERED * self._frame)
        if dts is None or self._latest_dts is None:
            # FFmpeg makes up no dts for the first packets, which may be shown in another order.
            return (is_long and self._has_dts) or (packet.is_keyframe and step < -self._frame)
        back = -self._step(self._latest_dts, dts)
        if packet.is_keyframe:  # every picture before it is shown before it; one flagged by mistake has a later dts
            return back > 0
        return back > 0 and (is_long or (self._has_dts and back > _DISORDER_FRAMES * self._frame))

    def place(self, packet: Packet[VideoStream], *, restarts: bool) -> SeamPoint | None:
        """Move the times of a packet onto the line; a seam where another clock begins."""
        time, seam = self._clock(packet), None
        if time is not None:
            if restarts or self._is_new_part:
                seam = self._join(time)
            self._latest = time if self._latest is None else max(self._latest, time)
        self._latest_dts = packet.dts
        self._move(packet)
        if time is not None:
            self._end = max(self._end, time + self._shift + (packet.duration or self._frame))
        return seam

    def _join(self, time: int) -> SeamPoint | None:
        """Choose the shift for a clock that begins at ``time``."""
        was_new_part, latest, self._is_new_part, self._latest = self._is_new_part, self._latest, False, None
        if latest is None:
            return None
        end = self._end - self._shift  # on the old clock
        ahead = self._step(end, time)
        is_continued = -self._frame <= ahead and ahead * self.time_base <= _CONTINUED_SECONDS
        if was_new_part and (is_continued or (self._wraps and ahead >= -self._frame)):
            self._shift += end + max(ahead, 0) - time
            return None
        self._shift = self._end - time
        return SeamPoint((Seam.CLOCK,), self._end)

    def _clock(self, packet: Packet[VideoStream]) -> int | None:
        time = packet.dts if packet.pts is None else packet.pts
        return time if time is None or self._scale == 1 else round(time * self._scale)

    def _step(self, before: int, after: int) -> int:
        """From one time to another, the short way round where the clock wraps."""
        step = after - before
        if self._wraps:
            step = (step + CLOCK_WRAP // 2) % CLOCK_WRAP - CLOCK_WRAP // 2
        return step

    def _move(self, packet: Packet[VideoStream]) -> None:
        scale, shift = self._scale, self._shift
        if scale == 1 and shift == 0:
            return
        if packet.pts is not None:
            packet.pts = round(packet.pts * scale) + shift
        if packet.dts is not None:
            packet.dts = round(packet.dts * scale) + shift
        if scale != 1 and packet.duration:
            packet.duration = round(packet.duration * scale)


def is_end(packet: Packet[VideoStream]) -> bool:
    """Whether it is the empty packet at the end, and not one that repeats a picture."""
    return packet.size == 0 and packet.pts is None and packet.dts is None


def new_packet(data: bytes) -> Packet[VideoStream]:
    """A packet without times."""
    packet: Packet[Any] = Packet(data)
    return packet


def shown(packet: Packet[VideoStream]) -> Packet[VideoStream]:
    """A packet without the mark that its picture is not to be shown."""
    copy = new_packet(bytes(packet))
    copy.stream, copy.time_base = packet.stream, packet.time_base
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.is_keyframe = packet.is_keyframe
    return copy


def from_keyframe(packets: Iterator[Packet[VideoStream]], pts: int) -> Iterator[Packet[VideoStream]]:
    """Packets from the last keyframe at or before ``pts`` on, or from the last one of the stretch."""
    kept: list[Packet[VideoStream]] = []
    for packet in packets:
        time = packet.pts if packet.dts is None else packet.dts
        if is_end(packet) or (time is not None and time > pts):
            yield from chain(kept, [packet])
            break
        if packet.is_keyframe:
            kept.clear()
        kept.append(packet)
    yield from packets
