"""Opens a container with PyAV and gives the packets of its main video stream."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import NoReturn

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import ExitError, FFmpegError, InvalidDataError
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from acfd_stream.config import VideoConfig, available_cores
from acfd_stream.errors import MediaError
from acfd_stream.video import encryption
from acfd_stream.video.origin import BytesReader, SeekableReader
from acfd_stream.video.peek import Peek
from acfd_stream.video.repeats import blocks_behind, chunks_behind, with_repeats
from acfd_stream.video.unreadable import explanation

READ_ERRORS = (FFmpegError, OSError, ValueError, MediaError)
"""What reading and decoding raise."""

_RATES = (Fraction(1, 60), Fraction(1000))  # frame rates outside are placeholders of a container
_TAGGED_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")  # "00:01:03.167000000"
_LATEST_PTS = 2**62  # FFmpeg counts in 64 bits
# Do not estimate a frame rate over many frames. 0 µs would mean the default 5 s, in which FLV never stops reading.
_QUICK_OPENING = {"analyzeduration": "1", "fpsprobesize": "0"}
# If the container's header describes the streams, one packet of some size is enough and is not decoded twice.
# Otherwise the result of a live stream's first frame waits for two further frames.
_QUICKEST_OPENING = {"probesize": "2048", "skip_frame": "all"}
_NO_TIMESTAMPS = 0x80  # AVFMT_NOTIMESTAMPS; PyAV's Flags refuse newer bits
# Containers that give the order of decoding only, from which FFmpeg invents presentation times that may be shuffled.
_WITHOUT_PTS = ("avi", "asf", "asf_o")
_FILE = "file:"
_TOLERATED_REPEATS = 2  # that the header of an AVI is believed; more may be a file that is cut short
_ANIMATIONS = ("gif", "apng")
_NO_FOURCC = "\0\0\0\0"
_MATROSKA, _MP4_BOX = b"\x1a\x45\xdf\xa3", b"ftyp"  # the first bytes; the bytes after the first four
# Decoders that decode the slices of a frame on several threads without delaying frames. On the CPU they use one thread:
# with several they patch damage up in another way, or say nothing of it.
_MOST_SLICE_THREADS = 4
_SLICED = ("h264", "hevc", "mpeg2video")


class UnreadableError(MediaError):
    """There is no video that can be read."""


class Demuxer:
    """The best video stream of a container.

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
        self._target, self._config, self._hardware = target, config, hardware
        self._peek = Peek(target)
        self._encrypted: str | None = None  # why packets cannot be decoded
        self._reader = None if isinstance(target, str) else target
        self._container: InputContainer | None = None
        self.arrived_at = self.taken_at = time.perf_counter()  # of the last packet: arrived, given to the decoder
        self._open()

    def _open(self) -> None:
        try:
            self._container = _open_container(self._target, self.name, self._config, self._hardware)
            self.raise_interrupt()
            self.stream = _best_stream(self._container, self.name)
            self._stream_id = self.stream.id
            kind = encryption.encryption_of(self._peek, self._stream_id)
            if kind is not None:
                raise MediaError(encryption.message(self.name, kind))
            self._set_up()
        except BaseException as error:
            self.close()
            self.raise_interrupt()  # it is the cause of FFmpeg's error
            if isinstance(error, UnreadableError):
                raise MediaError(explanation(self._peek, self.name, None, str(error))) from error
            raise

    def _set_up(self) -> None:
        config, stream, codec = self._config, self.stream, self.stream.codec_context
        if codec.width * codec.height > config.frame_pixels:
            raise MediaError(
                f"{self.name}: its frames of {codec.width}×{codec.height} pixels are above the limit of "
                f"{config.frame_pixels}; raise frame_pixels or scale the video down"
            )
        # Frame threads delay as many frames as there are threads; hardware decoding does not need them.
        is_prompt = config.low_delay or codec.is_hwaccel
        codec.thread_type = "SLICE" if is_prompt else "AUTO"
        codec.thread_count = _slice_threads(codec, config.threads) if is_prompt else config.threads
        for other in stream.container.streams:
            if other.index != stream.index:
                other.discard = Discard.all
        self.time_base: Fraction = stream.time_base or Fraction(1, 90_000)

    @property
    def is_matroska(self) -> bool:
        """Whether it is Matroska or WebM, whose durations are exact; other containers estimate them."""
        return "matroska" in self.stream.container.format.name

    @property
    def is_bare(self) -> bool:
        """Whether it is a stream without a container, whose times FFmpeg invents from an assumed rate."""
        return bool(self.stream.container.format.flags & _NO_TIMESTAMPS)

    @property
    def has_pts(self) -> bool:
        """Whether the container itself says when pictures are shown, and not only in which order to decode them."""
        is_vfw = self.is_matroska and self.stream.codec_context.codec_tag != _NO_FOURCC
        return not (self.is_bare or is_vfw or self.stream.container.format.name in _WITHOUT_PTS)

    @property
    def is_animation(self) -> bool:
        """Whether it is an animated picture, which has a delay per picture and no rate."""
        return self.stream.container.format.name in _ANIMATIONS

    @property
    def has_durations(self) -> bool:
        """Whether the container stores how long each picture is shown; others leave it to FFmpeg's estimate."""
        return self.is_animation or self.is_matroska or "mp4" in self.stream.container.format.name

    @property
    def listed_packets(self) -> int:
        """Packets in the index of an MP4, without those that its edit list cuts away; 0: no such index."""
        is_mp4 = "mp4" in self.stream.container.format.name
        return len(self.stream.index_entries) if is_mp4 else 0

    @property
    def duration_seconds(self) -> float | None:
        """As the header claims; None if it does not say."""
        if self.stream.duration is not None:
            return float(self.stream.duration * self.time_base)
        tagged = _TAGGED_DURATION.fullmatch(self.stream.metadata.get("DURATION", ""))
        if tagged is not None:  # Matroska: the container's own duration may include longer subtitles
            hours, minutes, seconds = tagged.groups()
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        duration = None if self._container is None else self._container.duration
        return None if duration is None else duration / av.time_base

    @property
    def frame_rate(self) -> Fraction | None:
        """Average frames per second, if known; for a raw stream the rate in its headers."""
        stream = self.stream
        # After a short analysis FFmpeg guesses twice the rate, or that of the clock.
        guess = stream.codec_context.framerate if self._config.low_delay else stream.guessed_rate
        rates = [stream.average_rate, guess]
        if self.is_bare or (stream.duration is None and not stream.frames):
            rates.reverse()
        return next((rate for rate in rates if rate is not None and _RATES[0] <= rate <= _RATES[1]), None)

    @property
    def pixel_aspect(self) -> Fraction:
        """Width of a pixel divided by its height; 1 if the stream has none."""
        aspect = self.stream.sample_aspect_ratio or self.stream.codec_context.sample_aspect_ratio
        return aspect if aspect is not None and aspect > 0 else Fraction(1)

    def close(self) -> None:
        """Close the container and stop the decoder's threads; may be called twice."""
        container, self._container = self._container, None
        if container is not None:
            container.close()
        if hasattr(self, "stream"):
            del self.stream  # the last reference to the decoder

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets in the container's order, from the current position; the last one is empty and has no time.

        If the container has no pts, the pts is the dts; other empty packets repeat the picture before.

        Raises:
            READ_ERRORS: a read failed.
        """
        if self._container is None:
            return
        has_pts, packets = self.has_pts, self._container.demux(self.stream)
        is_avi = self.stream.container.format.name == "avi"
        if is_avi or self.is_matroska:
            packets = with_repeats(packets, counts_chunks=is_avi, behind=self._repeats_behind)
        for packet in packets:
            self.raise_interrupt()
            self._note_arrival(packet)
            if packet.size and packet.has_sidedata("encryption_info"):
                self._refuse_encrypted(encryption.COMMON_ENCRYPTION)
            if not packet.size and self.stream.container.format.name == "mpegts":
                kind = encryption.encryption_at_end(self._peek, self._stream_id)
                if kind is not None:
                    self._refuse_encrypted(kind)
            if not has_pts:
                packet.pts = packet.dts
            yield packet

    def _repeats_behind(self, last: Packet[VideoStream]) -> list[int]:
        """Times of the empty packets behind the last one with data."""
        find = blocks_behind if self.is_matroska else chunks_behind
        try:
            if isinstance(self._reader, SeekableReader):
                before = self._reader.tell()
                times = find(self._reader, last)
                self._reader.seek(before)
                return times
            if isinstance(self._target, str) and self._target.startswith(_FILE):
                with open(self._target.removeprefix(_FILE), "rb") as file:
                    return find(file, last)
        except READ_ERRORS:
            return []
        promised = range((last.dts or 0) + 1, self.stream.frames)
        return list(promised) if not self.is_matroska and len(promised) <= _TOLERATED_REPEATS else []

    def _refuse_encrypted(self, kind: str) -> NoReturn:
        self._encrypted = encryption.message(self.name, kind)
        raise MediaError(f"from here on the video is encrypted ({kind})")

    def why_nothing(self, error: str) -> str:
        """``error``, that there is no frame, or what the source says of itself."""
        return self._encrypted or explanation(self._peek, self.name, self._stream_id, error)

    def _note_arrival(self, packet: Packet[VideoStream]) -> None:
        self.arrived_at = self.taken_at = time.perf_counter()
        if self._reader is not None and packet.pos is not None and packet.pos >= 0:
            fed_at = self._reader.fed_at(packet.pos + packet.size)
            self.arrived_at = self.taken_at if fed_at is None else min(fed_at, self.taken_at)

    @property
    def is_seekable(self) -> bool:
        """Whether ``seek`` may be tried."""
        return self._container is not None and (self._reader is None or self._reader.is_seekable)

    @property
    def is_rereadable(self) -> bool:
        """Whether ``reopen`` gives the same bytes; what an address gives may change."""
        is_local = not isinstance(self._target, str) or self._target.startswith("file:")
        if not is_local or not self.is_seekable:
            return False
        try:
            self.seek(0)  # a named pipe refuses
        except FFmpegError:
            return False
        return True

    def seek(self, pts: int) -> None:
        """Go to a keyframe at or before ``pts``.

        Raises:
            FFmpegError: the position has not changed.
        """
        assert self._container is not None
        self._container.seek(min(pts, _LATEST_PTS), stream=self.stream)

    def reopen(self) -> None:
        """Begin again, after failed seeks."""
        self.close()
        if isinstance(self._reader, SeekableReader):
            self._reader.seek(0)
        self._open()

    def raise_interrupt(self) -> None:
        """Raise a Ctrl-C that came while the demuxer was reading from a Python object."""
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
        raise UnreadableError(f"{name}: is not a video that can be read; it may be damaged or cut off") from error
    except ExitError as error:
        raise MediaError(f"{name}: no answer within {timeout} s; check the address, or try later") from error
    except READ_ERRORS as error:
        advice = "check the address" if is_remote else "check that it is a whole video"
        raise UnreadableError(f"{name}: cannot be opened ({reason_of(error)}); {advice}") from error


def _is_told_by_head(target: str | BytesReader) -> bool:
    """Whether bytes that arrive over time are a container whose header describes its streams."""
    if isinstance(target, str) or target.is_seekable:
        return False
    first = target.first(8)
    return first.startswith(_MATROSKA) or first.endswith(_MP4_BOX)


def _slice_threads(codec: VideoCodecContext, wanted: int) -> int:
    if codec.name not in _SLICED:
        return wanted or 1
    return (wanted or min(available_cores(), _MOST_SLICE_THREADS)) if codec.is_hwaccel else 1


def _best_stream(container: InputContainer, name: str) -> VideoStream:
    """The main stream by FFmpeg's choice; cover pictures do not count."""
    moving = [stream for stream in container.streams.video if Disposition.attached_pic not in stream.disposition]
    if not moving:
        others = sorted({stream.type for stream in container.streams} - {"video"})
        if not others and not container.streams.video:
            raise UnreadableError(f"{name}: has no stream; give a file with pictures")
        held = " and ".join(others) or "nothing"
        cover = " and a cover picture" if container.streams.video else ""
        raise MediaError(f"{name}: has no video stream, only {held}{cover}; give a file with pictures")
    decodable = [stream for stream in moving if stream.codec_context is not None]
    if not decodable:
        raise UnreadableError(f"{name}: there is no decoder for its video stream; convert it, to H.264 for example")
    best = container.streams.best("video")
    return best if best in decodable else decodable[0]


def reason_of(error: Exception) -> str:
    """An error of READ_ERRORS in words."""
    if isinstance(error, InvalidDataError):
        return "damaged data"
    if isinstance(error, ExitError):
        return "the source does not answer any more"
    if isinstance(error, FFmpegError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
