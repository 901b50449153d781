"""Thumbnails are cut out of the right frame at the right place, and stand under their name only when all are there."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.archive.thumbnails import ThumbnailWriter
from acfd_stream.errors import MediaError, OutputError
from acfd_stream.outputs.thumbnails import BestFace
from acfd_stream.types import Frame, Picture
from acfd_stream.video.source import open_video
from tests.pipeline.conftest import SIZE, write_clip

FACES = [BestFace(4, 3, (16.0, 16.0, 48.0, 48.0)), BestFace(2, 40, (80.0, 40.0, 100.0, 60.0))]


def draw(index: int) -> np.ndarray:
    """Black, but for the faces above in their frames."""
    image = np.zeros((*SIZE, 3), np.uint8)
    for face in FACES:
        if face.index == index:
            x1, y1, x2, y2 = map(int, face.box_xyxy)
            image[y1:y2, x1:x2] = (250, 60, 30)
    return image


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[Frame]:
    with open_video(write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", draw)) as video:
        return list(video)


def test_each_track_has_its_face_out_of_its_frame(frames: list[Frame], tmp_path: Path) -> None:
    folder = tmp_path / "ep.mkv.thumbnails"
    writer = ThumbnailWriter(folder, FACES)
    for frame in frames:
        writer.write(frame)
    assert not folder.exists()
    writer.close()
    writer.close()
    writer.abort()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["2.jpg", "4.jpg", folder.name]
    for name, side in (("4.jpg", 48), ("2.jpg", 30)):
        image = cv2.imread(str(folder / name))  # BGR
        assert image.shape == (side, side, 3)
        edge = side // 6
        inside, corner = image[edge + 4 : -edge - 4, edge + 4 : -edge - 4].mean((0, 1)), image[: edge - 3, : edge - 3]
        assert np.abs(inside - (30, 60, 250)).max() < 25
        assert corner.mean() < 25


def test_a_large_face_is_made_smaller(tmp_path: Path) -> None:
    writer = ThumbnailWriter(tmp_path / "t", [BestFace(1, 0, (0.0, 0.0, 5000.0, 5000.0))])
    writer.write(Frame(0, 0, Fraction(1, 24), Picture.from_rgb(np.zeros((400, 600, 3), np.uint8))))
    writer.close()
    assert cv2.imread(str(tmp_path / "t" / "1.jpg")).shape == (128, 192, 3)


def test_an_older_folder_is_replaced_as_a_whole_and_the_same_again(frames: list[Frame], tmp_path: Path) -> None:
    folder = tmp_path / "t"
    written = []
    for _ in range(2):
        writer = ThumbnailWriter(folder, FACES)
        for frame in frames:
            writer.write(frame)
        writer.close()
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
        (folder / "9.jpg").write_text("of another run")
        (tmp_path / "t.part").mkdir()  # as a kill leaves it
    assert written[0] == written[1]


def test_a_video_that_became_shorter_is_said_and_leaves_what_was_there(frames: list[Frame], tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    writer = ThumbnailWriter(tmp_path / "t", FACES)
    writer.write(frames[3])
    with pytest.raises(MediaError, match="t: the results have a frame 40, the video has not; track it again"):
        writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_no_faces_are_an_empty_folder_and_no_place_is_said(tmp_path: Path) -> None:
    ThumbnailWriter(tmp_path / "t", []).close()
    assert list((tmp_path / "t").iterdir()) == []
    with pytest.raises(OutputError, match=r"cannot write .*none/t: No such file or directory; choose another place"):
        ThumbnailWriter(tmp_path / "none" / "t", FACES)
