"""Shot changes of small drawn scenes with known cuts, fades, dissolves and flashes; and of real clips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from acfd_stream.config import ShotConfig
from acfd_stream.errors import ConfigError
from acfd_stream.model.toon import render
from acfd_stream.types import Picture, ShotChange
from acfd_stream.video.shots import ShotDetector

Image = NDArray[np.uint8]  # [180, 320, 3]
CUT, FADE = ShotChange.CUT, ShotChange.FADE


def backdrop(seed: int) -> Image:
    """A wide drawn scene, [180, 960, 3]: sky, ground, and flat shapes with outlines."""
    rng = np.random.default_rng(seed)
    image = np.empty((180, 960, 3), np.uint8)
    image[:110], image[110:] = rng.integers(100, 250, 3), rng.integers(60, 200, 3)
    for _ in range(40):
        center = (int(rng.integers(0, 960)), int(rng.integers(20, 170)))
        axes = (int(rng.integers(8, 45)), int(rng.integers(8, 35)))
        color = tuple(int(c) for c in rng.integers(20, 255, 3))
        cv2.ellipse(image, center, axes, 0, 0, 360, color, -1)
        cv2.ellipse(image, center, axes, 0, 0, 360, (10, 10, 10), 2)
    return image


def shot(seed: int, frames: int = 24, hold: int = 2, pan: int = 0, speed: int = 4) -> list[Image]:
    """A character that walks over a backdrop, a drawing every ``hold`` frames, ``pan`` px of camera a frame."""
    wide, images = backdrop(seed), []
    for frame in range(frames):
        drawn = frame // hold * hold
        left = min(640, pan * drawn)
        image = wide[:, left : left + 320].copy()
        center = (40 + speed * drawn, 110 + int(8 * np.sin(drawn / 2)))
        cv2.circle(image, center, 30, (240, 200, 160), -1)
        cv2.circle(image, center, 30, (0, 0, 0), 2)
        images.append(image)
    return images


def scaled(images: Sequence[Image], first: float, last: float) -> list[Image]:
    """Brightness from ``first`` to ``last``, over all images."""
    levels = np.linspace(first, last, len(images))
    return [np.round(image * level).astype(np.uint8) for image, level in zip(images, levels, strict=True)]


def changes(images: Sequence[Image], config: ShotConfig | None = None) -> dict[int, ShotChange]:
    """Verdicts other than None, by frame."""
    detector = ShotDetector(config)
    verdicts = [verdict for image in images for verdict in detector.push(Picture.from_rgb(image))]
    verdicts += detector.flush()
    assert len(verdicts) == len(images)
    return {index: verdict for index, verdict in enumerate(verdicts) if verdict is not None}


@pytest.mark.parametrize("hold", [1, 2, 3])
def test_hard_cuts_are_found_at_the_first_frame_of_the_shot(hold: int) -> None:
    clip = [image for seed in range(6) for image in shot(seed, hold=hold)]
    assert changes(clip) == {24 * i: CUT for i in range(1, 6)}


@pytest.mark.parametrize(("pan", "hold"), [(3, 1), (5, 1), (5, 2), (4, 3)])
def test_pans_are_no_cuts(pan: int, hold: int) -> None:
    assert changes(shot(1, 60, hold, pan)) == {}


def test_fast_motion_and_held_drawings_are_no_cuts() -> None:
    assert changes(shot(2, 40, hold=1, speed=9) + shot(2, 1) * 10) == {}


def test_a_zoom_is_no_cut() -> None:
    image = shot(3, 1)[0]
    turns = [cv2.getRotationMatrix2D((160, 90), 0, 1 + 0.03 * i) for i in range(40)]
    assert changes([cv2.warpAffine(image, turn, (320, 180)) for turn in turns]) == {}


@pytest.mark.parametrize("kind", ["white", "black", "inverted", "red", "pale", "other"])
@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_flash_is_no_cut(kind: str, length: int) -> None:
    clip = shot(4, 40)
    for index in range(18, 18 + length):
        image = clip[index]
        clip[index] = {
            "white": np.full_like(image, 255),
            "black": np.zeros_like(image),
            "inverted": 255 - image,
            "red": np.broadcast_to(np.array([220, 20, 20], np.uint8), image.shape),
            "pale": (image // 4 + 190).astype(np.uint8),
            "other": shot(99, 1)[0],
        }[kind]
    assert changes(clip) == {}


@pytest.mark.parametrize("level", [0, 255])
def test_a_fade_through_one_colour_is_a_fade_where_the_new_picture_shows(level: int) -> None:
    old, new = shot(5, 36), shot(6, 36)
    away, back = scaled(old[24:], 1, 0), scaled(new[:12], 0, 1)
    clip = old[:24] + away + [np.zeros_like(old[0])] * 4 + back + new[12:]
    if level:
        clip = old[:24] + [255 - i for i in scaled([255 - i for i in old[24:]], 1, 0)]
        clip += [np.full_like(old[0], 255)] * 4
        clip += [255 - i for i in scaled([255 - i for i in new[:12]], 0, 1)] + new[12:]
    found = changes(clip)
    assert list(found.values()) == [FADE]
    assert 40 <= next(iter(found)) <= 43


def test_a_fade_out_at_the_end_is_no_change() -> None:
    clip = shot(7, 48)
    assert changes(clip[:24] + scaled(clip[24:], 1, 0) + [np.zeros_like(clip[0])] * 12) == {}


def test_black_between_two_shots_gives_a_cut_at_the_second() -> None:
    clip = shot(8, 24) + [np.zeros((180, 320, 3), np.uint8)] * 8 + shot(9, 24)
    assert changes(clip) == {32: CUT}


@pytest.mark.parametrize("length", [8, 12, 20])
def test_a_dissolve_is_one_fade_within_it(length: int) -> None:
    old, new = shot(10, 24 + length, speed=1), shot(11, 40 + length, speed=1)
    mixed = [
        cv2.addWeighted(new[i], (i + 1) / (length + 1), old[24 + i], 1 - (i + 1) / (length + 1), 0)
        for i in range(length)
    ]
    found = changes(old[:24] + mixed + new[length:])
    assert list(found.values()) == [FADE]
    assert 24 <= next(iter(found)) <= 24 + length


def test_a_restored_detector_goes_on_the_same_from_every_frame() -> None:
    black = np.zeros((180, 320, 3), np.uint8)
    clip = [Picture.from_rgb(i) for i in [*shot(0, 12), *shot(1, 9), *[black] * 7, *shot(2, 10)]]
    whole = ShotDetector()
    verdicts = [v for picture in clip for v in whole.push(picture)] + whole.flush()
    runner = ShotDetector()
    for split in range(0, len(clip), 2):
        second = ShotDetector()
        second.restore(json.loads(json.dumps(runner.state())))
        rest = [v for picture in clip[split:] for v in second.push(picture)] + second.flush()
        assert rest == verdicts[len(verdicts) - len(rest) :]
        for picture in clip[split : split + 2]:
            runner.push(picture)


def test_verdicts_come_as_late_as_stated_and_flush_empties() -> None:
    detector = ShotDetector(ShotConfig(lookahead_frames=3))
    counts = [len(detector.push(Picture.from_rgb(image))) for image in shot(0, 6)]
    assert counts == [0, 0, 0, 1, 1, 1]
    assert detector.flush() == [None] * 3
    assert detector.flush() == []


def test_a_state_of_another_config_is_refused() -> None:
    state = ShotDetector(ShotConfig(lookahead_frames=3)).state()
    with pytest.raises(ConfigError, match="same config"):
        ShotDetector().restore(state)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bbb_720p_24s.mp4", dict.fromkeys((5, 47, 84, 118, 184, 236, 397, 412, 476, 535), CUT)),
        ("pennychip_reading.mp4", {}),
    ],
)
def test_cuts_of_real_clips_are_those_a_person_sees(shared: Path, name: str, expected: dict[int, ShotChange]) -> None:
    with av.open(str(shared / "videos" / name)) as container:
        frames = container.decode(container.streams.video[0])
        images = [frame.reformat(320, 180, "rgb24", interpolation="AREA", threads=1).to_ndarray() for frame in frames]
    assert changes(images) == expected


@pytest.mark.parametrize(("plan", "seed"), [("cuts", 0), ("flashes", 1), ("fades", 0), ("threes", 0)])
def test_changes_of_drawn_clips_are_those_that_were_drawn(plan: str, seed: int) -> None:
    clip = render(plan, seed, size=(144, 256))
    found = sorted(changes([np.ascontiguousarray(pixels) for pixels, _ in clip]))
    expected = [change for change in clip.truth.changes if change.at is not None]
    assert len(found) == len(expected)
    for frame, change in zip(found, expected, strict=True):
        assert change.first <= frame <= change.last + 1, change


def test_without_lookahead_every_verdict_comes_with_its_frame() -> None:
    images = [*shot(1, pan=2), *shot(2), *shot(3, frames=12), *[np.zeros((180, 320, 3), np.uint8)] * 3, *shot(4)]
    detector = ShotDetector(ShotConfig(lookahead_frames=0))
    verdicts = [detector.push(Picture.from_rgb(image)) for image in images]
    assert all(len(verdict) == 1 for verdict in verdicts)
    assert {index: verdict for index, (verdict,) in enumerate(verdicts) if verdict} == dict.fromkeys((24, 48, 63), CUT)
    assert detector.flush() == []
