"""YOLO, WIDER FACE and iCartoonFace files: right boxes out of right files, the line said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.errors import ConfigError, MediaError
from acfd_stream.model.datasets import PictureSource, check_pictures, chosen, open_sources, read_set
from acfd_stream.model.readers import FACE, IGNORE, Sample, read_icartoonface, read_wider, read_yolo


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two pictures of 100×80 pixels (width, height)."""
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.png"):
        cv2.imwrite(str(folder / name), np.full((80, 100, 3), 90, np.uint8))
    return folder


def yolo(folder: Path, text: str) -> Path:
    (folder / "labels").mkdir()
    (folder / "labels/a.txt").write_text(text)
    return folder / "labels"


def test_yolo_shares_become_pixels_and_a_picture_without_a_file_has_no_faces(tmp_path: Path, images: Path) -> None:
    first, second = read_yolo(yolo(tmp_path, "0 0.5 0.5 0.2 0.25\n\n3 0.1 0.1 0.2 0.2\n"), images)
    np.testing.assert_allclose(first.boxes_xyxy, [[40, 30, 60, 50], [0, 0, 20, 16]], atol=1e-4)
    assert (first.file, first.kinds.tolist()) == (images / "a.png", [FACE, FACE])
    assert (second.file, second.boxes_xyxy.shape) == (images / "deep/b.png", (0, 4))


@pytest.mark.parametrize(
    ("line", "said"),
    [("0 0.5 0.5 0 0.2", "line 2 is not a box"), ("0 0.9 0.5 0.4 0.2", "line 2 is not a box"),
     ("0 0.5 0.5 0.2 0.2 0.3 0.3", "line 2 has 7 columns"),  # a polygon
     ("0 0.5 0.5 0.2", "line 2 must have numbers"), ("0 0.5 nan 0.2 0.2", "line 2 must have numbers"),
     ("face 0.5 0.5 0.2 0.2", "line 2 has the unknown class 'face'; allowed is a number from 0 on")],
)  # fmt: skip
def test_a_bad_yolo_line_is_named(tmp_path: Path, images: Path, line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"a\.txt: {said}"):
        read_yolo(yolo(tmp_path, f"0 0.5 0.5 0.2 0.2\n{line}\n"), images)


def test_a_class_without_a_name_is_unknown(tmp_path: Path, images: Path) -> None:
    labels = yolo(tmp_path, "1 0.5 0.5 0.2 0.2\n2 0.5 0.5 0.2 0.2\n")
    (labels / "classes.txt").write_text("girl\nboy\n")
    with pytest.raises(ConfigError, match=r"a\.txt: line 2 has the unknown class '2'; allowed is 0 … 1"):
        read_yolo(labels, images)


def test_yolo_labels_without_a_picture_or_a_folder_are_refused(tmp_path: Path, images: Path) -> None:
    labels = yolo(tmp_path, "")
    (labels / "c.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(ConfigError, match=r"c\.txt has no picture"):
        read_yolo(labels, images)
    with pytest.raises(ConfigError, match="is not a folder"):
        read_yolo(tmp_path / "none", images)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no text files"):
        read_yolo(tmp_path / "empty", images)
    with pytest.raises(ConfigError, match="holds no pictures"):
        read_yolo(labels, labels)


def test_two_pictures_with_one_file_of_boxes_are_refused(tmp_path: Path, images: Path) -> None:
    (images / "a.jpg").write_bytes((images / "a.png").read_bytes())
    with pytest.raises(ConfigError, match=r"a\.jpg and .*a\.png would share one file of boxes"):
        read_yolo(yolo(tmp_path, "0 0.5 0.5 0.2 0.25\n"), images)


WIDER = """a.png
2
10 20 30 40 0 0 0 0 0 0
1 2 3 4 0 0 0 1 0 0
deep/b.png
0
0 0 0 0 0 0 0 0 0 0
"""


def test_wider_faces_are_read_and_invalid_ones_ignored(tmp_path: Path, images: Path) -> None:
    (tmp_path / "w.txt").write_text(WIDER)
    first, second = read_wider(tmp_path / "w.txt", images)
    assert first.boxes_xyxy.tolist() == [[10, 20, 40, 60], [1, 2, 4, 6]]
    assert first.kinds.tolist() == [FACE, IGNORE]
    assert (second.file, len(second.kinds)) == (images / "deep/b.png", 0)


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ("10 20 30 40", "10 20 0 40", "line 3 has a box without area"),
        ("2\n", "3\n", "line 5 must have numbers"),
        ("\n2\n", "\nx\n", "line 2 must be the number of faces"),
        ("b.png\n0\n0 0 0 0", "b.png\n2\n1 1 5 5", "ends in the middle of deep/b.png"),
    ],
)
def test_a_bad_wider_file_is_refused_where_it_is_wrong(tmp_path: Path, wrong: str, right: str, said: str) -> None:
    (tmp_path / "w.txt").write_text(WIDER.replace(wrong, right, 1))
    with pytest.raises(ConfigError, match=rf"w\.txt: {said}"):
        read_wider(tmp_path / "w.txt", tmp_path)


def test_a_csv_with_an_endless_field_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(f'"{"x" * 200_000}",1,2,3,4\n')
    with pytest.raises(ConfigError, match=r"f\.csv: is not a CSV file"):
        read_icartoonface(tmp_path / "f.csv", tmp_path)


def test_icartoonface_rows_of_one_picture_become_one_sample(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("image,x1,y1,x2,y2,class\nb.jpg,1,2,3,4,face\na.jpg,5,6,9,9\nb.jpg,0,0,9,9,1\n")
    samples = read_icartoonface(tmp_path / "f.csv", tmp_path)
    assert [sample.file.name for sample in samples] == ["b.jpg", "a.jpg"]
    assert samples[0].boxes_xyxy.tolist() == [[1, 2, 3, 4], [0, 0, 9, 9]]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a.jpg,1,2,1e300,4", "larger than any picture"),
        ("a.jpg,5,6,5,9", "box without area"),
        ("a.jpg,5,6", "must have numbers"),
        ("a.jpg,1,2,x,4", "must have numbers"),
    ],
)
def test_a_bad_icartoonface_row_is_named(tmp_path: Path, row: str, said: str) -> None:
    (tmp_path / "f.csv").write_text(f"b.jpg,1,2,3,4\n{row}\n")
    with pytest.raises(ConfigError, match=rf"f\.csv: line 2.* {said}"):
        read_icartoonface(tmp_path / "f.csv", tmp_path)


@pytest.mark.parametrize("read", [read_wider, read_icartoonface])
def test_a_missing_file_and_one_that_is_no_text_are_said(tmp_path: Path, read) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "none", tmp_path)
    (tmp_path / "junk").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ConfigError, match="is not a text file"):
        read(tmp_path / "junk", tmp_path)


def test_a_box_outside_its_picture_is_refused_when_the_picture_is_read(images: Path) -> None:
    outside = Sample(images / "a.png", np.array([[100, 0, 120, 9]], np.float32), np.array([FACE], np.int8))
    with pytest.raises(ConfigError, match=r"a\.png: box .* lies outside the picture of 100×80"):
        PictureSource([outside])


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [("", ConfigError, "names no pictures"), ("image,x1,y1,x2,y2\n", ConfigError, "names no pictures"),
     ("a.png,1,2,9,9\nc.png,1,2,9,9\n", MediaError, r"line 2: there is no picture .*c\.png"),
     ("a.png,1,2,9,9\na.png,100,2,120,9\n", ConfigError, r"line 2: box \[100.* outside the picture of 100×80")],
)  # fmt: skip
def test_a_table_that_does_not_fit_the_pictures_is_refused_before_training(
    tmp_path: Path, images: Path, text: str, error: type[Exception], said: str
) -> None:
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(error, match=rf"f\.csv: {said}"):
        check_pictures(read_set({"kind": "icartoonface", "annotation": "f.csv", "images": "images"}, tmp_path))


def test_validation_without_a_box_and_pictures_without_a_size_are_refused(tmp_path: Path, images: Path) -> None:
    yolo(tmp_path, "")
    row = {"kind": "yolo", "annotation": "labels", "images": "images"}
    with pytest.raises(ConfigError, match="no picture of the validation set has a box"):
        check_pictures(read_set(row, tmp_path))
    with pytest.raises(ConfigError, match="validation must be a name, or kind"):
        read_set({**row, "annotation": 3}, tmp_path)
    with pytest.raises(ConfigError, match="longest must be a number of pixels >= 1, got 0"):
        open_sources([{**row, "weight": 1, "longest": 0}], tmp_path)


def test_fewer_pictures_are_the_first_of_the_same_shuffle() -> None:
    samples = [Sample(Path(str(number)), np.zeros((0, 4), np.float32), np.zeros(0, np.int8)) for number in range(9)]
    few, more = (chosen(samples, count, 0) for count in (3, 6))
    assert more[:3] == few
    assert chosen(samples, None, 0) == samples
    assert chosen(samples, 6, 1) != more
    with pytest.raises(ConfigError, match=r"count must be in 1 … 9"):
        chosen(samples, 10, 0)


def test_data_rows_open_by_kind_and_say_what_is_wrong(tmp_path: Path, images: Path) -> None:
    (tmp_path / "w.txt").write_text(WIDER)
    good = {"kind": "wider", "annotation": "w.txt", "images": "images", "weight": 3.0}
    sources, weights = open_sources([good, {**good, "weight": 1.0, "count": 1}], tmp_path)
    assert [len(source.examples) for source in sources] == [2, 1]
    assert weights.tolist() == [0.75, 0.25]
    for change, said in (
        ({"kind": "voc"}, "got 'voc'"),
        ({"weight": 0}, "above 0"),
        ({"large": 1}, "'wider' has a key"),
    ):
        with pytest.raises(ConfigError, match=said):
            open_sources([{**good, **change}], tmp_path)
    with pytest.raises(ConfigError, match="needs the key 'images'"):
        open_sources([{"kind": "coco", "annotation": "w.txt", "weight": 1.0}], tmp_path)
