"""Thumbnails are cut out of the right frame at the right place, and no more of the video is read than they need."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.errors import MediaError, OutputError
from acfd_stream.outputs import ResultEnd, ResultFile, ResultHeader, open_writer, read_results
from acfd_stream.recording.derived import write_thumbnails
from acfd_stream.types import Face, FrameResult, Picture
from acfd_stream.video import open_video
from acfd_stream.video.frame import Frame
from tests.pipeline.conftest import SIZE, write_clip

FACES = {3: Face(4, (16.0, 16.0, 48.0, 48.0), 0.9), 40: Face(2, (80.0, 40.0, 100.0, 60.0), 0.8)}  # by frame
TIME_BASE = Fraction(1, 24)


def draw(index: int) -> np.ndarray:
    """Black, but for the faces above in their frames."""
    image = np.zeros((*SIZE, 3), np.uint8)
    if index in FACES:
        x1, y1, x2, y2 = map(int, FACES[index].box_xyxy)
        image[y1:y2, x1:x2] = (250, 60, 30)
    return image


def results_of(folder: Path, faces: dict[int, Face], size: tuple[int, int] = SIZE) -> ResultFile:
    """Sixty frames with ``faces`` as a finished result."""
    writer = open_writer(folder / "clip.jsonl", "jsonl", ResultHeader("clip.mp4", size, TIME_BASE, {}))
    for index in range(60):
        here = (faces[index],) if index in faces else ()
        writer.write(FrameResult(index, index, TIME_BASE, index / 24, here))
    writer.close(ResultEnd(len(faces)))
    return read_results(folder / "clip.jsonl")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", draw)


def frames_of(clip: Path, results: ResultFile) -> Iterator[tuple[Frame, FrameResult]]:
    with open_video(clip) as video:
        yield from zip(video, results, strict=True)


def test_each_track_has_its_face_out_of_its_frame(clip: Path, tmp_path: Path) -> None:
    results = results_of(tmp_path, FACES)
    frames = frames_of(clip, results)
    write_thumbnails(results, frames, tmp_path / "t")
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["2.jpg", "4.jpg"]
    assert next(frames)[0].index == 41  # nothing behind the last thumbnail was read
    for name, side in (("4.jpg", 48), ("2.jpg", 30)):
        image = cv2.imread(str(tmp_path / "t" / name))  # BGR
        assert image.shape == (side, side, 3)
        edge = side // 6
        inside, corner = image[edge + 4 : -edge - 4, edge + 4 : -edge - 4].mean((0, 1)), image[: edge - 3, : edge - 3]
        assert np.abs(inside - (30, 60, 250)).max() < 25
        assert corner.mean() < 25


def test_the_same_again_has_the_same_bytes(clip: Path, tmp_path: Path) -> None:
    results = results_of(tmp_path, FACES)
    for name in ("a", "b"):
        write_thumbnails(results, frames_of(clip, results), tmp_path / name)
    assert (tmp_path / "a" / "4.jpg").read_bytes() == (tmp_path / "b" / "4.jpg").read_bytes()


def test_a_large_face_is_made_smaller(tmp_path: Path) -> None:
    results = results_of(tmp_path, {0: Face(1, (0.0, 0.0, 5000.0, 5000.0), 1.0)}, (400, 600))
    picture = Picture.from_rgb(np.zeros((400, 600, 3), np.uint8))
    write_thumbnails(results, [(Frame(0, 0, TIME_BASE, picture), next(iter(results)))], tmp_path / "t")
    assert cv2.imread(str(tmp_path / "t" / "1.jpg")).shape == (128, 192, 3)


def test_a_video_that_became_shorter_is_said(clip: Path, tmp_path: Path) -> None:
    results = results_of(tmp_path, FACES)
    frames = [next(frames_of(clip, results))]
    with pytest.raises(MediaError, match=r"clip.mp4: the results have a frame 3, the video has not; track it again"):
        write_thumbnails(results, frames, tmp_path / "t")


def test_no_faces_are_an_empty_folder_and_the_video_is_not_read(tmp_path: Path) -> None:
    results = results_of(tmp_path, {})
    write_thumbnails(results, frames_of(tmp_path / "none.mp4", results), tmp_path / "t")
    assert list((tmp_path / "t").iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*none/t: No such file or directory"):
        write_thumbnails(results_of(tmp_path, FACES), [], tmp_path / "none" / "t")
