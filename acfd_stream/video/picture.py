"""Turns a decoder's frame into a Picture: views of its memory if the layout is known, else one conversion."""

from __future__ import annotations

import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from acfd_stream.types import ColorMatrix, Picture, PixelFormat, PlaneArray, Primaries, Transfer

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.format import VideoFormat
    from av.video.plane import VideoPlane
    from av.video.reformatter import VideoReformatter

    from acfd_stream.video.device_planes import DevicePlanes

_BYTE_ORDER = "le" if sys.byteorder == "little" else "be"
_PLANAR_DEPTHS = (9, 10, 12, 14, 16)
_NATIVE = {
    "yuv420p": PixelFormat.YUV420P,
    "yuvj420p": PixelFormat.YUV420P,
    "nv12": PixelFormat.NV12,
    "rgb24": PixelFormat.RGB24,
    **{f"yuv420p{depth}{_BYTE_ORDER}": PixelFormat.YUV420P for depth in _PLANAR_DEPTHS},
}
_GRAY = {"gray", *(f"gray{depth}{_BYTE_ORDER}" for depth in _PLANAR_DEPTHS)}
# Values of AVColorSpace, AVColorTransferCharacteristic and AVColorPrimaries, which are those of ITU-T H.273.
_MATRICES = {
    1: ColorMatrix.BT709,
    7: ColorMatrix.BT709,  # SMPTE 240M: the nearest that we have
    9: ColorMatrix.BT2020,
    10: ColorMatrix.BT2020,  # constant luminance: the nearest that we have
    4: ColorMatrix.BT601,  # FCC
    5: ColorMatrix.BT601,  # BT.470BG
    6: ColorMatrix.BT601,  # SMPTE 170M
}
_TRANSFERS = {16: Transfer.PQ, 18: Transfer.HLG}
_BT2020_PRIMARIES = 9
_HDR_PRIMARIES = {1: Primaries.BT709, 11: Primaries.P3, 12: Primaries.P3}
_LIMITED, _FULL = 1, 2  # AVColorRange
_HD_HEIGHT = 720


def pixel_format_name(format: VideoFormat) -> str:
    """Name of the output layout for a frame of ``format``: its own if it is known, else the nearest known one.

    Alpha is dropped, not blended: the colour under a transparent pixel is what the file holds there.
    """
    if format.name in _NATIVE or format.name in _GRAY:
        return format.name
    if format.is_rgb or format.has_palette or len(format.components) < 3:
        return "rgb24"
    depth = next((depth for depth in _PLANAR_DEPTHS if depth >= format.components[0].bits), 16)
    return "yuv420p" if format.components[0].bits <= 8 else f"yuv420p{depth}{_BYTE_ORDER}"


def to_picture(
    frame: VideoFrame,
    pixel_aspect: Fraction,
    reformatter: VideoReformatter,
    device: DevicePlanes | None = None,
    rotation: int = 0,
) -> Picture:
    """The picture of ``frame``; its planes keep the decoder's memory alive and cannot be written to.

    Args:
        frame: a decoded frame, in host memory or, by NVDEC, on a GPU.
        pixel_aspect: width of a stored pixel by its height, > 0; the width is stretched by it, as players do.
        reformatter: of the stream, so that a conversion is set up once.
        device: brings the planes to the GPU; None: they come to host memory.
        rotation: 0, 90, 180 or 270 degrees clockwise; see ``orientation``.
    """
    if device is not None and device.takes(frame):
        planes, bit_depth, ready = device.adopt(frame)
        return Picture(
            planes=planes,
            pixel_format=PixelFormat.NV12,
            display_size=display_size(frame.height, frame.width, pixel_aspect, rotation),
            bit_depth=bit_depth,
            is_full_range=frame.color_range == _FULL,
            rotation=rotation,
            ready=ready,
            **_colors(frame),
        )
    picture = _host_picture(_downloaded(frame, reformatter), pixel_aspect, reformatter, rotation)
    return picture if device is None else device.upload(picture)


def _downloaded(frame: VideoFrame, reformatter: VideoReformatter) -> VideoFrame:
    """The frame in host memory, in the layout on the GPU."""
    if frame.sw_format is None:
        return frame
    return reformatter.reformat(frame, format=frame.sw_format.name, threads=1)


def _host_picture(frame: VideoFrame, pixel_aspect: Fraction, reformatter: VideoReformatter, rotation: int) -> Picture:
    is_full_range = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
    name = pixel_format_name(frame.format)
    stored = frame
    if name != frame.format.name:
        kept_range = _FULL if is_full_range else _LIMITED
        # One thread: with several, swscale sometimes leaves rows at a slice's edge unwritten.
        stored = reformatter.reformat(
            frame, format=name, src_color_range=kept_range, dst_color_range=kept_range, threads=1
        )
    is_gray = name in _GRAY
    return Picture(
        planes=_gray_planes(stored) if is_gray else _planes(stored),
        pixel_format=_NATIVE.get(name, PixelFormat.YUV420P),
        display_size=display_size(frame.height, frame.width, pixel_aspect, rotation),
        bit_depth=stored.format.components[0].bits,
        # Gray without a range is full range, as everywhere in FFmpeg.
        is_full_range=is_full_range or name == "rgb24" or (is_gray and frame.color_range != _LIMITED),
        rotation=rotation,
        **_colors(frame),
    )


def display_size(height: int, width: int, pixel_aspect: Fraction, rotation: int) -> tuple[int, int]:
    """(height, width) on the screen of a stored picture: first scaled by ``pixel_aspect``, then rotated."""
    stretched = max(1, round(width * pixel_aspect))
    return (stretched, height) if rotation in (90, 270) else (height, stretched)


def picture_bytes(picture: Picture) -> int:
    """Bytes of memory that the planes of ``picture`` keep alive, row padding included."""
    return sum(plane.shape[0] * abs(plane.strides[0]) for plane in picture.planes)


def _colors(frame: VideoFrame) -> dict[str, Any]:
    """Matrix, transfer and primaries as tagged; where they are not, as is usual for what is tagged."""
    transfer = _TRANSFERS.get(frame.color_trc, Transfer.SDR)
    primaries = Primaries.BT2020 if frame.color_primaries == _BT2020_PRIMARIES else Primaries.BT709
    if transfer is not Transfer.SDR:
        primaries = _HDR_PRIMARIES.get(frame.color_primaries, Primaries.BT2020)
    if primaries is Primaries.BT2020:
        usual = ColorMatrix.BT2020
    else:
        usual = ColorMatrix.BT709 if frame.height >= _HD_HEIGHT else ColorMatrix.BT601
    matrix = _MATRICES.get(frame.colorspace, usual)
    return {"color_matrix": matrix, "transfer": transfer, "primaries": primaries}


def _planes(frame: VideoFrame) -> tuple[PlaneArray, ...]:
    if frame.format.name == "rgb24":
        return (_view(frame.planes[0], np.uint8, channels=3),)
    if frame.format.name == "nv12":
        return (_view(frame.planes[0], np.uint8), _view(frame.planes[1], np.uint8, channels=2))
    dtype = np.uint8 if frame.format.components[0].bits <= 8 else np.uint16
    return tuple(_view(plane, dtype) for plane in frame.planes[:3])


def _gray_planes(frame: VideoFrame) -> tuple[PlaneArray, ...]:
    bits = frame.format.components[0].bits
    luma = _view(frame.planes[0], np.uint8 if bits <= 8 else np.uint16)
    chroma = np.full(((luma.shape[0] + 1) // 2, (luma.shape[1] + 1) // 2), 1 << (bits - 1), luma.dtype)
    chroma.flags.writeable = False
    return luma, chroma, chroma


def _view(plane: VideoPlane, dtype: type[np.generic], channels: int = 1) -> PlaneArray:
    # The buffer belongs to the plane object, which holds the frame: the view keeps both alive.
    flat: np.ndarray[Any, Any] = np.frombuffer(plane, dtype)  # type: ignore[call-overload]
    flat.flags.writeable = False  # the decoder still reads this memory
    rows = flat.reshape(plane.height, -1)[:, : plane.width * channels]
    if plane.line_size < 0:  # stored bottom row first; the buffer begins at its lowest address
        rows = rows[::-1]
    # Splitting the last axis of a row-strided view needs no copy.
    return rows if channels == 1 else rows.reshape(plane.height, plane.width, channels)
