"""Decodes the packets of a video stream to frames; with the demuxer the only files that read with PyAV."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain

from av import VideoFrame
from av.codec.hwaccel import HWAccel
from av.error import FFmpegError
from av.packet import Packet
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from acfd_stream.config import VideoConfig
from acfd_stream.errors import MediaError
from acfd_stream.types import Seam
from acfd_stream.video import rtp_losses
from acfd_stream.video.container import FALLBACK_RATE, READ_ERRORS, reason_of, unwatched
from acfd_stream.video.declared_size import ends_in_zeros, is_cut_off, why_unfinished
from acfd_stream.video.demuxer import Demuxer
from acfd_stream.video.holes import HoleWatch
from acfd_stream.video.losses import LossWatch
from acfd_stream.video.orientation import OrientationWatch
from acfd_stream.video.origin import BytesReader
from acfd_stream.video.packet_decoders import is_damaged
from acfd_stream.video.packet_times import is_mxf
from acfd_stream.video.pixel_aspect import PixelAspects, fixed_aspect
from acfd_stream.video.recovery import CannotGoBackError, RecoveringDecoder
from acfd_stream.video.size_limit import PictureSizeError
from acfd_stream.video.timeline import SeamPoint

_log = logging.getLogger(__name__)
_ANYWHERE = ("mpegts", "mpeg", "hls", *rtp_losses.FORMATS)  # may begin in mid-stream, like a bare stream
_REFUSE_MIDSTREAM = ("vp8", "vp9", "av1", "theora")  # codecs whose decoders refuse what lacks a keyframe before it
_SEEK_BACK_SECONDS = (0, 2, 8, 32)  # further back each time a seek lands after the wanted frame


class Decoder:
    """The best video stream of a container, with its decoder.

    Args:
        target: URL or ``file:…`` name; a reader for bytes.
        name: its name in messages.
        config: threads and caps.
        hardware: decodes instead of the CPU where it can.
        on_packet: called when a packet comes, and when the next one is wanted.

    Raises:
        MediaError: no container that FFmpeg knows, no video stream in it, or no decoder for that.
    """

    def __init__(
        self,
        target: str | BytesReader,
        name: str,
        config: VideoConfig,
        hardware: HWAccel | None = None,
        on_packet: Callable[[], None] = unwatched,
    ) -> None:
        self.name = name
        self.error: str | None = None
        self.decoded_by = ""  # "cpu" or "nvdec", known from the first frame on
        self.is_inferred = False  # the times are made up; known from the first frame on
        self._seconds = 0.0  # time of the last frame
        self._config, self._hardware = config, hardware
        self._work_seconds = 0.0
        self._target, self._on_packet = target, on_packet
        self._demuxer = Demuxer(target, name, config, hardware, on_packet)
        self._set_up()

    def _set_up(self) -> None:
        demuxer = self._demuxer
        self.time_base, self.start_pts = demuxer.time_base, demuxer.stream.start_time
        self.counts_pictures = is_mxf(demuxer.stream)
        self.container = demuxer.stream.container.format.name
        self.codec = demuxer.stream.codec_context.codec.canonical_name
        self.frame_count = demuxer.stream.frames or None
        self.duration_seconds = demuxer.duration_seconds
        self.reformatter = VideoReformatter()
        self.orientations = OrientationWatch()  # of the frames that the caller has taken
        self._aspects = PixelAspects(fixed_aspect(demuxer.stream))
        self._seams: tuple[Seam, ...] = ()
        self._seam: SeamPoint | None = None  # the last one that a frame has passed
        self._shift = 0  # moves frames so that those behind a seam begin where the last one before it ends
        self._last: tuple[int, int] | None = None  # pts and duration of the last frame
        promised = self.duration_seconds if demuxer.is_matroska else None
        holes = HoleWatch(self.container, is_numbered=rtp_losses.is_numbered(demuxer.stream))
        self.losses = LossWatch(demuxer.listed_packets, demuxer.stream.frames, promised, holes)
        self._last_duration = 0  # of the last frame, in units of the time base
        self._latest: int | None = None  # highest pts of a packet with data
        self._repeat = (0, 0)  # pts and duration of the last empty packet

    @property
    def frame_rate(self) -> Fraction | None:
        """Average frames per second, if known."""
        return self._demuxer.frame_rate

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel divided by its height, of the last frame; 1 if the stream has none."""
        return self._aspects.current

    @property
    def last_seconds(self) -> Fraction | None:
        """How long the last frame of the video is on screen; None: for one frame at the rate. After the last frame."""
        if self.error is not None:
            return None
        pts, duration = self._repeat
        if self._latest is not None and pts > self._latest:
            return (pts - self._latest) * self.time_base + self._shown_seconds(duration)
        demuxer = self._demuxer
        if not demuxer.has_durations or self._last_duration <= 0:
            return None
        seconds = self._shown_seconds(self._last_duration)
        return None if seconds == self._one_frame and not demuxer.is_animation else seconds

    @property
    def _one_frame(self) -> Fraction:
        """Seconds; 0 if the rate is not known."""
        return 1 / self.frame_rate if self.frame_rate else Fraction(0)

    def _shown_seconds(self, duration: int) -> Fraction:
        """A duration in whole units, or one frame by the rate, which is more exact, where it is that or not known."""
        seconds = duration * self.time_base
        is_one_frame = duration <= 0 or abs(seconds - self._one_frame) <= max(self.time_base, seconds / 100)
        return self._one_frame if is_one_frame and not self._demuxer.is_animation else seconds

    @property
    def arrived_at(self) -> float:
        """When the bytes of the last packet arrived, on ``time.perf_counter``."""
        return self._demuxer.arrived_at

    @property
    def taken_at(self) -> float:
        """When the decoder got the last packet, on ``time.perf_counter``."""
        return self._demuxer.taken_at

    def why_nothing(self, error: str) -> str:
        """``error``, that there is no frame, or what the source says of itself."""
        return self._demuxer.why_nothing(error)

    def close(self) -> None:
        """Close the container and stop the decoder's threads; may be called twice."""
        self._demuxer.close()

    # Reading

    def frames(self, start_seconds: float | None) -> Iterator[VideoFrame]:
        """Frames in display order, from the beginning or from a keyframe at or before ``start_seconds``.

        Ends at the first break and sets ``error``. With a start, some frames before it may be included.
        """
        frames = self._decoded()
        first = next(frames, None)
        if first is None:
            return
        demuxer = self._demuxer
        self.is_inferred = demuxer.is_bare or (not demuxer.has_pts and first.dts != first.pts)
        # Inferred times are counted from the beginning.
        if start_seconds is not None and not self.is_inferred and self._is_before(first, start_seconds):
            self.orientations.push(first)  # its SEI message may hold for all frames
            first, frames = self._sought(start_seconds, first.pts) or (first, frames)
        yield first
        yield from frames

    def frames_again(self, seconds: float, first_pts: int) -> Iterator[VideoFrame] | None:
        """Frames from a keyframe at or before ``seconds``, after earlier reading; None if it cannot seek."""
        sought = self._sought(seconds, first_pts)
        return None if sought is None else chain([sought[0]], sought[1])

    def all_again(self) -> Iterator[VideoFrame]:
        """All frames again, of a source that can be opened again."""
        first, frames = self._reopened()
        return chain([first], frames)

    def _is_before(self, frame: VideoFrame, seconds: float) -> bool:
        """Whether the pts of ``frame`` is at or before ``seconds``."""
        return frame.pts is not None and float(frame.pts * self.time_base) <= seconds

    def _sought(self, seconds: float, first_pts: int | None) -> tuple[VideoFrame, Iterator[VideoFrame]] | None:
        """The first frame from which ``seconds`` can be reached, and the frames after it.

        None for a source that cannot seek; it continues from its current position.
        """
        if first_pts is None or not self._demuxer.is_seekable:
            return None
        wanted = math.floor(Fraction(seconds) / self.time_base)
        targets = [wanted - math.ceil(back / self.time_base) for back in _SEEK_BACK_SECONDS]
        for attempt, target in enumerate([*(target for target in targets if target > first_pts), first_pts]):
            try:
                self._demuxer.seek(target)
            except FFmpegError:
                if attempt == 0:
                    return None  # the position has not changed
                break
            self.losses.restart()
            found = self._decoded(target)
            landed = next(found, None)
            if landed is not None and not landed.is_corrupt and self._is_before(landed, seconds):
                return landed, found
        return self._reopened()

    def _reopened(self) -> tuple[VideoFrame, Iterator[VideoFrame]]:
        """All frames again, after failed seeks."""
        self._demuxer.reopen()
        self._set_up()
        self.error = None
        frames = self._decoded()
        first = next(frames, None)
        if first is None:
            raise MediaError(f"{self.name}: cannot be read a second time; leave the start out")
        return first, frames

    def _decoded(self, sought_pts: int | None = None) -> Iterator[VideoFrame]:
        """Frames from the current position, the beginning or where a seek to ``sought_pts`` led."""
        self._last, self._seam, self._shift = None, self._demuxer.seam, 0
        decoder, packets, is_first = self._recovering(), self._packets(), True
        packet: Packet[VideoStream] | None = None
        while True:
            try:
                for packet in packets:
                    yield from self._decode(decoder, packet)
                    if self.error is not None:
                        return
                for pts in self.losses.take_end():
                    self.losses.note_lost(float(pts * self.time_base), 0.0)
                if not self._goes_on():
                    return
                decoder, packets, is_first = self._recovering(), self._packets(), False
            except PictureSizeError:
                most = self._config.frame_pixels
                self.break_off(f"a picture is above the limit of {most} pixels, frame_pixels")
                return
            except CannotGoBackError as damage:
                if is_first and self._demuxer.is_rereadable:
                    self._read_again(sought_pts)
                    decoder, packets = self._recovering(skip=damage.given), self._packets()
                else:
                    decoder.begin_anew()
                    if packet is not None:
                        self._note_lost(packet)

    def _recovering(self, skip: int = 0) -> RecoveringDecoder:
        stream, is_prompt, most = self._demuxer.stream, self._config.low_delay, self._config.frame_pixels
        return RecoveringDecoder(stream, self._note_lost, is_prompt=is_prompt, skip=skip, frame_pixels=most)

    def _read_again(self, sought_pts: int | None) -> None:
        """Go back to where the reading began."""
        self._demuxer.reopen()
        if sought_pts is not None:
            self._demuxer.seek(sought_pts)
        self.losses.read_again()

    def _note_lost(self, packet: Packet[VideoStream]) -> None:
        """Record a packet of which no frame comes."""
        self.losses.drop(packet.pts)
        if not self.losses.frames:  # a recording may begin before its first keyframe
            self.losses.note_refused(packet.pts, is_damaged=self._is_damaged_start(packet))
            return
        if self.losses.is_left_out(packet.pts):
            return
        pts = packet.dts if packet.pts is None else packet.pts
        seconds = self._seconds if pts is None else float(pts * self.time_base)
        self.losses.note_lost(seconds, float((packet.duration or 0) * self.time_base))

    def _is_damaged_start(self, packet: Packet[VideoStream]) -> bool:
        """Whether a recording that begins with ``packet``, which is refused, is damaged there."""
        if self._demuxer.is_bare or any(name in _ANYWHERE for name in self.container.split(",")):
            return False
        is_at_zero = packet.pts is not None and packet.pts * self.time_base <= self._one_frame
        return packet.is_keyframe or is_at_zero or self.codec not in _REFUSE_MIDSTREAM  # noise may seem no keyframe

    def _goes_on(self) -> bool:
        """Whether another part, or a clock that restarts, follows."""
        try:
            is_more = self._demuxer.next_stretch()
        except READ_ERRORS as error:
            self.break_off(reason_of(error))
            return False
        for cut in self._demuxer.take_cuts():
            self.losses.note_cut(cut)
        if not is_more:
            if self._demuxer.unread is not None:
                self.losses.note_cut(self._demuxer.unread)
            return False
        if self._demuxer.is_new_part:
            self._aspects = PixelAspects(fixed_aspect(self._demuxer.stream))
            self.losses.begin_part(self._demuxer.listed_packets, self._demuxer.stream.frames)
        else:
            self.losses.holes.note_seam()
        return True

    def note_end(self, frame_seconds: float) -> None:
        """Note what is missing at the end, after all frames from the beginning, which last ``frame_seconds`` each."""
        last = self._demuxer.last
        reason = "" if last is None else why_unfinished(self._target, self.container, last)
        is_filled = ends_in_zeros(self._target, self.container)
        self.losses.note_end(frame_seconds, is_cut_off(self._target), reason, ends_in_zeros=is_filled)

    def take_seams(self) -> tuple[Seam, ...]:
        """What begins anew with the last frame; empty after the first call."""
        seams, self._seams = self._seams, ()
        return seams

    def _place(self, frame: VideoFrame) -> None:
        """Note the seam before a frame, and let the frame begin where the last one before the seam ends."""
        seam, pts = self._demuxer.seam, frame.pts
        if seam is not None and seam is not self._seam and (seam.pts is None or pts is None or pts >= seam.pts):
            self._seam, self._seams = seam, seam.seams
            if pts is not None and seam.pts is None and self._last is not None:
                late = pts + self._shift - self._end_of(*self._last)
                if Seam.CLOCK in seam.seams or late < 0:
                    self._shift -= late
        if pts is not None:
            if self._shift:
                frame.pts = pts = pts + self._shift
            self._last = pts, frame.duration

    def _end_of(self, pts: int, duration: int) -> int:
        """The end of a frame: by the frame rate, where its duration is that rounded, or not known."""
        usual = 1 / ((self.frame_rate or FALLBACK_RATE) * self.time_base)
        return pts + round(usual if not duration or abs(duration - usual) < 1 else duration)

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """Packets with data; then None, on which the decoder returns its remaining frames.

        An empty packet with a time repeats the picture before, which stays on screen.
        """
        reason: str | None = None
        self._seconds = 0.0
        try:
            for packet in self._demuxer.packets():
                if packet.size == 0:
                    if packet.pts is None:
                        self.losses.holes.note_end(packet)
                        break
                    self._repeat = packet.pts, packet.duration or 0
                    self.losses.note_repeats(1)
                    self.losses.holes.note_packet(packet)
                    continue
                if packet.pts is not None and (self._latest is None or packet.pts > self._latest):
                    self._latest = packet.pts
                self.losses.note_packet(packet.pts, packet.is_discard)
                if self._demuxer.is_behind_scrambled(packet):
                    self.losses.holes.note_loss(is_scrambled=True)
                self.losses.holes.note_packet(packet)
                if packet.is_keyframe:
                    self._aspects.note_keyframe(packet.pts)
                yield packet
                self._on_packet()
        except READ_ERRORS as error:
            reason = reason_of(error)
        self._demuxer.raise_interrupt()
        yield None
        if reason is not None:
            self.break_off(reason)

    def take_work(self) -> float:
        """Seconds of decoding since the last call."""
        seconds, self._work_seconds = self._work_seconds, 0.0
        return seconds

    def _decode(self, decoder: RecoveringDecoder, packet: Packet[VideoStream] | None) -> Iterator[VideoFrame]:
        frames = decoder.decode(packet)
        while True:
            begin = time.perf_counter()
            frame = next(frames, None)
            self._work_seconds += time.perf_counter() - begin
            if frame is None:
                return
            self._note_hardware(frame)
            self._aspects.note_frame(frame.pts, decoder.pixel_aspect)
            pts = frame.pts
            self._place(frame)
            if frame.pts is not None:
                self._seconds = float(frame.pts * self.time_base)
            span = (self._seconds, self._seconds + float(frame.duration * self.time_base))
            self._last_duration = frame.duration
            self.losses.note_frame(pts, span, is_damaged(frame), frame.interlaced_frame)
            yield frame

    def _note_hardware(self, frame: VideoFrame) -> None:
        """Record which decoder works, and log it if it is not the chosen one."""
        if self.decoded_by:
            return
        self.decoded_by = "nvdec" if frame.sw_format is not None else "cpu"
        if self._hardware is not None and self.decoded_by == "cpu":
            _log.warning("%s: decoded on the CPU, for NVDEC does not take its %s", self.name, self.codec)

    def break_off(self, reason: str) -> None:
        """Mark the video as broken here; the first reason counts."""
        self.error = self.error or f"breaks off after {self._seconds:.3f} s: {reason}"
