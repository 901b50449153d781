"""An image file becomes the pixels that OpenCV reads from it, without OpenCV."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.errors import MediaError
from acfd_stream.model.toon import picture
from acfd_stream.video.decode_image import decode_image

SAMPLING = cv2.IMWRITE_JPEG_SAMPLING_FACTOR
LOSSLESS = [".png", ".bmp", ".tiff", ".gif", ".jp2", ".ppm"]
LOSSY = {
    "4:2:0": (".jpg", []),
    "4:2:2": (".jpg", [SAMPLING, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422]),
    "4:4:4": (".jpg", [SAMPLING, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]),
    "progressive": (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 60]),
    "avif": (".avif", []),
}


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """RGB, of an odd height."""
    return np.ascontiguousarray(picture(np.random.default_rng(3), (121, 162))[0])


def encoded(image: np.ndarray, suffix: str, options: list[int] | None = None) -> bytes:
    return cv2.imencode(suffix, np.ascontiguousarray(image[..., ::-1]), options or [])[1].tobytes()


def reference(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_what_loses_nothing_has_equal_pixels(suffix: str, drawn: np.ndarray) -> None:
    data = encoded(drawn, suffix)
    assert np.array_equal(decode_image(data), reference(data))


@pytest.mark.parametrize("name", LOSSY)
def test_what_is_lossy_differs_by_rounding_only(name: str, drawn: np.ndarray) -> None:
    data = encoded(drawn, *LOSSY[name])
    differences = np.abs(decode_image(data).astype(int) - reference(data))
    assert differences.mean() < 0.3
    assert differences.max() <= 4


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_alpha_is_dropped_and_sixteen_bits_become_eight(suffix: str, drawn: np.ndarray) -> None:
    alpha = np.linspace(0, 255, drawn.size // 3, dtype=np.uint8).reshape(*drawn.shape[:2], 1)
    data = cv2.imencode(suffix, np.concatenate([drawn[..., ::-1], alpha], 2), [cv2.IMWRITE_WEBP_QUALITY, 101])[1]
    assert np.array_equal(decode_image(data.tobytes())[alpha[..., 0] > 0], drawn[alpha[..., 0] > 0])
    deep = cv2.imencode(".png", drawn[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    assert np.abs(decode_image(deep).astype(int) - drawn).max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".gif", ".webp", ".avif"])
def test_the_first_picture_of_an_animation_is_decoded(suffix: str, drawn: np.ndarray, tmp_path: Path) -> None:
    moving = cv2.Animation()
    moving.frames, moving.durations = [np.ascontiguousarray(drawn[..., ::-1]), np.zeros_like(drawn)], [100, 100]
    assert cv2.imwriteanimation(str(tmp_path / f"a{suffix}"), moving)
    data = (tmp_path / f"a{suffix}").read_bytes()
    assert np.abs(decode_image(data).astype(int) - reference(data)).max() <= 4
    assert np.abs(reference(data).astype(int) - drawn).mean() < 20  # the other picture: above 100


@pytest.mark.parametrize("suffix", [*LOSSLESS, ".jpg", ".webp", ".avif"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98])
def test_a_part_of_a_picture_is_no_picture(suffix: str, share: float, drawn: np.ndarray) -> None:
    data = encoded(drawn, suffix)
    with pytest.raises(MediaError, match="not a picture, or only part of one"):
        decode_image(data[: int(len(data) * share)])


def test_a_picture_larger_than_its_header_said_is_refused(drawn: np.ndarray) -> None:
    for suffix in (".png", ".jpg", ".webp"):
        assert decode_image(encoded(drawn, suffix), (121, 162)).shape == drawn.shape
        with pytest.raises(MediaError):
            decode_image(encoded(drawn, suffix), (40, 40))
