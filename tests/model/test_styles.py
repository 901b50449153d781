"""Line art, pasted figures and tiny faces: the picture changes, the truth stays true."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.errors import ConfigError
from acfd_stream.model.augment import AugmentConfig, make_example
from acfd_stream.model.datasets import DrawnSource, SpriteSource
from acfd_stream.model.readers import FACE, IGNORE
from acfd_stream.model.styles import lay_figure, line_art, old_film

PLAIN = {"mosaic": 0.0, "grey": 0.0, "blur": 0.0, "grain": 0.0, "compression": 0.0}


def figure(side: int) -> np.ndarray:
    """A blue square that covers all of itself."""
    return np.dstack([np.full((side, side, 3), (0, 0, 255), np.uint8), np.full((side, side), 255, np.uint8)])


def test_line_art_keeps_edges_dark_and_fills_pale() -> None:
    image = np.full((80, 80, 3), (200, 60, 60), np.uint8)
    image[:, 40:] = (60, 60, 200)
    for seed in range(5):
        drawn = line_art(image, np.random.default_rng(seed)).astype(int)
        assert drawn.shape == image.shape
        assert drawn[:, 36:44].mean(2).min() < drawn[:, 5:30].mean() - 30  # the edge is inked
        assert np.ptp(drawn[10:70, 5:30], axis=(0, 1)).max() < 12  # a fill stays flat


def test_an_old_film_has_one_tone_and_keeps_what_is_drawn() -> None:
    image = np.full((80, 120, 3), (230, 200, 40), np.uint8)
    image[20:60, 40:80] = (20, 40, 90)
    for seed in range(8):
        print_ = old_film(image, np.random.default_rng(seed)).astype(float)
        assert print_.shape == image.shape
        reddest = print_[..., 0] - print_.max(2)
        assert (reddest == 0).all()  # no colour but the one of the tint
        assert print_[25:55, 45:75].mean() < print_[:, :30].mean() - 15
        assert print_[25:55, 45:75, 0].std() > 1  # grain


def test_pictures_become_old_films_where_they_are_asked_to() -> None:
    pictures = DrawnSource(count=4)
    asked = AugmentConfig(**PLAIN, film=1.0)
    image, _, _ = make_example([pictures], np.ones(1), 96, np.random.default_rng(3), asked)
    ratio = image[..., 2].astype(float).sum() / image[..., 0].sum()
    spread = np.abs(image[..., 2] - image[..., 0] * ratio)
    assert spread.max() < 4


def test_a_figure_brings_its_face_and_hides_what_it_covers() -> None:
    scene = np.zeros((100, 100, 3), np.uint8)
    truth = np.array([[10, 10, 20, 20], [35, 35, 60, 60]], np.float32), np.array([FACE, FACE], np.int8)
    boxes, kinds = lay_figure(scene, truth, figure(20), np.array([2, 2, 12, 12], np.float32), (8, 8))
    assert boxes.tolist() == [[10, 10, 20, 20], [35, 35, 60, 60], [10, 10, 20, 20]]
    assert kinds.tolist() == [IGNORE, FACE, FACE]
    assert (scene[8:28, 8:28] == (0, 0, 255)).all()
    assert truth[1].tolist() == [FACE, FACE]


def test_a_figure_whose_face_is_cut_off_brings_none() -> None:
    scene = np.zeros((50, 50, 3), np.uint8)
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int8)
    boxes, kinds = lay_figure(scene, empty, figure(20), np.array([0, 0, 8, 8], np.float32), (-6, 10))
    assert (len(boxes), len(kinds)) == (0, 0)
    assert (scene[10:30, :14] == (0, 0, 255)).all()


@pytest.fixture
def figures(tmp_path: Path) -> SpriteSource:
    for folder in ("sprites", "backgrounds"):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / "sprites/a.png"), cv2.cvtColor(figure(60), cv2.COLOR_RGBA2BGRA))
    (tmp_path / "sprites/sprites.json").write_text(json.dumps([{"file_name": "a.png", "box_xyxy": [0, 0, 60, 60]}]))
    cv2.imwrite(str(tmp_path / "backgrounds/b.webp"), np.full((120, 160, 3), 128, np.uint8))
    return SpriteSource(tmp_path / "sprites", tmp_path / "backgrounds")


class Grey:
    """Grey pictures without faces."""

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.full((100, 150, 3), 128, np.uint8), np.zeros((0, 4), np.float32), np.zeros(0, np.int8)


def test_figures_are_pasted_where_the_config_asks_for_them(figures: SpriteSource) -> None:
    for paste, expected in ((0.0, 0), (1.0, 1)):
        config, rng = AugmentConfig(paste=paste, **PLAIN), np.random.default_rng(1)
        examples = [make_example([Grey(), figures], np.array([1.0, 0.0]), 96, rng, config) for _ in range(30)]
        assert (sum((kinds == FACE).sum() for *_, kinds in examples) > 15) == bool(expected)
    assert (figures.backgrounds[0] == 128).all()


class Square:
    """A red square of 60 pixels, its face."""

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        image = np.full((200, 300, 3), 128, np.uint8)
        image[80:140, 100:160] = (255, 0, 0)
        return image, np.array([[100, 80, 160, 140]], np.float32), np.array([FACE], np.int8)


def test_faces_are_brought_to_the_tiny_sides_that_are_asked_for() -> None:
    config, rng = AugmentConfig(tiny=1.0, aspect=1.0, **PLAIN), np.random.default_rng(2)
    sides = []
    for _ in range(40):
        image, boxes, kinds = make_example([Square()], np.ones(1), 128, rng, config)
        sides += [float(box[2] - box[0]) for box in boxes[kinds == FACE]]
        assert image.shape == (128, 128, 3)
    assert 7.5 < min(sides) < max(sides) < 20.5


def test_figures_without_their_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sprites\.json: cannot be read"):
        SpriteSource(tmp_path, tmp_path)


def test_drawn_training_pictures_keep_off_the_scored_numbers() -> None:
    with pytest.raises(ConfigError, match="numbers below 1000000"):
        DrawnSource(count=2, seed=999_999)
    with pytest.raises(ConfigError, match="any, crowds, lineart, small"):
        DrawnSource(count=1, what="hands")
    assert len(DrawnSource(count=1, what="small").examples[0][1]) > 0
