"""Turned and mirrored videos come upright: by the matrix of a container, by SEI messages, by EXIF data."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from acfd_stream.ops import thumbnail
from acfd_stream.types import Picture
from acfd_stream.video.orientation import Orientation, orientation_of
from acfd_stream.video.source import open_video

SIZE = (48, 64)
ONE = 1 << 16
UPRIGHT: dict[tuple[int, ...], Callable[[np.ndarray], np.ndarray]] = {
    (1, 0, 0, 1): lambda image: image,
    (-1, 0, 0, 1): lambda image: image[:, ::-1],
    (-1, 0, 0, -1): lambda image: image[::-1, ::-1],
    (1, 0, 0, -1): lambda image: image[::-1],
    (0, 1, 1, 0): lambda image: image.transpose(1, 0, 2),
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),
    (0, -1, -1, 0): lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    (0, -1, 1, 0): lambda image: np.rot90(image),
}
"""What a display matrix (a, b, c, d) of ISO/IEC 14496-12, 6.2.2, does to a picture; in the order of EXIF's 1 … 8."""
hflip = UPRIGHT[-1, 0, 0, 1]
HFLIP_SEI = "h264_metadata=display_orientation=insert:flip=horizontal"  # at each keyframe with parameter sets


def drawn(count: int = 12) -> list[np.ndarray]:
    """Pictures that look different in every orientation: a ramp, and a square that moves."""
    pictures = []
    for index in range(count):
        image = np.repeat(np.add.outer(np.arange(48) * 2, np.arange(64))[..., None], 3, axis=2).astype(np.uint8)
        image[4:16, index : index + 16] = 250
        pictures.append(image)
    return pictures


def encoded(path: Path, codec: str = "libx264", options: dict[str, str] | None = None, pixels: str = "yuv420p") -> Path:
    """The drawing with a keyframe every 6 pictures."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=24, options=options or {"qp": "0", "bf": "2"})
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = *SIZE, pixels, 6
        stream.codec_context.thread_count = 1
        for index, image in enumerate(drawn()):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def remuxed(
    source: Path, target: Path, edit: Callable[[bytes, bool], bytes] | None = None, bitstream: str = ""
) -> Path:
    """The packets of ``source`` in another file, each through ``edit(data, is_keyframe)`` or a bitstream filter."""
    with av.open(str(source)) as given, av.open(str(target), "w") as container:
        stream = given.streams.video[0]
        out = container.add_stream_from_template(stream)
        filtered = BitStreamFilterContext(bitstream, in_stream=stream, out_stream=out) if bitstream else None
        packet: Any
        for packet in given.demux(stream):
            if packet.size == 0:
                continue
            if edit is not None:
                data = av.Packet(edit(bytes(packet), packet.is_keyframe))
                data.pts, data.dts, data.time_base, data.is_keyframe = (
                    packet.pts, packet.dts, packet.time_base, packet.is_keyframe,
                )  # fmt: skip
                packet = data
            for each in [packet] if filtered is None else filtered.filter(packet):
                each.stream = out
                container.mux(each)
    return target


def with_matrix(path: Path, matrix: Iterable[float]) -> Path:
    """An MP4 with another matrix in ``tkhd``."""
    data = bytearray(path.read_bytes())
    begin = data.index(b"tkhd") + 44
    a, b, c, d = (round(value * ONE) for value in matrix)
    data[begin : begin + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def shown(picture: Picture) -> np.ndarray:
    return thumbnail(picture, picture.display_size, backend="reference").astype(int)


def assert_upright(path: Path, upright: Callable[[np.ndarray], np.ndarray], start_seconds: float | None = None) -> None:
    from acfd_stream.config import VideoConfig

    first = 0 if start_seconds is None else round(start_seconds * 24)
    with open_video(path, VideoConfig(start_seconds=start_seconds)) as video:
        pictures = [shown(frame.picture) for frame in video]
        assert not video.warnings
    assert len(pictures) == 12 - first
    for found, image in zip(pictures, drawn()[first:], strict=True):
        expected = upright(image)
        assert found.shape == expected.shape
        assert np.abs(found - expected).mean() < 2  # the encoder's chroma and rounding; another orientation: above 20


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("matrix", UPRIGHT, ids=str)
def test_each_of_the_eight_matrices_of_a_container_is_applied(
    tmp_path: Path, matrix: tuple[int, ...], suffix: str
) -> None:
    path = with_matrix(encoded(tmp_path / "given.mp4"), matrix)
    assert_upright(path if suffix == "mp4" else remuxed(path, tmp_path / f"clip.{suffix}"), UPRIGHT[matrix])


@pytest.mark.parametrize("start_seconds", [None, 0.25, 0.375])
@pytest.mark.parametrize(("given", "suffix"), [("ts", "ts"), ("mp4", "mkv"), ("ts", "h264")])
def test_an_h264_sei_holds_for_all_frames(tmp_path: Path, given: str, suffix: str, start_seconds: float | None) -> None:
    path = remuxed(encoded(tmp_path / f"plain.{given}"), tmp_path / f"clip.{suffix}", bitstream=HFLIP_SEI)
    assert_upright(path, hflip, None if suffix == "h264" else start_seconds)


def hevc_sei(flips: str, quarter_turns: int, cancel: int = 0) -> bytes:
    """An SEI message display_orientation: cancel flag, both flips, the turn in 1 / 65536, persistence flag."""
    bits = f"{cancel}{flips}{quarter_turns << 14:016b}11".ljust(24, "0")
    return b"\0\0\0\1\x4e\x01" + bytes([47, 3]) + int(bits, 2).to_bytes(3, "big") + b"\x80"


def with_hevc_sei(folder: Path, *messages: bytes) -> Path:
    """An H.265 clip with a message at each keyframe."""
    options = {"x265-params": "log-level=none:lossless=1:keyint=6:bframes=2:open-gop=0:repeat-headers=1"}
    left = list(messages)

    def edit(data: bytes, is_keyframe: bool) -> bytes:
        slices = re.search(rb"\x00\x00\x01[\x26\x28\x2a]", data) if is_keyframe else None  # IDR or CRA
        return data if slices is None else data[: slices.start()] + left.pop(0) + data[slices.start() :]

    return remuxed(encoded(folder / "plain.ts", "libx265", options), folder / "clip.ts", edit)


@pytest.mark.parametrize(
    ("flips", "quarter_turns", "matrix"), [("10", 0, (-1, 0, 0, 1)), ("01", 0, (1, 0, 0, -1)), ("00", 1, (0, -1, 1, 0))]
)
def test_an_hevc_sei_is_applied(tmp_path: Path, flips: str, quarter_turns: int, matrix: tuple[int, ...]) -> None:
    assert_upright(with_hevc_sei(tmp_path, *[hevc_sei(flips, quarter_turns)] * 2), UPRIGHT[matrix])


@pytest.mark.parametrize(
    ("then", "matrix"), [(hevc_sei("10", 0, cancel=1), (1, 0, 0, 1)), (hevc_sei("01", 0), (1, 0, 0, -1))]
)
def test_an_orientation_that_changes_in_mid_stream_is_followed(
    tmp_path: Path, then: bytes, matrix: tuple[int, ...]
) -> None:
    with open_video(with_hevc_sei(tmp_path, hevc_sei("10", 0), then)) as video:
        pictures = [shown(frame.picture) for frame in video]
    for index, (found, image) in enumerate(zip(pictures, drawn(), strict=True)):
        assert np.abs(found - (hflip(image) if index < 6 else UPRIGHT[matrix](image))).mean() < 2, index


def test_the_matrix_of_the_container_comes_before_that_of_an_sei(tmp_path: Path) -> None:
    plain = encoded(tmp_path / "plain.mp4")
    path = remuxed(plain, tmp_path / "clip.mp4", bitstream=HFLIP_SEI)
    assert_upright(with_matrix(path, (0, 1, -1, 0)), UPRIGHT[0, 1, -1, 0])


def with_exif(orientation: int) -> bytes:
    """A JPEG of the first picture."""
    _, data = cv2.imencode(".jpg", drawn()[0], [cv2.IMWRITE_JPEG_QUALITY, 98])
    tiff = b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1" + struct.pack(">H", orientation) + bytes(6)
    exif = b"Exif\0\0" + tiff
    return data.tobytes()[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data.tobytes()[2:]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_a_still_as_a_video_and_as_a_picture(tmp_path: Path, orientation: int) -> None:
    from acfd_stream.picture_files import read_picture
    from acfd_stream.video.still import decode_still

    path = tmp_path / "still.jpg"
    path.write_bytes(with_exif(orientation))
    expected = list(UPRIGHT.values())[orientation - 1](drawn()[0])
    with open_video(path) as video:
        as_video = shown(next(iter(video)).picture)
    for found in (as_video, read_picture(path), decode_still(path.read_bytes(), 10_000)):
        assert found.shape == expected.shape
        assert np.abs(found - expected.astype(int)).mean() < 4


@pytest.mark.parametrize("matrix", [(0.9, 0.4, -0.4, 0.9), (1, 0, 0.5, 1), (0, 0, 0, 0)], ids=str)
def test_a_matrix_far_from_all_orientations_is_warned_of(tmp_path: Path, matrix: tuple[float, ...]) -> None:
    with open_video(with_matrix(encoded(tmp_path / "clip.mp4"), matrix)) as video:
        assert {frame.picture.rotation for frame in video} == {0}
        assert [warning for warning in video.warnings if "display matrix" in warning]


def test_scale_is_no_orientation() -> None:
    for scale in (0.01, 0.5, 3):
        for index, (a, b, c, d) in enumerate(UPRIGHT):
            found, distance = orientation_of(tuple(round(v * scale * ONE) for v in (a, b, 0, c, d, 0, 0, 0, 0)))
            assert distance < 1e-9
            assert found == Orientation(index in (1, 3, 4, 6), (0, 180, 180, 0, 90, 90, 270, 270)[index])
    assert orientation_of((ONE, 0, 0, 0, -ONE * 2, 0, 0, 0, 0)) == (Orientation(is_flipped=True), 0.0)
