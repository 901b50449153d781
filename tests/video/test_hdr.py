"""HDR and BT.2020 video: drawn pictures are made HDR by the standards' formulas, and come back in SDR colours."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from acfd_stream.detect import Detector
from acfd_stream.model.toon import picture as draw
from acfd_stream.ops import thumbnail
from acfd_stream.types import ColorMatrix, FrameResult, Primaries, Transfer
from acfd_stream.video import open_video
from acfd_stream.video.frame import Frame
from acfd_stream.video.render import OverlayWriter
from acfd_stream.video.snapshot import drawn_jpeg
from tests.ops.test_tone_map import hlg_of, pq_of

Image = NDArray[np.uint8]

SIZE = (216, 384)
WHITE = 203.0  # cd/m²
BT709, BT2020, P3, PQ, HLG, UNSPECIFIED = 1, 9, 12, 16, 18, 2  # of ITU-T H.273; as matrix 9 is BT.2020
# Linear BT.709 to others: ITU-R BT.2087, and SMPTE EG 432-1 with the same white.
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
TO_P3 = np.array([[0.8225, 0.1775, 0.0], [0.0332, 0.9668, 0.0], [0.0171, 0.0724, 0.9105]])
TO = {BT709: np.eye(3), BT2020: TO_BT2020, P3: TO_P3}
LUMA = {5: (0.299, 0.114), BT709: (0.2126, 0.0722), BT2020: (0.2627, 0.0593)}
LEAST_PSNR = 30.0  # dB; codecs take most of it
CLEAR = 0.5  # score of a face beyond doubt; the drawing has two


def psnr(found: Image, expected: Image) -> float:
    return float(10 * np.log10(255**2 / np.mean((found.astype(float) - expected) ** 2)))


def signal_of(image: Image, transfer: int, primaries: int) -> NDArray[np.float64]:
    """The signal 0 … 1 [H, W, 3] by which an HDR or wide display shows ``image`` as an SDR display does."""
    light = (image / 255.0) ** 2.4 @ TO[primaries].T
    if transfer == PQ:
        return np.asarray(pq_of(WHITE * light))
    return np.asarray(hlg_of(WHITE * light)) if transfer == HLG else light ** (1 / 2.4)


def frame_of(signal: NDArray[np.float64], pixel_format: str, matrix: int) -> av.VideoFrame:
    """YCbCr of limited range, the chroma of a group of pixels its mean."""
    frame = av.VideoFrame(SIZE[1], SIZE[0], pixel_format)
    kr, kb = LUMA[matrix]
    luma = signal @ [kr, 1 - kr - kb, kb]
    channels = [
        16 + 219 * luma,
        128 + 224 * (signal[..., 2] - luma) / (2 - 2 * kb),
        128 + 224 * (signal[..., 0] - luma) / (2 - 2 * kr),
    ]
    bits = frame.format.components[0].bits
    dtype = np.uint8 if bits == 8 else np.dtype("<u2")
    for plane, channel in zip(frame.planes, channels, strict=True):
        rows, columns = SIZE[0] // plane.height, SIZE[1] // plane.width
        means = channel.reshape(plane.height, rows, plane.width, columns).mean(axis=(1, 3))
        memory = np.zeros((plane.height, plane.line_size // np.dtype(dtype).itemsize), dtype)
        memory[:, : plane.width] = np.round(means * 2 ** (bits - 8))
        plane.update(memory.tobytes())
    return frame


def write_clip(
    path: Path,
    image: Image,
    codec: str = "ffv1",
    pixel_format: str = "yuv420p10le",
    tags: tuple[int, int, int] = (PQ, BT2020, BT2020),
    *,
    is_tagged: bool = True,
) -> Path:
    """Three pictures of ``image``; ``tags`` are transfer, primaries and matrix."""
    transfer, primaries, matrix = tags
    frame = frame_of(signal_of(image, transfer, primaries), pixel_format, matrix)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.height, stream.width, stream.pix_fmt = *SIZE, pixel_format
        if codec == "libx265":
            stream.options = {"preset": "ultrafast", "crf": "12", "x265-params": "log-level=none:pools=1"}
        context = stream.codec_context
        context.thread_count = 1
        for each in (context, frame) if is_tagged else ():
            each.color_trc, each.color_primaries, each.colorspace, each.color_range = transfer, primaries, matrix, 1
        for pts in range(3):
            frame.pts, frame.time_base = pts, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def shown(path: Path) -> Image:
    """The first picture as every reader of levels gets it."""
    with open_video(path) as video:
        return thumbnail(next(iter(video)).picture, SIZE)


@pytest.fixture(scope="module")
def image() -> Image:
    return draw(np.random.default_rng(10), SIZE)[0]


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("hevc.mp4", "libx265", "yuv420p10le"),
        ("hevc12.mp4", "libx265", "yuv420p12le"),
        ("av1.mkv", "libsvtav1", "yuv420p10le"),
        ("prores.mov", "prores_ks", "yuv422p10le"),
        ("prores444.mov", "prores_ks", "yuv444p10le"),
        ("ffv1.mkv", "ffv1", "yuv444p12le"),
        ("ffv1.mkv", "ffv1", "yuv420p16le"),
    ],
)
@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_of_every_codec_and_layout_is_shown_in_sdr_colours(
    name: str, codec: str, pixel_format: str, transfer: int, tmp_path: Path, image: Image
) -> None:
    clip = write_clip(tmp_path / name, image, codec, pixel_format, (transfer, BT2020, BT2020))
    assert psnr(shown(clip), image) >= LEAST_PSNR


@pytest.mark.parametrize(
    ("tags", "matrix", "transfer", "primaries"),
    [
        ((PQ, BT709, BT709), ColorMatrix.BT709, Transfer.PQ, Primaries.BT709),
        ((PQ, P3, BT2020), ColorMatrix.BT2020, Transfer.PQ, Primaries.P3),
        ((HLG, BT2020, BT709), ColorMatrix.BT709, Transfer.HLG, Primaries.BT2020),
        ((14, BT2020, BT2020), ColorMatrix.BT2020, Transfer.SDR, Primaries.BT2020),
    ],
)
def test_transfer_primaries_and_matrix_are_followed_each_by_itself(
    tags: tuple[int, int, int],
    matrix: ColorMatrix,
    transfer: Transfer,
    primaries: Primaries,
    tmp_path: Path,
    image: Image,
) -> None:
    clip = write_clip(tmp_path / "clip.mkv", image, pixel_format="yuv444p12le", tags=tags)
    with open_video(clip) as video:
        found = next(iter(video)).picture
    assert (found.color_matrix, found.transfer, found.primaries) == (matrix, transfer, primaries)
    assert psnr(shown(clip), image) >= LEAST_PSNR


def test_without_tags_a_picture_is_sdr(tmp_path: Path, image: Image) -> None:
    clip = write_clip(tmp_path / "clip.mkv", image, is_tagged=False)
    with open_video(clip) as video:
        found = next(iter(video)).picture
    assert (found.color_matrix, found.transfer, found.primaries) == (ColorMatrix.BT601, Transfer.SDR, Primaries.BT709)
    assert psnr(shown(clip), image) < LEAST_PSNR  # the drawing does not look alike in both


def result_of(frame: Frame) -> FrameResult:
    return FrameResult(frame.index, frame.pts, frame.time_base, frame.pts_seconds, ())


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_overlay_and_snapshot_are_sdr_of_bt_709(transfer: int, tmp_path: Path, image: Image) -> None:
    clip = write_clip(tmp_path / "clip.mkv", image, tags=(transfer, BT2020, BT2020))
    target = tmp_path / "overlay.mp4"
    with open_video(clip) as video, OverlayWriter(target, is_drawn=False) as writer:
        for frame in video:
            writer.write(frame, result_of(frame))
    with av.open(str(target)) as container:
        drawn = next(container.decode(video=0))
    assert (drawn.color_trc, drawn.color_primaries, drawn.colorspace) == (BT709, BT709, BT709)
    assert psnr(shown(target), image) >= LEAST_PSNR
    jpeg = cv2.imdecode(
        np.frombuffer(drawn_jpeg(frame, result_of(frame), longer_side=SIZE[1]), np.uint8), cv2.IMREAD_COLOR_RGB
    )
    assert psnr(jpeg[30:], image[30:]) >= LEAST_PSNR  # below the caption


def overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """IoU of two boxes."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(sides.clip(0).prod())
    return shared / (float((one[2:] - one[:2]).prod()) + float((other[2:] - other[:2]).prod()) - shared)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_the_network_sees_the_faces_of_the_sdr_picture(transfer: int, tmp_path: Path, image: Image) -> None:
    sdr = write_clip(tmp_path / "sdr.mkv", image, pixel_format="yuv420p", tags=(BT709, BT709, BT709))
    hdr = write_clip(tmp_path / "hdr.mkv", image, tags=(transfer, BT2020, BT2020))
    with Detector.open("acfd-n", device="cpu") as detector:
        expected, found = (detector.detect(shown(clip)) for clip in (sdr, hdr))
    clear = expected.scores > CLEAR
    assert (found.scores > CLEAR).sum() == clear.sum() == 2
    for box in expected.boxes_xyxy[:2]:
        assert max(overlap(box, other) for other in found.boxes_xyxy[:2]) > 0.7
    np.testing.assert_allclose(found.scores[:2], expected.scores[:2], atol=0.05)
