"""Decodes an image file in memory to upright RGB with FFmpeg, one picture, without opening it as a video."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av import CodecContext, VideoFrame
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from acfd_stream.errors import MediaError
from acfd_stream.ops import thumbnail
from acfd_stream.types import Primaries, Transfer
from acfd_stream.video.orientation import OrientationWatch
from acfd_stream.video.picture import to_picture

_JPEG, _JPEG_END, _GIF, _GIF_END = b"\xff\xd8\xff", b"\xff\xd9", b"GIF8", b";"
_CODECS = {b"\x89PNG": "png", _JPEG: "mjpeg", b"RIFF": "webp"}  # a whole file is one packet of these
_OTHERS = "bmp_pipe,gif,tiff_pipe,j2k_pipe,pam_pipe,pbm_pipe,pgm_pipe,ppm_pipe,hdr_pipe"
_PNG, _CHUNK_BYTES = b"\x89PNG\r\n\x1a\n", 12  # of a chunk without content
_TEXTS, _TEXT_BYTES = (b"tEXt", b"zTXt"), 2**14  # of all texts in a PNG: at most 16 MiB when they are inflated
_AVIF_BRANDS = (b"avif", b"avis")
_STRICT = {"err_detect": "crccheck+bitstream+buffer+explode"}  # an error instead of a picture with a grey half
_ALIGNED = 64  # pixels by which a decoder makes rows and columns longer
_SUBSAMPLED = ("yuv420p", "yuvj420p", "yuva420p")  # of odd sizes swscale moves the chroma, the letterbox does not
# Chroma is interpolated in both directions and rounded, as libjpeg does it.
_EXACT = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_ERRORS = (FFmpegError, ValueError, LookupError, StopIteration, struct.error)


def decode_image(data: bytes, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """The first picture in ``data``, turned as its EXIF data says; alpha is dropped: uint8 [H, W, 3] RGB.

    Args:
        data: a PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000, PNM or Radiance file.
        size: (height, width) as stored; one with more pixels is refused before memory is taken for it. None: any.

    Raises:
        MediaError: it is none of these, damaged, cut off or too large.
    """
    limit = {} if size is None else {"max_pixels": str((size[0] + _ALIGNED) * (size[1] + _ALIGNED))}
    try:
        return _upright(_first_frame(data, limit))
    except _ERRORS as error:
        raise MediaError("it is not a picture, or only part of one") from error


def _first_frame(data: bytes, options: dict[str, str]) -> VideoFrame:
    if _has_no_end(data):  # which FFmpeg takes for a whole one
        raise ValueError("it is cut off")
    if (codec := _CODECS.get(data[:4]) or _CODECS.get(data[:3])) is None:
        return _first_frame_of_others(data, options)
    decoder = cast(VideoCodecContext, CodecContext.create(codec, "r"))
    decoder.options, decoder.thread_count = {**_STRICT, **options}, 1
    packet = Packet(_first_webp(data) if codec == "webp" else _lean_png(data) if codec == "png" else data)
    return (decoder.decode(packet) or decoder.decode(None))[0]


def _lean_png(data: bytes) -> bytes:
    """``data`` without its profile and long or many texts.

    FFmpeg inflates them whole, however large they get, and compares the names of all texts with each other. They change
    no pixel. A short text may hold EXIF data.
    """
    kept, place, text_bytes = [data[: len(_PNG)]], len(_PNG), 0
    while place + _CHUNK_BYTES <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + _CHUNK_BYTES + length
        text_bytes += length if kind in _TEXTS else 0
        if kind != b"iCCP" and (kind not in _TEXTS or text_bytes <= _TEXT_BYTES):
            kept.append(data[place:end])
        place = end
        if kind == b"IEND":
            break
    return b"".join([*kept, data[place:]])


def _has_no_end(data: bytes) -> bool:
    if data.startswith(_GIF):
        return not data.rstrip(b"\0").endswith(_GIF_END)
    return data.startswith(_JPEG) and _JPEG_END not in data


def _first_frame_of_others(data: bytes, options: dict[str, str]) -> VideoFrame:
    is_avif = data[4:8] == b"ftyp" and data[8:12] in _AVIF_BRANDS
    formats = {"format_whitelist": "mov" if is_avif else _OTHERS}
    with av.open(io.BytesIO(data), "r", options=formats) as container:
        decoder = container.streams.video[0].codec_context
        decoder.options, decoder.thread_count = options, 1
        return next(container.decode(video=0))


def _first_webp(data: bytes) -> bytes:
    """``data``, or the first picture of an animated WebP as a file of its own: FFmpeg reads no animation."""
    if data[12:16] != b"VP8X" or not data[20] & 2:
        return data
    place = 12
    while data[place : place + 4] != b"ANMF":
        place += 8 + _padded(data, place)
    begin, end = place + 24, place + 8 + _padded(data, place)  # a chunk's head, and where the picture is shown
    width_height, has_alpha = data[place + 14 : place + 20], data[begin : begin + 4] == b"ALPH"
    content = b"WEBPVP8X" + struct.pack("<II", 10, has_alpha << 4) + width_height + data[begin:end]
    return b"RIFF" + struct.pack("<I", len(content)) + content


def _padded(data: bytes, place: int) -> int:
    """Bytes of the content of the chunk at ``place``, which begin 8 bytes after it."""
    (length,) = struct.unpack_from("<I", data, place + 4)
    return int(length + length % 2)


def _upright(frame: VideoFrame) -> NDArray[np.uint8]:
    watch, reformatter = OrientationWatch(), VideoReformatter()
    watch.push(frame)
    if frame.format.name not in _SUBSAMPLED:
        frame = reformatter.reformat(frame, format="rgb24", interpolation=_EXACT, threads=1)
    picture = to_picture(frame, Fraction(1), reformatter, rotation=watch.current.rotation)
    picture = replace(watch.current.upright(picture), transfer=Transfer.SDR, primaries=Primaries.BT709)  # as stored
    return thumbnail(picture, picture.display_size)
