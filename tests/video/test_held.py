"""Held drawings: what repeats a drawing and what does not, on pictures drawn here and on encoded cartoons."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.model.toon import render
from acfd_stream.model.toon.encode import write_clip
from acfd_stream.types import Picture, PixelFormat
from acfd_stream.video import open_video
from acfd_stream.video.held import (
    FRAMES_KEPT,
    LEAST_LIMIT,
    MOST_LIMIT,
    UNKNOWN_LIMIT,
    HeldFrameDetector,
    HeldState,
    limit_for,
)

SIZE = (360, 640)
NOISE = np.random.default_rng(5)


def face(mouth: int = 2, left: int = 300, level: float = 1.0) -> np.ndarray:
    """Luma of a small face before bars; ``mouth`` is how high the mouth is open, pixels."""
    luma = (np.mgrid[0 : SIZE[0], 0 : SIZE[1]].sum(0) // 40 % 2 * 60 + 60).astype(np.float32)
    luma[160:200, left : left + 34] = 190
    luma[170:174, left + 8 : left + 12] = luma[170:174, left + 22 : left + 26] = 30
    luma[188 : 188 + mouth, left + 11 : left + 23] = 40
    return 16 + (luma - 16) * level


def picture(luma: np.ndarray, noise: float = 0.0, chroma: int = 128) -> Picture:
    planes = [luma, *[np.full((luma.shape[0] // 2, luma.shape[1] // 2), chroma)] * 2]
    noisy = tuple(
        np.clip(plane + NOISE.normal(0, max(noise, 1e-9), plane.shape), 0, 255).round().astype(np.uint8)
        for plane in planes
    )
    return Picture(noisy, PixelFormat.YUV420P, luma.shape)


def is_held(*pictures: Picture) -> list[bool]:
    detector = HeldFrameDetector()
    return [detector.push(one) for one in pictures]


@pytest.mark.parametrize("noise", [0.0, 1.0, 4.0])
def test_a_repeat_under_noise_is_held_and_a_small_mouth_is_not(noise: float) -> None:
    frames = [picture(face(mouth), noise) for mouth in (2, 2, 6, 6, 2, 2)]
    assert is_held(*frames) == [False, True, False, True, False, True]


def test_closed_eyes_are_another_drawing() -> None:
    blinking = face()
    blinking[170:172, 308:312] = blinking[170:172, 322:326] = 190
    assert is_held(picture(face()), picture(blinking)) == [False, False]


def test_a_fade_of_a_drawing_is_a_repeat_until_it_is_faint() -> None:
    frames = [picture(face(level=level)) for level in (1.0, 0.9, 0.8, 0.5, 0.45)]
    assert is_held(*frames) == [False, True, True, False, True]


def test_a_mouth_that_opens_in_a_fade_is_seen() -> None:
    assert is_held(picture(face(2)), picture(face(6, level=0.85))) == [False, False]


def test_a_colour_alone_makes_another_drawing() -> None:
    assert is_held(picture(face()), picture(face(), chroma=170)) == [False, False]


def test_slow_motion_does_not_creep() -> None:
    held = is_held(*[picture(face(left=300 + step)) for step in range(12)])
    assert sum(held) <= 6  # a pixel may pass, the next one is compared with the same drawing


def test_a_pan_is_no_repeat() -> None:
    held = is_held(*[picture(np.roll(face(), 3 * step, 1)) for step in range(6)])
    assert not any(held)


def test_flat_frames_repeat_each_other_and_nothing_else() -> None:
    black, white = (picture(np.full(SIZE, level, np.float32)) for level in (16, 235))
    assert is_held(black, black, white, white, picture(face()), black) == [False, True, False, True, False, False]


def test_another_size_or_layout_is_another_drawing() -> None:
    small = picture(face()[:180, :320])
    deep = replace(small, planes=tuple(plane.astype(np.uint16) << 2 for plane in small.planes), bit_depth=10)
    assert is_held(small, picture(face()), small, deep, deep) == [False, False, False, False, True]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 700), (1090, 1920)])
def test_pictures_of_any_size_are_compared(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = Picture.from_rgb(rng.integers(0, 256, (*size, 3)).astype(np.uint8))
    other = Picture.from_rgb(255 - image.planes[0])
    assert is_held(image, image, other) == [False, True, False]


def test_memory_survives_json() -> None:
    frames = [picture(face(mouth), 2.0) for mouth in (2, 2, 6, 6, 6, 3, 3, 3)]
    for cut in range(len(frames)):
        detector, other = HeldFrameDetector(), HeldFrameDetector()
        first = [detector.push(frame) for frame in frames[:cut]]
        other.state = HeldState.from_values(json.loads(json.dumps(detector.state.values())))
        assert first + [other.push(frame) for frame in frames[cut:]] == is_held(*frames)


def test_the_limit_goes_by_how_coarse_the_codec_is() -> None:
    assert limit_for([]) == limit_for([0.3] * 5) == UNKNOWN_LIMIT
    assert limit_for([0.01, 1.2] * 6) == LEAST_LIMIT  # a good codec
    assert limit_for([0.1, 1.5] * 6) == pytest.approx(0.3)
    assert limit_for([0.3, 1.8] * 6) == MOST_LIMIT
    assert limit_for([0.3, 0.35, 0.4] * 6) == UNKNOWN_LIMIT  # all alike: slow motion


@pytest.mark.parametrize("step", [0.02, 0.1, 0.2, 0.5])
def test_steady_motion_lets_no_more_than_every_other_frame_pass(step: float) -> None:
    shares: tuple[float, ...] = ()
    behind = held = most = 0
    for _ in range(200):
        behind += 1
        share = min(2.0, step * behind**2)
        is_held = share < limit_for(shares)
        shares = (*shares, share)[-FRAMES_KEPT:]
        behind = behind if is_held else 0
        held, most = held + is_held, max(most, behind)
    assert most * step**0.5 < MOST_LIMIT**0.5  # the faces of a held frame are never further behind than this
    assert held <= (200 if step < 0.1 else 100)
    assert held == 0 or step < UNKNOWN_LIMIT


def test_an_encoded_cartoon(tmp_path: Path) -> None:
    clip = render("quiet", 5, SIZE, 24)
    clip.frame_count = 36
    truth = write_clip(tmp_path / "clip.mp4", clip, crf=23)
    with open_video(tmp_path / "clip.mp4", VideoConfig()) as frames:
        said = is_held(*[frame.picture for frame in frames])
    repeats = [frame.held for frame in truth.frames]
    assert sum(repeats) == 18
    assert all(own for own, repeat in zip(said, repeats, strict=True) if repeat)
    assert sum(said) < 30  # what is drawn anew shows, where more than the eyes' corners glides
