"""Opens a container with PyAV and chooses its main video stream."""

from __future__ import annotations

import re
from fractions import Fraction

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import ExitError, FFmpegError, InvalidDataError
from av.stream import Discard, Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from acfd_stream.config import VideoConfig, available_cores
from acfd_stream.errors import MediaError
from acfd_stream.video import ebml
from acfd_stream.video.gate import open_input
from acfd_stream.video.origin import BytesReader
from acfd_stream.video.rtp_losses import VIDEO_ONLY, count_losses
from acfd_stream.video.size_limit import size_options

FALLBACK_RATE = Fraction(25)
"""Frames per second if container and codec have no rate."""
READ_ERRORS = (FFmpegError, OSError, ValueError, MediaError)
"""What reading and decoding raise."""

_RATES = (Fraction(1, 60), Fraction(1000))  # frame rates outside are placeholders of a container
_TAGGED_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")  # "00:01:03.167000000"
# Their duration is known only after a seek, and bytes that arrive cannot be sought.
_TOLD_BY_SEEKING = ("mpegts", "mpeg", "ogg", "dv", "asf")
# Do not estimate a frame rate over many frames. 0 µs would mean the default 5 s, in which FLV never stops reading.
_QUICK_OPENING = {"analyzeduration": "1", "fpsprobesize": "0"}
# If the container's header describes the streams, one packet of some size is enough and is not decoded twice.
# Otherwise the result of a live stream's first frame waits for two further frames.
_QUICKEST_OPENING = {"probesize": "2048", "skip_frame": "all"}
_MP4_BOX = b"ftyp"  # behind the first four bytes
# Decoders that decode the slices of a frame on several threads without delaying frames. On the CPU they use one thread:
# with several they patch damage up in another way, or say nothing of it.
_MOST_SLICE_THREADS = 4
_PICTURE_CODECS = ("mjpeg", "png", "bmp", "webp", "tiff")  # also of covers that the container does not mark
_MANY_FRAMES = 5  # no slide show
_RTP_SCHEMES = ("rtp:", "rtsp:", "rtsps:", "srtp:")
_SLICED = ("h264", "hevc", "mpeg2video")


class UnreadableError(MediaError):
    """There is no video that can be read."""


class NoVideoError(MediaError):
    """A container without moving pictures."""


def unwatched() -> None:
    """Watches nothing: what is called with every packet by default."""


def open_container(
    target: str | BytesReader, name: str, config: VideoConfig, hardware: HWAccel | None
) -> InputContainer:
    """The container that ``target`` names or reads.

    Raises:
        MediaError: there is none, or none that FFmpeg knows.
    """
    # Only a URL can block for ever: a file answers, and the producer of bytes can abort them.
    is_remote = isinstance(target, str) and not target.startswith("file:")
    timeout = config.url_timeout_seconds if is_remote else None
    options = size_options(config.frame_pixels)  # FFmpeg decodes the first pictures to learn what they are
    try:
        if config.low_delay:
            options |= _QUICK_OPENING | (_QUICKEST_OPENING if hardware is None and _is_told_by_head(target) else {})
        if isinstance(target, str) and target.startswith(_RTP_SCHEMES):
            options |= VIDEO_ONLY
            count_losses()
        try:
            return open_input(target, options, timeout, hardware)
        except InvalidDataError:
            if isinstance(target, BytesReader) or is_remote:
                raise
            # An index that leads nowhere, as in a damaged MXF; FFmpeg then reads what it can from front to back.
            return open_input(target, options | {"seekable": "0"}, timeout, hardware)
    except MediaError as error:
        raise MediaError(f"{name}: {error}") from error
    except InvalidDataError as error:
        raise UnreadableError(f"{name}: is not a video that can be read; it may be damaged or cut off") from error
    except ExitError as error:
        raise MediaError(f"{name}: no answer within {timeout} s; check the address, or try later") from error
    except READ_ERRORS as error:
        advice = "check the address" if is_remote else "check that it is a whole video"
        kind = UnreadableError if isinstance(error, FFmpegError) else MediaError  # a fault of a file object says enough
        raise kind(f"{name}: cannot be opened ({reason_of(error)}); {advice}") from error


def _is_told_by_head(target: str | BytesReader) -> bool:
    """Whether bytes that arrive over time are a container whose header describes its streams."""
    if isinstance(target, str) or target.is_seekable:
        return False
    first = target.first(8)
    return first.startswith(ebml.SIGNATURE) or first.endswith(_MP4_BOX)


def set_up_decoder(stream: VideoStream, name: str, config: VideoConfig) -> None:
    """Choose the threads of a stream's decoder, and discard the other streams of its container.

    Raises:
        MediaError: its frames are above the limit.
    """
    codec = stream.codec_context
    if codec.width * codec.height > config.frame_pixels:
        raise MediaError(
            f"{name}: its frames of {codec.width}×{codec.height} pixels are above the limit of "
            f"{config.frame_pixels}; raise frame_pixels or scale the video down"
        )
    # Frame threads delay as many frames as there are threads; hardware decoding does not need them.
    is_prompt = config.low_delay or codec.is_hwaccel
    codec.thread_type = "SLICE" if is_prompt else "AUTO"
    codec.thread_count = _slice_threads(codec, config.threads) if is_prompt else config.threads
    codec.options = {**codec.options, **size_options(config.frame_pixels)}
    for other in stream.container.streams:
        if other.index != stream.index:
            other.discard = Discard.all


def _slice_threads(codec: VideoCodecContext, wanted: int) -> int:
    if codec.name not in _SLICED:
        return wanted or 1
    return (wanted or min(available_cores(), _MOST_SLICE_THREADS)) if codec.is_hwaccel else 1


def best_stream(container: InputContainer, name: str, wanted_id: int | None = None) -> VideoStream:
    """The stream of an id, else the main stream; cover pictures do not count.

    Of several, those that the container marks as default come first, then videos before pictures, the largest size, and
    the most frames. FFmpeg's choice also depends on how much it has read, and on whether it can seek.
    """
    moving = [stream for stream in container.streams.video if Disposition.attached_pic not in stream.disposition]
    if not moving:
        others = sorted({stream.type for stream in container.streams} - {"video"})
        if not others and not container.streams.video:
            raise UnreadableError(f"{name}: has no stream; give a file with pictures")
        held = " and ".join(others) or "nothing"
        cover = " and a cover picture" if container.streams.video else ""
        raise NoVideoError(f"{name}: has no video stream, only {held}{cover}; give a file with pictures")
    decodable = [stream for stream in moving if stream.codec_context is not None]
    if not decodable:
        raise UnreadableError(f"{name}: there is no decoder for its video stream; convert it, to H.264 for example")
    wanted = next((stream for stream in decodable if stream.id == wanted_id), None)
    if wanted is not None:
        return wanted
    return max(decodable, key=_rank)


def _rank(stream: VideoStream) -> tuple[bool, bool, int, int, int]:
    codec, is_default = stream.codec_context, Disposition.default in stream.disposition
    frames = stream.frames or _MANY_FRAMES  # 0: the container does not say
    is_video = codec.name not in _PICTURE_CODECS
    return is_default, is_video, min(frames, _MANY_FRAMES), codec.width * codec.height, stream.frames


def coding_of(stream: VideoStream) -> tuple[str, int, int, bytes | None]:
    """Codec, width, height and extradata: a decoder for these decodes all streams that have them."""
    codec = stream.codec_context
    return codec.name, codec.width, codec.height, codec.extradata


def duration_of(stream: VideoStream, container: InputContainer | None) -> float | None:
    """Duration in seconds as the header claims; None if it does not say."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    tagged = _TAGGED_DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if tagged is not None:  # Matroska: the container's own duration may include longer subtitles
        hours, minutes, seconds = tagged.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    duration = None if container is None else container.duration
    return None if duration is None else duration / av.time_base


def frame_rate_of(stream: VideoStream, *, is_bare: bool, low_delay: bool) -> Fraction | None:
    """Average frames per second, if known; for a raw stream the rate in its headers."""
    # After a short analysis FFmpeg guesses twice the rate, or that of the clock.
    guess = stream.codec_context.framerate if low_delay else stream.guessed_rate
    rates = [stream.average_rate, guess]
    # The average is made up, or that of as much of the video as was read when opening: for a file and its bytes alike.
    name, is_unlisted = stream.container.format.name, not stream.frames
    is_untold = is_unlisted and stream.duration is None and name not in _TOLD_BY_SEEKING
    if is_bare or is_untold or (is_unlisted and "mp4" in name):
        rates.reverse()
    return next((rate for rate in rates if rate is not None and _RATES[0] <= rate <= _RATES[1]), None)


def reason_of(error: Exception) -> str:
    """An error of READ_ERRORS in words."""
    if isinstance(error, InvalidDataError):
        return "damaged data"
    if isinstance(error, ExitError):
        return "the source does not answer any more"
    if isinstance(error, FFmpegError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
