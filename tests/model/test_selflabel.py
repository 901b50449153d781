"""Self-labelling: what both views agree on becomes a face, the rest is to be ignored, what is boxed stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.errors import ConfigError
from acfd_stream.model.datasets import open_sources
from acfd_stream.model.readers import FACE, IGNORE
from acfd_stream.model.selflabel import LabelConfig, frames, label, label_set, label_videos, main
from acfd_stream.types import Detections

CONFIG = LabelConfig(seconds=0.5)


def reds(scores: tuple[float, float] = (0.9, 0.9)):
    """A detector that finds the red square, with another score where it stands in the right half of the picture."""

    def detect(image: np.ndarray) -> Detections:
        rows, columns = np.nonzero((image[..., 0] > 180) & (image[..., 1] < 90))
        if not len(rows):
            return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
        box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
        value = scores[int(box[0, 0] >= image.shape[1] / 2)]
        return Detections(box, np.array([value], np.float32)) if value > 0 else detect(np.zeros_like(image))

    return detect


def square(left: int = 10) -> np.ndarray:
    image = np.full((60, 100, 3), 128, np.uint8)
    image[20:40, left : left + 20] = (255, 0, 0)
    return image


@pytest.mark.parametrize(
    ("scores", "expected"),
    [((0.9, 0.7), [True]), ((0.9, 0.5), [False]), ((0.9, 0.0), [False]), ((0.4, 0.9), [False]), ((0.1, 0.9), [])],
)
def test_a_find_is_sure_when_the_mirrored_picture_has_it_too(scores: tuple[float, float], expected: list[bool]) -> None:
    boxes, sure = label(square(), reds(scores), CONFIG)
    assert sure.tolist() == expected
    assert boxes.tolist() == [[10, 20, 30, 40]] * len(expected)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Two seconds of a square that jumps after one."""
    path = tmp_path / "videos/a.avi"
    path.parent.mkdir()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (100, 60))
    for number in range(20):
        writer.write(cv2.cvtColor(square(10 if number < 10 else 30), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def test_frames_like_the_one_before_are_left_out(video: Path) -> None:
    lefts = [int(np.nonzero(image[30, :, 0] > 200)[0][0]) for image in frames(video, CONFIG)]
    assert lefts == pytest.approx([10, 30], abs=2)


def test_labelled_videos_can_be_trained_on(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = video.with_name("b.avi")
    broken.write_bytes(b"junk")
    table = label_videos([broken, video], tmp_path / "out", reds(), CONFIG).table
    assert (len(table["images"]), [row["iscrowd"] for row in table["annotations"]]) == (2, [0, 0])
    (source,), _ = open_sources([{"kind": "selflabel", "folder": "out", "weight": 1.0}], tmp_path)
    boxes, kinds = source.examples[0][1:]
    np.testing.assert_allclose(boxes, [[10, 20, 30, 40]], atol=2.5)
    assert kinds.tolist() == [FACE]
    assert capsys.readouterr().err.count("skipped") == 1


def test_a_set_gets_the_faces_it_leaves_out_and_keeps_its_own(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), square()[..., ::-1])
    images = [{"id": 5, "file_name": "a.png", "width": 100, "height": 60}]
    for own, expected in (([50, 20, 20, 20], 2), ([12, 20, 20, 20], 1)):  # the second is the red square itself
        rows = [{"id": 9, "image_id": 5, "bbox": own}]
        (tmp_path / "set.json").write_text(json.dumps({"images": images, "annotations": rows, "categories": []}))
        table = label_set(tmp_path / "set.json", tmp_path, tmp_path / "more.json", reds((0.9, 0.5)), CONFIG).table
        assert len(table["annotations"]) == expected
        assert table["annotations"][0] == rows[0]
    assert json.loads((tmp_path / "more.json").read_text()) == table


def test_doubtful_finds_are_read_back_as_to_be_ignored(video: Path, tmp_path: Path) -> None:
    label_videos([video], tmp_path / "out", reds((0.9, 0.3)), CONFIG)
    (source,), _ = open_sources([{"kind": "selflabel", "folder": "out", "weight": 1.0}], tmp_path)
    assert [kinds.tolist() for *_, kinds in source.examples] == [[IGNORE], [IGNORE]]


def test_limits_and_a_call_without_anything_to_do_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="doubtful must be in 0 … sure"):
        LabelConfig(sure=0.2, doubtful=0.5)
    assert main(["--out", str(tmp_path), "--model", str(tmp_path / "none.onnx")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
