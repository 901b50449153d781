"""Crops of faces: cut from pictures, read from tables, augmented, and drawn in balanced batches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from acfd_stream.errors import ConfigError, MediaError
from acfd_stream.model.identity.augment import EASY, HARD, view
from acfd_stream.model.identity.crops import SIDE, CropSet, cut, read_characters, read_single_faces
from acfd_stream.model.identity.drawn import draw_characters
from acfd_stream.model.identity.settings import IdentitySchedule
from acfd_stream.model.identity.sources import Sampler, open_crops
from acfd_stream.model.opencv import cv2


def crops_of(show: str, sizes: dict[str, int], noisy: bool = False) -> CropSet:
    """One grey a character."""
    names = [name for name, count in sizes.items() for _ in range(count)]
    greys = np.array([40 * (1 + list(sizes).index(name)) for name in names], np.uint8)
    pixels = np.broadcast_to(greys[:, None, None, None], (len(names), SIDE, SIDE, 3)).copy()
    return CropSet(pixels, (show,) * len(names), tuple(names), np.full(len(names), noisy))


def write_table(folder: Path, rows: list[tuple[str, str, str]]) -> Path:
    for show, name, _ in rows:
        file = folder / show / f"{name}.png"
        file.parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(file), np.full((SIDE, SIDE, 3), 7, np.uint8))
    lines = [f"{show}/{name}.png,{show},{name},{quality}" for show, name, quality in rows]
    table = folder / "table.csv"
    table.write_text("\n".join(["file,show,character,quality", *lines]))
    return table


def test_a_face_is_cut_with_its_surroundings_black_outside_the_picture() -> None:
    picture = np.full((100, 100, 3), 200, np.uint8)
    picture[40:60, 0:20] = (255, 0, 0)
    crop = cut(picture, np.array([0, 40, 20, 60], np.float32))  # a square of 36 px from x = -8 on: four times as large
    assert crop.shape == (SIDE, SIDE, 3)
    assert crop[72, 36].tolist() == crop[72, 107].tolist() == [255, 0, 0]
    assert (crop[:, :29] == 0).all()
    assert crop[72, 114].tolist() == [200, 200, 200]


def test_a_large_face_is_cut_with_all_its_pixels() -> None:
    picture = np.zeros((600, 600, 3), np.uint8)
    picture[:, ::2] = 255  # stripes finer than the crop's pixels
    crop = cut(picture, np.array([150, 150, 450, 450], np.float32))
    assert abs(float(crop[40:100, 40:100].mean()) - 127) < 8


def test_a_table_is_read_with_its_names_and_doubts(tmp_path: Path) -> None:
    crops = read_characters(write_table(tmp_path, [("sea", "ann", "clean"), ("sea", "bob", "noisy")]))
    assert (crops.shows, crops.characters) == (("sea", "sea"), ("ann", "bob"))
    assert crops.is_noisy.tolist() == [False, True]
    assert (crops.pixels == 7).all()
    with pytest.raises(ConfigError, match="no crops of hill; there are sea"):
        crops.of_shows(["hill"])


def test_a_table_without_a_column_or_with_a_crop_of_another_size_is_refused(tmp_path: Path) -> None:
    table = write_table(tmp_path, [("sea", "ann", "clean")])
    assert cv2.imwrite(str(tmp_path / "sea/ann.png"), np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(MediaError, match="must be 144×144 pixels, got 9×8"):
        read_characters(table)
    table.write_text("file,show\na,b\n")
    with pytest.raises(ConfigError, match="lacks the columns character, quality"):
        read_characters(table)


def test_every_face_of_a_picture_is_a_character_of_its_own(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), np.full((80, 200, 3), 90, np.uint8))
    boxes = [[10, 10, 30, 40], [100, 10, 40, 30], [150, 10, 12, 12]]  # the last is too small
    rows = [{"id": number, "image_id": 1, "category_id": 1, "bbox": box} for number, box in enumerate(boxes)]
    images = [{"id": 1, "file_name": "a.png", "width": 200, "height": 80}]
    table = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "face"}]}
    (tmp_path / "faces.json").write_text(json.dumps(table))
    crops = read_single_faces(tmp_path / "faces.json", tmp_path, "street")
    assert (crops.shows, crops.characters) == (("street", "street"), ("00000", "00001"))


def test_a_view_depends_on_its_chance_only_and_a_hard_one_is_farther_off() -> None:
    crop = draw_characters(3, 1, 1).pixels[0]
    first, again = (view(crop, HARD, np.random.default_rng(5)) for _ in range(2))
    assert (first == again).all()
    distances = []
    for config in (EASY, HARD):
        views = [view(crop, config, np.random.default_rng(seed)).astype(int) for seed in range(40)]
        distances.append(np.mean([min(np.abs(v - crop).mean(), np.abs(v[:, ::-1] - crop).mean()) for v in views]))
    assert distances[0] < distances[1]


def test_a_batch_holds_neighbours_of_one_show_in_several_views() -> None:
    sets = [crops_of("sea", {"ann": 3, "bob": 9, "cat": 1}), crops_of("hill", {"dan": 2}, noisy=True)]
    sampler = Sampler(sets, [0.5, 0.5], IdentitySchedule(batch=12, views=2, neighbours=3, hard=0.0))
    assert sampler.count == 4
    batch = sampler.draw(np.random.default_rng(1))
    for group in batch.characters.reshape(2, 3, 2):
        assert (group[:, 0] == group[:, 1]).all()
        assert set(group.ravel()) in ({0, 1, 2}, {3})
    assert (batch.is_noisy == (batch.characters == 3)).all()
    assert not batch.is_hard.any()


def test_rows_get_their_share_and_large_shows_the_root_of_their_characters() -> None:
    sets = [crops_of("sea", {"ann": 1}), crops_of("hill", {str(n): 1 for n in range(4)}), crops_of("sky", {"zoe": 30})]
    sampler = Sampler([sets[0], sets[1], sets[2]], [1, 1, 2], IdentitySchedule(batch=4, views=2, neighbours=2))
    assert sampler._shares == pytest.approx([0.25, 0.25, 0.5])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"kind": "photos"}, "kind of data must be characters, single or drawn, got 'photos'"),
        ({"kind": "drawn", "count": 2}, "data of kind 'drawn'"),
        ({"kind": "characters"}, "data of kind 'characters': 'table'"),
    ],
)
def test_rows_that_cannot_be_opened_are_named(row: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        open_crops(row, tmp_path)
