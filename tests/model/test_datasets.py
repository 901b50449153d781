"""Readers and augmentation: what comes in is what the files say, what goes out is a true example."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.errors import ConfigError, MediaError
from acfd_stream.model.augment import AugmentConfig, make_example
from acfd_stream.model.datasets import PictureSource
from acfd_stream.model.readers import FACE, IGNORE, LOOSE, PARTIAL, Sample, read_coco, read_picture


def coco(folder: Path, **annotation: object) -> Path:
    row = {"id": 7, "image_id": 1, "category_id": 1, "bbox": [10, 20, 30, 40], "iscrowd": 0, **annotation}
    images = [{"id": 1, "file_name": "a.png", "width": 100, "height": 80}]
    path = folder / "set.json"
    path.write_text(json.dumps({"images": images, "annotations": [row], "categories": [{"id": 1}]}))
    return path


def test_coco_boxes_become_corners_and_crowds_are_ignored(tmp_path: Path) -> None:
    for crowd, kind in ((0, FACE), (1, IGNORE)):
        (sample,) = read_coco(coco(tmp_path, iscrowd=crowd), tmp_path)
        assert sample.file == tmp_path / "a.png"
        assert sample.boxes_xyxy.tolist() == [[10, 20, 40, 60]]
        assert sample.kinds.tolist() == [kind]


@pytest.mark.parametrize("box", [[10, 20, 0, 40], [10, 20, 30, -1], [100, 0, 5, 5], [-9, 0, 9, 5]])
def test_bad_box_is_refused_with_its_number(tmp_path: Path, box: list[int]) -> None:
    with pytest.raises(ConfigError, match=r"set\.json: annotation 7 has box"):
        read_coco(coco(tmp_path, bbox=box), tmp_path)


@pytest.mark.parametrize("key", ["category_id", "image_id"])
def test_an_unknown_category_or_picture_is_refused_with_the_number_of_its_box(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"set\.json: annotation 7 has the unknown {key} 5"):
        read_coco(coco(tmp_path, **{key: 5}), tmp_path)


def test_file_that_is_no_coco_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ConfigError, match="is not a COCO file"):
        read_coco(tmp_path / "x.json", tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_coco(tmp_path / "missing.json", tmp_path)
    (tmp_path / "x.json").write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="is not a COCO file"):
        read_coco(tmp_path / "x.json", tmp_path)


def test_two_pictures_of_one_id_are_refused(tmp_path: Path) -> None:
    table = json.loads(coco(tmp_path).read_text())
    table["images"].append({**table["images"][0], "file_name": "b.png"})
    (tmp_path / "set.json").write_text(json.dumps(table))
    with pytest.raises(ConfigError, match=r"set\.json: two images have the same id"):
        read_coco(tmp_path / "set.json", tmp_path)


def test_a_box_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"set\.json: annotation 7: box \[10\.0, 20\.0, inf"):
        read_coco(coco(tmp_path, bbox=[10, 20, float("inf"), 5]), tmp_path)


def test_missing_and_broken_pictures_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot be read"):
        read_picture(tmp_path / "none.png")
    (tmp_path / "junk.png").write_bytes(b"junk")
    with pytest.raises(MediaError, match="is not a picture"):
        read_picture(tmp_path / "junk.png")


def test_large_picture_is_shrunk_with_its_boxes(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((80, 100, 3), np.uint8))
    samples = [Sample(tmp_path / "a.png", np.array([[10, 20, 40, 60]], np.float32), np.array([FACE], np.int8))]
    image, boxes, kinds = PictureSource(samples, longest=50, is_partial=True).draw(np.random.default_rng(0))
    assert image.shape == (40, 50, 3)
    assert boxes.tolist() == [[5, 10, 20, 30], [0, 0, 50, 40]]
    assert kinds.tolist() == [FACE, PARTIAL]
    boxes, kinds = PictureSource(samples, longest=50, is_partial=True, is_loose=True).draw(np.random.default_rng(0))[1:]
    assert boxes[1:].tolist() == [[0, 0, 50, 40]] * 2
    assert kinds.tolist() == [FACE, PARTIAL, LOOSE]


class RedSquare:
    """Grey pictures with one red square, its face."""

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        image = np.full((200, 300, 3), 128, np.uint8)
        x, y, side = (int(rng.integers(low, high)) for low, high in ((0, 220), (0, 120), (20, 80)))
        image[y : y + side, x : x + side] = (255, 0, 0)
        return image, np.array([[x, y, x + side, y + side]], np.float32), np.array([FACE], np.int8)


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_boxes_follow_the_pixels_through_every_augmentation(mosaic: float) -> None:
    rng = np.random.default_rng(5)
    checked = 0
    for _ in range(60):
        config = AugmentConfig(mosaic=mosaic, grey=0, blur=0, grain=0, compression=0)
        image, boxes, kinds = make_example([RedSquare()], np.ones(1), 128, rng, config)
        assert image.shape == (128, 128, 3)
        assert image.dtype == np.uint8
        saturation = image.max(2).astype(int) - image.min(2)
        for x1, y1, x2, y2 in boxes[kinds == FACE].round().astype(int):
            assert saturation[y1 + 4 : y2 - 4, x1 + 4 : x2 - 4].min(initial=255) > 60
            checked += 1
        assert ((boxes >= 0) & (boxes <= 128)).all()
    assert checked > 30


def test_a_window_inside_a_picture_shows_its_pixels_where_its_boxes_are() -> None:
    rng = np.random.default_rng(3)
    config = AugmentConfig(mosaic=0, tile=1, expand=1, aspect=1, grey=0, blur=0, grain=0, compression=0)
    offsets = []
    for _ in range(300):
        image, boxes, kinds = make_example([RedSquare()], np.ones(1), 128, rng, config)
        rows = np.where((image.max(2).astype(int) - image.min(2) > 60).any(1))[0]
        for _, top, _, bottom in boxes[kinds == FACE]:
            if top > 4 and bottom < 124 and len(rows):
                offsets.append((rows[0] + rows[-1] + 1) / 2 - (top + bottom) / 2)
    assert len(offsets) > 50
    assert abs(np.mean(offsets)) < 0.2  # pixels, though the window may begin within one that is four wide there


def test_same_seed_gives_the_same_example() -> None:
    one, other = (
        make_example([RedSquare()], np.ones(1), 96, np.random.default_rng(9), AugmentConfig()) for _ in range(2)
    )
    for first, second in zip(one, other, strict=True):
        assert np.array_equal(first, second)
