"""What only a GPU can show: NVDEC's frames are the CPU's, pixel for pixel, and stay on the device up to the faces.

``make test-gpu`` runs these and the GPU's share of the other rooms' tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from acfd_stream import ops
from acfd_stream.config import Pace, PaceConfig, VideoConfig
from acfd_stream.ops.anchors import Letterbox
from acfd_stream.types import Picture, PixelFormat
from acfd_stream.video.frame import Frame
from tests.pipeline.conftest import CUT, DETECT, FRAMES, SIZE, face_box
from tests.pipeline.conftest import write_clip as write_face_clip
from tests.video.test_device_planes import SIZES, assert_same, drawn

ROOT = Path(__file__).resolve().parent.parent
HELD = 96
"""Frames that are held at once: more than any decoder has surfaces."""


def test_without_a_gpu_these_tests_say_so_and_fail() -> None:
    environment = os.environ | {"FAIL_WITHOUT_GPU": "1", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "gpu", "-k", "starts", __file__]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        "needs a CUDA device, and the driver of this machine offers none; nothing was run" in done.stdout + done.stderr
    )
    assert " passed" not in done.stdout


@pytest.mark.gpu
def test_a_cuda_device_starts(cuda_device_count: int) -> None:
    assert cuda_device_count >= 1


@pytest.mark.gpu
def test_nvdec_works() -> None:
    from acfd_stream.video.nvdec import choose_decoder, why_no_nvdec

    assert why_no_nvdec() == ""
    assert choose_decoder("auto", "cuda").name == "nvdec"


def moving_clip(folder: Path, codec: str, size: tuple[int, int], pixel_format: str, frames: int = 40) -> Path:
    """Blocks of noise that drift, with B frames, not lossless: NVDEC does not take H.264 that is."""
    path = folder / f"{codec}.mkv"
    paper = np.random.default_rng(3).integers(0, 256, (size[0] // 8 + 9, size[1] // 8 + 9, 3), np.uint8)
    paper = paper.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, options={"crf": "24"} if codec.startswith("lib") else {})
        stream.height, stream.width, stream.pix_fmt = *size, pixel_format
        stream.codec_context.gop_size = 12
        for index in range(frames):
            image = np.ascontiguousarray(paper[index : index + size[0], index // 2 : index // 2 + size[1]])
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = index, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def frames_of(clip: Path, device: str, decoder: str = "auto") -> Iterator[tuple[Frame, str]]:
    """Frames, with what decoded them."""
    from acfd_stream.video import open_video

    with open_video(clip, VideoConfig(decoder=decoder), device) as video:
        for frame in video:
            yield frame, video._decoder.decoded_by


def as_nv12(picture: Picture) -> tuple[Any, Any]:
    """Luma and interleaved chroma of 4:2:0 in either layout."""
    if picture.pixel_format is PixelFormat.NV12:
        return picture.planes[0], picture.planes[1]
    return picture.planes[0], np.stack(picture.planes[1:], axis=-1)


def assert_decoded_alike(clip: Path, *, holds_all: bool = False) -> set[str]:
    """Frames on the GPU are those of the CPU; the names of what decoded them."""
    there = frames_of(clip, "cuda")
    kept = list(there) if holds_all else there
    decoders = set()
    for (ours, _), (theirs, decoded_by) in zip(frames_of(clip, "cpu", "cpu"), kept, strict=True):
        decoders.add(decoded_by)
        assert theirs.picture.is_on_device
        assert (ours.index, ours.pts) == (theirs.index, theirs.pts)
        back = theirs.picture.on_host()
        for found, expected in zip(as_nv12(back), as_nv12(ours.picture), strict=True):
            np.testing.assert_array_equal(found, expected)
        same = ("bit_depth", "color_matrix", "transfer", "primaries", "is_full_range", "rotation", "display_size")
        assert [getattr(back, name) for name in same] == [getattr(ours.picture, name) for name in same]
    return decoders


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("codec", "size", "pixel_format"),
    [
        ("libx264", (270, 480), "yuv420p"),
        ("libx264", (1080, 1920), "yuv420p"),
        ("libx265", (272, 480), "yuv420p"),
        ("libx265", (272, 480), "yuv420p10le"),
    ],
)
def test_nvdec_gives_the_pixels_of_the_cpu(
    tmp_path: Path, codec: str, size: tuple[int, int], pixel_format: str
) -> None:
    assert assert_decoded_alike(moving_clip(tmp_path, codec, size, pixel_format)) == {"nvdec"}


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("codec", "size", "pixel_format"),
    [
        ("libvpx-vp9", (257, 319), "yuv420p"),  # of odd sizes PyAV exports too little chroma
        ("libx264", (270, 480), "yuv422p"),  # which NVDEC may take or leave
        ("libx264", (270, 480), "yuv420p10le"),
        ("ffv1", (270, 480), "yuv420p"),
    ],
)
def test_what_nvdec_may_not_take_is_as_good(
    tmp_path: Path, codec: str, size: tuple[int, int], pixel_format: str
) -> None:
    decoders = assert_decoded_alike(moving_clip(tmp_path, codec, size, pixel_format))
    assert decoders <= {"nvdec", "cpu"}


@pytest.mark.gpu
def test_frames_that_are_held_do_not_starve_the_decoder(tmp_path: Path) -> None:
    clip = moving_clip(tmp_path, "libx265", (272, 480), "yuv420p", HELD)
    assert assert_decoded_alike(clip, holds_all=True) == {"nvdec"}


@pytest.mark.gpu
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pixel_format", PixelFormat)
def test_a_picture_that_goes_up_comes_down_as_it_was(pixel_format: PixelFormat, size: tuple[int, int]) -> None:
    from acfd_stream.video.device_planes import device_planes

    device = device_planes()
    pictures = [drawn(pixel_format, size, bit_depth, seed) for seed in range(6) for bit_depth in (8, 10)]
    for there, picture in zip([device.upload(picture) for picture in pictures], pictures, strict=True):
        assert there.is_on_device
        assert_same(there.on_host(), picture)


@pytest.mark.gpu
@pytest.mark.parametrize("pixel_format", PixelFormat)
def test_ops_read_planes_where_they_lie(pixel_format: PixelFormat) -> None:
    from acfd_stream.video.device_planes import device_planes

    picture = drawn(pixel_format, (270, 480))
    there = device_planes().upload(picture)
    for size in ((36, 64), (270, 480)):
        view = Letterbox((288, 480), size, picture.display_size)
        expected = ops.letterbox(picture, view, (1, 2, 3), backend="reference")
        np.testing.assert_array_equal(ops.letterbox(there, view, (1, 2, 3)), expected)


@pytest.fixture
def face_clip(tmp_path: Path) -> Path:
    return write_face_clip(tmp_path / "faces.mp4")


@pytest.fixture
def white_model(tmp_path: Path) -> Path:
    from tests.detect.tiny_model import write_tiny_model

    return write_tiny_model(tmp_path / "tiny.onnx")


@pytest.mark.gpu
@pytest.mark.parametrize("decoder", ["auto", "cpu"])
def test_a_video_becomes_tracks_on_the_gpu(face_clip: Path, white_model: Path, decoder: str) -> None:
    from acfd_stream.pipeline.session import TrackSession

    video = VideoConfig(decoder=decoder)
    with TrackSession(
        str(face_clip), model=white_model, device="cuda", detect_config=DETECT, video_config=video
    ) as session:
        assert session.detector.device == "cuda"
        results = list(session)
        assert session.is_complete
    assert len(results) == FRAMES
    assert [result.shot for result in results] == [0] * CUT + [1] * (FRAMES - CUT)
    for result in results:
        (face,) = result.faces
        np.testing.assert_allclose(face.box_xyxy, face_box(result.index), atol=5)
    assert len({face.track_id for result in results for face in result.faces}) == 2
    assert SIZE == (96, 128)


@pytest.mark.gpu
def test_the_same_video_gives_the_same_results_twice(face_clip: Path, white_model: Path) -> None:
    from acfd_stream.pipeline.track_video import track_video

    first, second = (
        list(track_video(str(face_clip), model=white_model, device="cuda", detect_config=replace(DETECT, batch=batch)))
        for batch in (1, 4)
    )
    assert first == second


@pytest.mark.gpu
def test_a_live_stream_is_answered_frame_by_frame(face_clip: Path, white_model: Path) -> None:
    from acfd_stream.detect import Detector
    from acfd_stream.pipeline.session import TrackSession

    with Detector.open(white_model, "cuda", DETECT) as detector:
        pace = PaceConfig(Pace.LIVE, objective_seconds=1000.0, stale_seconds=1000.0)
        with TrackSession(str(face_clip), detector=detector, pace=pace) as session:
            results = list(session)
    assert [result.index for result in results] == list(range(FRAMES))
