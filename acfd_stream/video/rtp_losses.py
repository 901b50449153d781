"""Marks the packets of RTP before which others are lost, as FFmpeg does for a transport stream.

FFmpeg puts RTP packets in the order of their sequence numbers. What is missing it says in its log only, on the thread
that reads. PyAV's log needs the interpreter's lock on every thread that decodes; so a function of ours counts instead.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from typing import Any

import av.logging
from av.packet import Packet
from av.video.stream import VideoStream

import acfd_stream._C as _C

FORMATS = ("rtp", "rtsp", "sap", "sdp")
"""FFmpeg's names of the demuxers that receive RTP."""
VIDEO_ONLY = {"allowed_media_types": "video"}
"""Options of RTSP: a loss of sound is no loss of the video."""

_LOWEST_PID = 16  # of a stream in a transport stream, whose packets have counters of their own
_callback, _missed = _C.ffmpeg_log_callback, _C.missed_rtp_packets
_OPENED_PACKETS = 32  # about as many as FFmpeg reads to know a stream


class _Opening(threading.local):
    """Of the source that this thread opened last."""

    lost_before = 0


_opening = _Opening()


def count_losses() -> None:
    """Let ``with_marks`` count what is lost from now on, before FFmpeg opens a source on the thread that reads it.

    Nothing is counted where somebody reads FFmpeg's log with PyAV.
    """
    _opening.lost_before = lost_packets()
    if av.logging.get_level() is None:
        library = ctypes.CDLL(av.logging.__file__)  # its libavutil, not that of another package
        library.av_log_set_callback(ctypes.c_void_p(_callback()))


def lost_packets() -> int:
    """RTP packets that were lost while this thread read, in all."""
    return int(_missed())


def is_numbered(stream: VideoStream) -> bool:
    """Whether losses show only by the sequence numbers of RTP; a transport stream in it has counters of its own."""
    return stream.container.format.name in FORMATS and stream.id < _LOWEST_PID


def with_marks(packets: Iterator[Packet[VideoStream]], stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """``packets``, of which those behind a loss are marked corrupt; the empty one at the end, too.

    Args:
        packets: in the container's order, each read by the thread that asks for it.
        stream: theirs.
    """
    if not is_numbered(stream):
        yield from packets
        return
    places = _EarlyPlaces(lost_packets() > _opening.lost_before)  # while FFmpeg read the first ones, which it keeps
    while True:
        before = lost_packets()
        packet: Packet[Any] | None = next(packets, None)
        if packet is None:
            return
        if places.is_here(packet) or lost_packets() > before:
            packet.is_corrupt = True
        yield packet


class _EarlyPlaces:
    """Finds where packets are lost among the first ones: where a time jumps, else behind them."""

    def __init__(self, is_wanted: bool) -> None:
        self._is_wanted, self._is_found, self._count = is_wanted, False, 0
        self._last = self._step = 0

    def is_here(self, packet: Packet[VideoStream]) -> bool:
        """Whether a loss lies before the next packet."""
        if not self._is_wanted:
            return False
        self._count += 1
        is_over = packet.size == 0 or self._count > _OPENED_PACKETS
        time = packet.pts if packet.dts is None else packet.dts
        step = 0 if time is None or self._count == 1 else time - self._last
        is_jump = self._step > 0 and step > 1.5 * self._step
        self._last = self._last if time is None else time
        self._step = self._step if is_jump or step <= 0 else step
        self._is_wanted = not is_over
        here = is_jump or (is_over and not self._is_found)
        self._is_found |= here
        return here
