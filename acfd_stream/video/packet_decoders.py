"""FFmpeg decoders for the packets of one stream: a fast one that stops at damage, a steady one that conceals it."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple, TypeAlias

import av
import numpy as np
from av import VideoFrame
from av.codec.context import Flags
from av.error import FFmpegError
from av.filter import Graph
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.plane import VideoPlane
from av.video.stream import VideoStream
from numpy.typing import NDArray

from acfd_stream.video.mpeg_pictures import MPEG_VIDEO, SEQUENCE_END, PictureWatch, display_order
from acfd_stream.video.size_limit import is_refused_for_size, size_options

DECODE_ERRORS = (FFmpegError, OSError, ValueError)
"""What a decoder raises for a packet that it refuses."""

_MOST_PENDING = 1024  # packets whose frames are to come
_MOST_REORDERED = 16  # frames that are shown before one that was decoded before them
_SILENT = ("hevc",)  # its decoder does not mark a picture with errors, and shows it although it reports them
_STEADY = (*_SILENT, "vp8")  # codecs whose decoders stop within a damaged picture without a word
_SLOW_ALONE = ("hevc",)  # of these the codecs of which one thread would cost too much in undamaged videos
_PATCHED_LATE = ("h264", "mpeg1video", "mpeg2video", "mpeg4", "vc1", "wmv3")  # patch damage up, and show it later
_IN_TURN = ("libdav1d", "vp9")  # codecs in which each packet gives one frame, in order
_DTS_IS_PTS = ("libdav1d",)  # decoders that give a frame the pts of its packet for a dts
_IN_ORDER = (*_IN_TURN, "vp8")  # codecs in which no frame is shown before one that was decoded earlier

AvPacket: TypeAlias = "Packet[VideoStream]"


class NumberedPacket(NamedTuple):
    """A packet that goes into a decoder."""

    number: int  # in decoding order
    pts: int | None
    packet: AvPacket

    def is_leading(self, key: NumberedPacket) -> bool:
        """Whether it follows ``key``, is shown before it and may depend on what came before."""
        return self.pts is not None and key.pts is not None and self.pts < key.pts


class NumberedFrame(NamedTuple):
    """A frame that comes out of a decoder."""

    number: int  # of its packet; -1 if the decoder does not say
    frame: VideoFrame


class _Damage:
    """The mark of a frame that its decoder does not mark."""


def is_damaged(frame: VideoFrame) -> bool:
    """Whether the decoder patched ``frame`` up, or it may depend on a picture that is lost."""
    return bool(frame.is_corrupt) or isinstance(frame.opaque, _Damage)


class _Numbered:
    """A decoder whose frames are known by the number of their packet, also in a stream without times."""

    def __init__(self, context: VideoCodecContext, *, explodes: bool) -> None:
        self._context = context
        if not context.is_open and not context.is_hwaccel:
            if explodes:
                context.options = {**context.options, "err_detect": "explode"}
            if context.codec.name in _SILENT:  # it would hide all frames from a lost reference to the next keyframe
                context.flags |= Flags.output_corrupt
        self._pictures = PictureWatch() if context.codec.name in MPEG_VIDEO else None
        self._times: dict[int, tuple[int | None, int | None]] = {}  # number of a packet → its pts and dts
        self._before_last: list[NumberedFrame] = []  # frames that came before the last packet was decoded

    @property
    def context(self) -> VideoCodecContext:
        """The decoder."""
        return self._context

    def _frames(self, item: NumberedPacket | None) -> list[NumberedFrame]:
        """What comes of a packet; the decoder sees its number instead of its time."""
        if item is None:
            return list(map(self._shown, self._context.decode(None)))
        self._times[item.number] = item.pts, item.packet.dts
        if len(self._times) > _MOST_PENDING:
            del self._times[next(iter(self._times))]
        item.packet.pts = item.number
        try:
            self._before_last = self._held_before(item)
            return [*self._before_last, *map(self._shown, self._decoded(item.packet))]
        finally:
            item.packet.pts = item.pts

    def _decoded(self, packet: AvPacket) -> list[VideoFrame]:
        try:
            return self._context.decode(packet)
        except BlockingIOError:  # behind some damage the decoder of VP9 takes no packet any more
            self._context.flush_buffers()
            return self._context.decode(packet)

    def _shown(self, frame: VideoFrame) -> NumberedFrame:
        number = -1 if frame.pts is None else frame.pts
        frame.pts, dts = self._times.get(number, (None, None))
        if self._context.codec.name in _DTS_IS_PTS:
            frame.dts = dts
        return NumberedFrame(number, frame)

    def _held_before(self, item: NumberedPacket) -> list[NumberedFrame]:
        """What the decoder would drop at a packet."""
        if self._pictures is None or not self._pictures.resizes(item.packet):
            return []
        return list(map(self._shown, self._context.decode(Packet(SEQUENCE_END))))

    def _loses(self, item: NumberedPacket | None, frames: list[NumberedFrame]) -> bool:
        """Whether the decoder passed over the picture of a packet without a word."""
        if item is None or self._pictures is None or item.packet.is_discard:
            return False
        return self._pictures.is_lost(item.packet, [frame for _, frame in frames])


class FastDecoder(_Numbered):
    """The decoder of the stream. It gives a frame when all that was decoded before it is known to be whole.

    A frame that is shown before another one may depend on it. The decoder marks the other one when it shows it.

    Args:
        context: the decoder, with its threads.
        is_prompt: a frame does not wait. Some before the first sign of damage may then be damaged, too, and are those
            of a steady decoder only on one thread and without ``err_detect``, which changes how damage is patched up.
    """

    def __init__(self, context: VideoCodecContext, is_prompt: bool) -> None:
        name = context.codec.name
        self._never_waits = is_prompt or name in _IN_ORDER
        super().__init__(context, explodes=not is_prompt or name not in _PATCHED_LATE)
        self.is_damaged = False  # nothing more may be taken from here
        self.is_end_uncertain = False  # only packets at the end gave no frame, which may be in order
        self._is_in_turn = name in _IN_TURN
        self._is_field_coded = self._is_interlaced = False
        self._pending: dict[int, None] = {}  # packets without a frame so far
        self._held: deque[NumberedFrame] = deque()

    def decode(self, item: NumberedPacket | None) -> Iterator[NumberedFrame]:
        """Frames up to the first sign of damage."""
        if item is not None:
            if item.packet.is_corrupt:
                self.is_damaged = True
                return
            if not item.packet.is_discard:
                self._pending[item.number] = None
        try:
            frames = self._frames(item)
            self.is_damaged = self._loses(item, frames)
        except DECODE_ERRORS:
            self.is_damaged = True
            return
        for shown in frames:
            if shown.frame.is_corrupt or not self._is_its_turn(shown.number):
                self.is_damaged = True
                return
            self._note_shown(shown)
            while self._held and self._is_certain(self._held[0].number):
                yield self._held.popleft()
        if item is None and self._pending and not self._is_interlaced:
            # PyAV does not report an error behind a frame of the same call, and ends the call.
            self.is_damaged = self.is_end_uncertain = True
        elif item is None:
            yield from self.rest()

    def rest(self) -> Iterator[NumberedFrame]:
        """Frames that wait."""
        while self._held:
            yield self._held.popleft()

    def _is_its_turn(self, number: int) -> bool:
        return not self._is_in_turn or number == next(iter(self._pending), number)

    def _note_shown(self, shown: NumberedFrame) -> None:
        self._held.append(shown)
        self._pending.pop(shown.number, None)
        self._is_interlaced |= shown.frame.interlaced_frame
        if self._is_field_coded:
            self._pending.pop(shown.number + 1, None)

    def _is_certain(self, number: int) -> bool:
        """Whether no frame is to come that was decoded before this one."""
        if self._never_waits:
            return True
        while (first := next(iter(self._pending), number)) < number:
            if number - first <= _MOST_REORDERED and len(self._held) <= _MOST_REORDERED:
                return False
            del self._pending[first]  # it shows nothing, like the second field of a picture
            self._is_field_coded |= self._is_interlaced
        return True


class SteadyDecoder(_Numbered):
    """A decoder on one thread, which conceals damage.

    Args:
        context: the decoder.
        frame_pixels: it refuses a picture that is far larger.
    """

    def __init__(self, context: VideoCodecContext, frame_pixels: int) -> None:
        self._frame_pixels = frame_pixels
        self.is_silent = context.codec.name in _SILENT
        self.is_too_large = False  # a picture was refused for its size
        super().__init__(context, explodes=self.is_silent)
        self._lost_from: int | None = None  # frames of packets from this one on may depend on it
        self._pending: dict[int, NumberedPacket] = {}  # packets without a frame so far
        self._refused: set[int] = set()
        self._hides_some = False  # packets without a frame are in order, as a second field is
        self._copier = _Copier()
        self._missing: tuple[NumberedPacket, NumberedPacket] | None = None  # MPEG: the reference to come, the lost one
        self._early: list[NumberedFrame] = []  # B pictures that are shown behind that reference

    @property
    def is_damaged(self) -> bool:
        """Whether frames are marked."""
        return self._lost_from is not None

    def needs_earlier(self, key: NumberedPacket) -> bool:
        """Whether frames behind ``key`` come only where decoding began before it: B pictures of MPEG-1 and MPEG-2."""
        return self._pictures is not None and any(number > key.number for number in self._refused)

    def begin_damaged(self, number: int) -> None:
        """Frames from a packet on may depend on lost ones."""
        self._lost_from = number if self._lost_from is None else self._lost_from

    def decode(self, item: NumberedPacket | None) -> list[NumberedFrame]:
        """The frames that come of a packet, or the remaining ones."""
        if item is not None and not item.packet.is_discard:
            self._pending[item.number] = item
        had_size = self._context.width > 0
        try:
            frames = self._frames(item)
        except DECODE_ERRORS as error:
            if is_refused_for_size(self._context, error, self._frame_pixels, had_size=had_size):
                self.is_too_large = True
                return self._remaining()
            if item is not None:
                self._refused.add(item.number)
                self.begin_damaged(item.number)
            return []
        if item is not None and self._loses(item, frames):
            self._refused.add(item.number)
            self.begin_damaged(item.number)
            waiting = [other for number, other in self._pending.items() if number not in self._refused]
            if waiting and self._missing is None:
                self._missing = waiting[-1], item
        for number, frame in frames:
            self._copier.detach(frame)
            self._pending.pop(number, None)
            if self._lost_from is not None and number >= self._lost_from:
                frame.opaque = _Damage()
        return frames if self._missing is None else self._in_order(item, frames)

    def _in_order(self, item: NumberedPacket | None, frames: list[NumberedFrame]) -> list[NumberedFrame]:
        """Frames behind a lost reference of MPEG-1 or MPEG-2.

        The decoder shows a reference when the next one comes, and B pictures at once. Those that lie between a
        reference and a lost one therefore come before the former.
        """
        if not frames and item is not None:
            return []
        assert self._missing is not None
        reference, lost = self._missing
        if item is not None and frames[0].number == item.number:
            is_early = lost.packet.is_keyframe or display_order(item.packet) > display_order(reference.packet)
            self._early += frames if is_early else []
            return [] if is_early else frames
        early, self._missing, self._early = self._early, None, []
        if frames and early:
            frames[0].frame.dts = lost.packet.dts  # as if the lost one had completed it
        return frames + early

    def _remaining(self) -> list[NumberedFrame]:
        """The frames before a picture that is too large."""
        try:
            return self._before_last + self._frames(None)
        except DECODE_ERRORS:
            return self._before_last

    def forget(self, items: Iterable[NumberedPacket]) -> None:
        """Count packets as shown."""
        for number, *_ in items:
            self._pending.pop(number, None)

    def take_refused(self) -> list[NumberedPacket]:
        """Packets that were refused and gave no frame, in decoding order; they are forgotten here."""
        refused = [item for number, item in self._pending.items() if number in self._refused]
        self.forget(refused)
        return refused

    def take_lost(self, key: NumberedPacket | None) -> list[NumberedPacket]:
        """Packets before ``key`` in display order that gave no frame because of damage; they are forgotten here.

        A decoder may hide a picture without a word, for example all that follow a lost keyframe of H.264. Of a stream
        in which packets without a frame are in order only those count that were refused.
        """
        pending = self._pending.values()
        past = [item for item in pending if key is None or item.number < key.number or item.is_leading(key)]
        self._hides_some |= any(not self.is_damaged or item.number < (self._lost_from or 0) for item in past)
        self.forget(past)
        return [item for item in past if not self._hides_some or item.number in self._refused]

    def end_damaged(self) -> None:
        """Frames depend on nothing that is lost from here."""
        self._lost_from = None


class _Copier:
    """Gives frames memory of their own.

    A decoder does not clear memory that comes back, and shows what it held where a picture lacks a part. With this the
    memory comes back at once and in the same order, whatever the reader of the frames does.
    """

    def __init__(self) -> None:
        self._layout: tuple[int, int, str] | None = None

    def detach(self, frame: VideoFrame) -> None:
        """Copy the planes of ``frame``."""
        layout = (frame.width, frame.height, frame.format.name)
        if layout != self._layout:
            self._layout, graph = layout, Graph()
            self._source = graph.add_buffer(None, *layout[:2], frame.format, None, frame.time_base or Fraction(1))
            self._sink = graph.add("buffersink")
            self._source.link_to(self._sink)
            graph.configure()
            self._graph = graph
        self._source.push(frame)  # a second reference, or FFmpeg would see no need for a copy
        frame.make_writable()
        self._sink.pull()


def steady_context(stream: VideoStream, frame_pixels: int) -> VideoCodecContext:
    """Another decoder for ``stream``, on one thread.

    PyAV makes a decoder with the parameters of a stream only with a stream of an output, to which nothing is written.
    """
    output = av.open(io.BytesIO(), "w", format="null")
    context = output.add_stream_from_template(stream, opaque=True).codec_context
    context.codec_tag = stream.codec_context.codec_tag
    context.thread_count = 1
    context.options = size_options(frame_pixels)
    return context


def is_always_steady(context: VideoCodecContext) -> bool:
    """Whether damage may be so silent that no other way than one thread gives the same frames each time.

    On several threads HEVC takes 0.4 to 0.7 of the time. It is always steady only if one thread was asked for.
    """
    name = context.codec.name
    return name in _STEADY and (name not in _SLOW_ALONE or context.thread_count == 1)


def is_by_itself(stream: VideoStream, packet: AvPacket, frame: VideoFrame) -> bool:
    """Whether ``packet`` alone gives ``frame``."""
    context = steady_context(stream, frame.width * frame.height)
    context.options = {**context.options, "err_detect": "explode"}
    try:
        found = [*context.decode(packet), *context.decode(None)]
    except DECODE_ERRORS:
        return False
    return len(found) == 1 and not found[0].is_corrupt and is_same_picture(found[0], frame)


def is_same_picture(one: VideoFrame, other: VideoFrame) -> bool:
    """Whether the samples of two frames are equal."""
    if (one.format.name, one.width, one.height) != (other.format.name, other.width, other.height):
        return False
    pairs = zip(map(_samples, one.planes), map(_samples, other.planes), strict=True)
    return all(np.array_equal(*pair) for pair in pairs)


def _samples(plane: VideoPlane) -> NDArray[np.uint8]:
    rows = np.asarray(memoryview(plane)[: plane.height * plane.line_size], np.uint8)
    return rows.reshape(plane.height, plane.line_size)[:, : plane.width]
