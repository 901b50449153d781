"""Decodes the video stream of a container to frames; the only file that reads with PyAV."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain

import av
from av import VideoFrame
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import ExitError, FFmpegError, InvalidDataError
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from acfd_stream.config import VideoConfig, available_cores
from acfd_stream.errors import MediaError
from acfd_stream.video.losses import LossWatch
from acfd_stream.video.origin import BytesReader, SeekableReader

_log = logging.getLogger(__name__)
_RATES = (Fraction(1, 60), Fraction(1000))  # frame rates outside are placeholders of a container
_SEEK_BACK_SECONDS = (0, 2, 8, 32)  # further back each time a seek lands after the wanted frame
_TAGGED_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")  # "00:01:03.167000000"
_LATEST_PTS = 2**62  # FFmpeg counts in 64 bits
# Do not estimate a frame rate over many frames. 0 µs would mean the default 5 s, in which FLV never stops reading.
_QUICK_OPENING = {"analyzeduration": "1", "fpsprobesize": "0"}
# If the container's header describes the streams, one packet of some size is enough and is not decoded twice.
# Otherwise the result of a live stream's first frame waits for two further frames.
_QUICKEST_OPENING = {"probesize": "2048", "skip_frame": "all"}
_MATROSKA, _MP4_BOX = b"\x1a\x45\xdf\xa3", b"ftyp"  # the first bytes; the bytes after the first four
# Decoders that decode the slices of a frame on several threads without delaying frames.
_MOST_SLICE_THREADS = 4
_SLICED = ("h264", "hevc", "mpeg2video")
_READ_ERRORS = (FFmpegError, OSError, ValueError, MediaError)


class Decoder:
    """The best video stream of a container, with its decoder.

    Args:
        target: URL or ``file:…`` name; a reader for bytes.
        name: its name in messages.
        config: threads and caps.
        hardware: decodes instead of the CPU where it can.

    Raises:
        MediaError: no container that FFmpeg knows, no video stream in it, or no decoder for that.
    """

    def __init__(
        self, target: str | BytesReader, name: str, config: VideoConfig, hardware: HWAccel | None = None
    ) -> None:
        self.name = name
        self.error: str | None = None
        self.decoded_by = ""  # "cpu" or "nvdec", known from the first frame on
        self._seconds = 0.0  # time of the last frame
        self._target, self._config, self._hardware = target, config, hardware
        self._reader = None if isinstance(target, str) else target
        self._container: InputContainer | None = None
        self.arrived_at = self.taken_at = time.perf_counter()  # of the last packet: arrived, given to the decoder
        self._work_seconds = 0.0
        self._open()

    def _open(self) -> None:
        try:
            self._container = _open_container(self._target, self.name, self._config, self._hardware)
            self._raise_interrupt()
            self._stream = _best_stream(self._container, self.name)
            self._set_up()
        except BaseException:
            self.close()
            self._raise_interrupt()  # it is the cause of FFmpeg's error
            raise

    def _set_up(self) -> None:
        config, stream, codec = self._config, self._stream, self._stream.codec_context
        if codec.width * codec.height > config.frame_pixels:
            raise MediaError(
                f"{self.name}: its frames of {codec.width}×{codec.height} pixels are above the limit of "
                f"{config.frame_pixels}; raise frame_pixels or scale the video down"
            )
        # Frame threads delay as many frames as there are threads; hardware decoding does not need them.
        is_prompt = config.low_delay or codec.is_hwaccel
        codec.thread_type = "SLICE" if is_prompt else "AUTO"
        codec.thread_count = (config.threads or _slice_threads(codec.name)) if is_prompt else config.threads
        for other in stream.container.streams:
            if other.index != stream.index:
                other.discard = Discard.all
        self.time_base: Fraction = stream.time_base or Fraction(1, 90_000)
        self.start_pts = stream.start_time
        self.codec = codec.codec.canonical_name
        self.frame_count = stream.frames or None
        self.duration_seconds = self._duration_seconds()
        self.reformatter = VideoReformatter()
        is_matroska = "matroska" in stream.container.format.name  # other containers estimate it or count frames
        self.losses = LossWatch(stream.frames, self.duration_seconds if is_matroska else None)

    def _duration_seconds(self) -> float | None:
        if self._stream.duration is not None:
            return float(self._stream.duration * self.time_base)
        tagged = _TAGGED_DURATION.fullmatch(self._stream.metadata.get("DURATION", ""))
        if tagged is not None:  # Matroska: the container's own duration may include longer subtitles
            hours, minutes, seconds = tagged.groups()
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        duration = None if self._container is None else self._container.duration
        return None if duration is None else duration / av.time_base

    @property
    def frame_rate(self) -> Fraction | None:
        """Average frames per second, if known; for a raw stream the rate in its headers."""
        stream = self._stream
        # After a short analysis FFmpeg guesses twice the rate, or that of the clock.
        guess = stream.codec_context.framerate if self._config.low_delay else stream.guessed_rate
        rates = [stream.average_rate, guess]
        if stream.duration is None and not stream.frames:
            rates.reverse()
        return next((rate for rate in rates if rate is not None and _RATES[0] <= rate <= _RATES[1]), None)

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel divided by its height; 1 if the stream has none."""
        aspect = self._stream.sample_aspect_ratio or self._stream.codec_context.sample_aspect_ratio
        return aspect if aspect is not None and aspect > 0 else Fraction(1)

    def close(self) -> None:
        """Close the container and stop the decoder's threads; may be called twice."""
        container, self._container = self._container, None
        if container is not None:
            container.close()
        if hasattr(self, "_stream"):
            del self._stream  # the last reference to the decoder

    # Reading

    def frames(self, start_seconds: float | None) -> Iterator[VideoFrame]:
        """Frames in display order, from the beginning or from a keyframe at or before ``start_seconds``.

        Ends at the first break and sets ``error``. With a start, some frames before it may be included.
        """
        frames = self._decoded()
        first = next(frames, None)
        if first is None:
            return
        if start_seconds is not None and self._is_before(first, start_seconds):
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
        container = self._container
        if container is None or first_pts is None or (self._reader is not None and not self._reader.is_seekable):
            return None
        wanted = min(math.floor(Fraction(seconds) / self.time_base), _LATEST_PTS)
        targets = [wanted - math.ceil(back / self.time_base) for back in _SEEK_BACK_SECONDS]
        for attempt, target in enumerate([*(target for target in targets if target > first_pts), first_pts]):
            try:
                container.seek(target, stream=self._stream)
            except FFmpegError:
                if attempt == 0:
                    return None  # the position has not changed
                break
            self.losses.restart()
            found = self._decoded()
            landed = next(found, None)
            if landed is not None and not landed.is_corrupt and self._is_before(landed, seconds):
                return landed, found
        return self._reopened()

    def _reopened(self) -> tuple[VideoFrame, Iterator[VideoFrame]]:
        """All frames again, after failed seeks."""
        self.close()
        if isinstance(self._reader, SeekableReader):
            self._reader.seek(0)
        self._open()
        self.error = None
        frames = self._decoded()
        first = next(frames, None)
        if first is None:
            raise MediaError(f"{self.name}: cannot be read a second time; leave the start out")
        return first, frames

    def _decoded(self) -> Iterator[VideoFrame]:
        for packet in self._packets():
            yield from self._decode(packet)
            if self.error is not None:
                return
        if self.losses.is_end_lost:
            self.break_off("damaged data")

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """Packets with data; then None, on which the decoder returns its remaining frames."""
        if self._container is None:
            return
        reason: str | None = None
        self._seconds = 0.0
        try:
            for packet in self._container.demux(self._stream):
                self._raise_interrupt()
                self._note_arrival(packet)
                if packet.size == 0:
                    is_end = packet.pts is None and packet.dts is None
                    reason = None if is_end else "a packet without a picture"
                    break
                self.losses.note_packet(packet.pts, packet.is_discard)
                yield packet
        except _READ_ERRORS as error:
            reason = _reason(error)
        self._raise_interrupt()
        yield None
        if reason is not None:
            self.break_off(reason)

    def _note_arrival(self, packet: Packet[VideoStream]) -> None:
        self.arrived_at = self.taken_at = time.perf_counter()
        if self._reader is not None and packet.pos is not None and packet.pos >= 0:
            fed_at = self._reader.fed_at(packet.pos + packet.size)
            self.arrived_at = self.taken_at if fed_at is None else min(fed_at, self.taken_at)

    def take_work(self) -> float:
        """Seconds of decoding since the last call."""
        seconds, self._work_seconds = self._work_seconds, 0.0
        return seconds

    def _decode(self, packet: Packet[VideoStream] | None) -> Iterator[VideoFrame]:
        begin = time.perf_counter()
        try:
            frames = self._stream.decode(packet)
        except _READ_ERRORS as error:
            if self.losses.frames:
                self.break_off(_reason(error))
            else:  # a recording may begin before its first keyframe
                self.losses.note_refused()
            return
        finally:
            self._work_seconds += time.perf_counter() - begin
        for frame in frames:
            self._note_hardware(frame)
            if frame.pts is not None:
                self._seconds = float(frame.pts * self.time_base)
            span = (self._seconds, self._seconds + float(frame.duration * self.time_base))
            self.losses.note_frame(frame.pts, span, frame.is_corrupt, frame.interlaced_frame)
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

    def _raise_interrupt(self) -> None:
        """Raise a Ctrl-C that came while the decoder was reading from a Python object."""
        if self._reader is not None and self._reader.interrupt is not None:
            raise self._reader.interrupt


def _open_container(
    target: str | BytesReader, name: str, config: VideoConfig, hardware: HWAccel | None
) -> InputContainer:
    # Only a URL can block for ever: a file answers, and the producer of bytes can abort them.
    is_remote = isinstance(target, str) and not target.startswith("file:")
    timeout = config.url_timeout_seconds if is_remote else None
    # Bytes are untrusted: a playlist in them must not make FFmpeg open files or addresses.
    options = {} if isinstance(target, str) else {"protocol_whitelist": "none"}
    try:
        if config.low_delay:
            options |= _QUICK_OPENING | (_QUICKEST_OPENING if hardware is None and _is_told_by_head(target) else {})
        return av.open(target, mode="r", options=options, timeout=timeout, metadata_errors="replace", hwaccel=hardware)
    except MediaError as error:
        raise MediaError(f"{name}: {error}") from error
    except InvalidDataError as error:
        raise MediaError(f"{name}: is not a video that can be read; it may be damaged or cut off") from error
    except ExitError as error:
        raise MediaError(f"{name}: no answer within {timeout} s; check the address, or try later") from error
    except _READ_ERRORS as error:
        advice = "check the address" if is_remote else "check that it is a whole video"
        raise MediaError(f"{name}: cannot be opened ({_reason(error)}); {advice}") from error


def _is_told_by_head(target: str | BytesReader) -> bool:
    """Whether bytes that arrive over time are a container whose header describes its streams."""
    if isinstance(target, str) or target.is_seekable:
        return False
    first = target.first(8)
    return first.startswith(_MATROSKA) or first.endswith(_MP4_BOX)


def _slice_threads(codec: str) -> int:
    return min(available_cores(), _MOST_SLICE_THREADS) if codec in _SLICED else 1


def _best_stream(container: InputContainer, name: str) -> VideoStream:
    """The main stream by FFmpeg's choice; cover pictures do not count."""
    moving = [stream for stream in container.streams.video if Disposition.attached_pic not in stream.disposition]
    if not moving:
        others = sorted({stream.type for stream in container.streams} - {"video"})
        held = " and ".join(others) or "nothing"
        cover = " and a cover picture" if container.streams.video else ""
        raise MediaError(f"{name}: has no video stream, only {held}{cover}; give a file with pictures")
    decodable = [stream for stream in moving if stream.codec_context is not None]
    if not decodable:
        raise MediaError(f"{name}: there is no decoder for its video stream; convert it, to H.264 for example")
    best = container.streams.best("video")
    return best if best in decodable else decodable[0]


def _reason(error: Exception) -> str:
    if isinstance(error, InvalidDataError):
        return "damaged data"
    if isinstance(error, ExitError):
        return "the source does not answer any more"
    if isinstance(error, FFmpegError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
