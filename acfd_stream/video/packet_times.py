"""Corrects times of packets: those that FFmpeg gives differently where it cannot seek, and numbers given as times."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice

from av.packet import Packet
from av.video.stream import VideoStream

from acfd_stream.video.rtp_losses import with_marks

_PICTURE = b"\0\0\1\0"  # start code of a picture
_B_TYPE = 3
_RESTART_SECONDS = 1  # a clock that goes back further begins again
_DIRAC_END = b"\x10"  # code of the unit that ends a sequence; the code stands behind the mark of 4 bytes
_GUESSED_PACKETS = 64  # that FFmpeg reads at most before it knows the delay of an MPEG-1 decoder


class PictureNumbers:
    """Gives packets of MXF, which counts pictures, the pts of its index table, wherever that is.

    Without the table, as where bytes arrive, FFmpeg gives MPEG-2 times that are late by the decoder's delay of one
    picture, and other codecs none. FFmpeg's own MXF has a table of H.264 and HEVC in the order of storage: those times
    are removed. Pictures without a time are then counted as they are shown.
    """

    def __init__(self) -> None:
        self._is_first = True
        self._late = 0  # pictures
        self._is_stored_order = False

    def correct(self, packet: Packet[VideoStream]) -> None:
        """Correct the pts of a packet; the first one comes from the beginning."""
        if self._is_first and packet.pts is not None and packet.dts is not None and is_mxf(packet.stream):
            decoder = packet.stream.codec_context
            self._late = int(decoder.name == "mpeg2video" and 0 <= packet.dts < packet.pts)
            self._is_stored_order = (
                decoder.name in ("h264", "hevc") and bool(decoder.has_b_frames) and packet.dts == packet.pts
            )
        self._is_first = False
        if self._is_stored_order:
            packet.pts = None
        elif packet.pts is not None:
            packet.pts -= self._late


def is_mxf(stream: VideoStream) -> bool:
    """Whether the container of ``stream`` is MXF, in which each picture lasts one unit of the time base."""
    return stream.container.format.name.startswith("mxf")


def corrected(
    packets: Iterator[Packet[VideoStream]], stream: VideoStream, *, is_seekable: bool
) -> Iterator[Packet[VideoStream]]:
    """``packets`` with the times that FFmpeg gives where it can seek; of bare Dirac with none; of RTP with marks."""
    if stream.container.format.name == "dirac":
        return _without_numbers(packets)
    return with_marks(packets, stream) if is_seekable else with_delay(packets, stream)


def _without_numbers(packets: Iterator[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
    """The pictures of bare Dirac without times: FFmpeg gives their numbers, in units of another time base.

    Source: SMPTE ST 2042-1, 10.5.1 (parse info).
    """
    for packet in packets:
        if bytes(packet)[4:5] == _DIRAC_END:
            continue
        packet.pts = packet.dts = None
        yield packet


def with_delay(packets: Iterator[Packet[VideoStream]], stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """``packets`` of a source that cannot seek; of MPEG-1 in a program stream with the times of a decoder that delays.

    FFmpeg guesses the times that the container leaves out. Until it knows of the delay, it takes for the time of each
    picture the one at which it is decoded, and counts that twice; only a seek corrects it. A picture that others refer
    to is shown when the next one of its kind is decoded.

    Args:
        packets: in the container's order.
        stream: theirs.

    Source: ISO/IEC 11172-2, 2.4.1 (order of pictures).
    """
    if stream.container.format.name != "mpeg" or stream.codec_context.name != "mpeg1video":
        yield from packets
        return
    restart = _RESTART_SECONDS / (stream.time_base or Fraction(1, 90_000))
    waiting: list[Packet[VideoStream]] = []  # a picture whose pts is not known, and the B-pictures behind it
    due: int | None = None  # dts of the next picture
    was_late = False
    packets = iter(packets)
    for packet in islice(packets, _GUESSED_PACKETS):
        is_late = packet.dts is not None and due is not None and 0 < due - packet.dts < restart
        if was_late and not is_late and not _is_b_picture(packet):  # the times are known from here on
            yield from [*_shown_behind(waiting), packet]
            waiting = []
            break
        was_late = was_late or is_late
        if is_late:
            packet.dts = due
        due = None if packet.dts is None else packet.dts + (packet.duration or 0)
        if _is_b_picture(packet):
            packet.pts = packet.dts
        else:
            yield from _shown_behind(waiting)
            waiting = [packet] if packet.dts is not None and (is_late or packet.pts == packet.dts) else []
        if not waiting:
            yield packet
        elif packet is not waiting[0]:
            waiting.append(packet)
    yield from _shown_behind(waiting)
    yield from packets


def _shown_behind(packets: list[Packet[VideoStream]]) -> list[Packet[VideoStream]]:
    """The packets, the first of which is shown after the others."""
    if packets and packets[-1].dts is not None:
        packets[0].pts = packets[-1].dts + (packets[-1].duration or 0)
    return packets


def _is_b_picture(packet: Packet[VideoStream]) -> bool:
    data = bytes(packet)
    head = data.find(_PICTURE)
    return 0 <= head < len(data) - 5 and data[head + 5] >> 3 & 7 == _B_TYPE
