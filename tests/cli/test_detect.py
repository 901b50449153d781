"""``detect`` from the outside, over a made-up detector: pictures as they come, one line each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from acfd_stream.config import PictureConfig
from acfd_stream.errors import MediaError
from acfd_stream.picture_files import read_picture

FAKE = Path(__file__).with_name("fake_pipeline.py")


def detect(folder: Path, *arguments: str, stdout: Any = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-B", str(FAKE), "{}", "detect", *arguments]
    return subprocess.run(call, cwd=folder, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60)


def write_picture(path: Path, image: np.ndarray) -> bytes:
    data = cv2.imencode(path.suffix, image)[1].tobytes()
    path.write_bytes(data)
    return data


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF block that holds nothing but this orientation."""
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01" + orientation.to_bytes(2, "big") + b"\x00\x00"
    exif = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01" + entry + b"\x00\x00\x00\x00"
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


@pytest.fixture
def picture() -> np.ndarray:
    image = np.zeros((30, 60, 3), np.uint8)
    image[:, :30] = (255, 0, 0)  # BGR: blue on the left
    return image


def test_every_picture_is_one_line(picture: np.ndarray, tmp_path: Path) -> None:
    for name in ("a.png", "顔.jpg"):
        write_picture(tmp_path / name, picture)
    done = detect(tmp_path, "a.png", "顔.jpg")
    assert (done.returncode, done.stderr) == (0, "")
    faces = [{"box": [0.0, 0.0, 20.0, 10.0], "score": 0.8765}]
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"file": name, "width": 60, "height": 30, "faces": faces} for name in ("a.png", "顔.jpg")
    ]


@pytest.mark.parametrize(
    ("options", "scores"),
    [
        ((), [0.8765]),
        (("--all",), [0.8765, 0.3]),
        (("--min-score", "0.2"), [0.8765, 0.3]),
        (("--min-score", "0.9"), []),
    ],
)
def test_the_faces_that_are_shown_are_likely_unless_the_caller_says_otherwise(
    options: tuple[str, ...], scores: list[float], picture: np.ndarray, tmp_path: Path
) -> None:
    write_picture(tmp_path / "a.png", picture)
    done = detect(tmp_path, "a.png", *options)
    assert (done.returncode, [face["score"] for face in json.loads(done.stdout)["faces"]]) == (0, scores)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--min-score", "1.5"), "min_score must be in [0, 1], got 1.5"),
        (("--min-score", "nan"), "min_score must be in [0, 1], got nan"),
        (("--min-score", "0.3", "--all"), "--all and --min-score exclude each other; give one of them"),
    ],
)
def test_a_score_that_cannot_be_is_the_call_s_fault(options: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    done = detect(tmp_path, "a.png", *options)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"acfd-stream: {reason}\n")


def test_bad_pictures_are_said_and_the_others_done(picture: np.ndarray, tmp_path: Path) -> None:
    write_picture(tmp_path / "good.png", picture)
    (tmp_path / "empty.png").touch()
    (tmp_path / "junk.jpg").write_bytes(b"no picture")
    done = detect(tmp_path, "empty.png", "missing.png", "junk.jpg", ".", "", "http://a/b.png", "good.png")
    assert done.returncode == 1
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == ["good.png"]
    assert done.stderr.splitlines() == [
        "acfd-stream: cannot decode empty.png: it is not a picture, or only part of one",
        "acfd-stream: cannot read missing.png: No such file or directory",
        "acfd-stream: cannot decode junk.jpg: it is not a picture, or only part of one",
        "acfd-stream: cannot read .: Is a directory",
        "acfd-stream: cannot read a picture without a name; give the path of a file",
        "acfd-stream: cannot read http://a/b.png: a picture must be a file; download it first",
    ]


def test_half_a_picture_is_said_in_one_line(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for name in ("half.png", "half.jpg"):
        data = write_picture(tmp_path / name, noise)
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    (tmp_path / "damaged.png").write_bytes(write_picture(tmp_path / "whole.png", noise)[:-20] + bytes(20))
    names = ["half.png", "half.jpg", "damaged.png"]
    done = detect(tmp_path, *names)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"acfd-stream: cannot decode {name}: it is not a picture, or only part of one" for name in names
    ]


def test_a_file_too_large_for_a_picture_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "film.mkv").open("wb") as film:
        film.truncate(2**40)
    with pytest.raises(MediaError, match=r"film\.mkv: it is larger than 1000 bytes, the limit file_bytes"):
        read_picture(tmp_path / "film.mkv", PictureConfig(file_bytes=1000))


def test_an_unknown_model_is_the_call_s_fault(tmp_path: Path) -> None:
    done = detect(tmp_path, "a.png", "--model", "frob")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("acfd-stream: no model 'frob'")


def test_a_full_stdout_is_one_line_and_exits_1(picture: np.ndarray, tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", picture)
    with open("/dev/full", "wb") as full:
        done = detect(tmp_path, "a.png", stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith("acfd-stream: cannot write <stdout>: No space left on device")
    assert done.stderr.count("\n") == 1


def test_a_picture_is_turned_as_its_exif_says(picture: np.ndarray, tmp_path: Path) -> None:
    jpeg = write_picture(tmp_path / "a.jpg", picture)
    (tmp_path / "a.jpg").write_bytes(with_orientation(jpeg, 6))  # to be shown a quarter turn clockwise
    image = read_picture(tmp_path / "a.jpg")
    assert image.shape == (60, 30, 3)
    assert image[5, 15, 2] > 200  # the left, which is blue, is on top
    assert image[55, 15, 2] < 50


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4)])
def test_gray_and_transparent_pictures_become_rgb(shape: tuple[int, ...], tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", np.full(shape, 77, np.uint8))
    image = read_picture(tmp_path / "a.png")
    assert image.shape == (8, 8, 3)
    assert image.dtype == np.uint8


def test_a_picture_larger_than_opencv_takes_is_a_media_error(tmp_path: Path) -> None:
    header = b"BM" + (54).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
    size = (100_000).to_bytes(4, "little") * 2
    (tmp_path / "huge.bmp").write_bytes(header + size + b"\x01\x00\x18\x00" + bytes(24))
    with pytest.raises(MediaError, match=r"cannot decode .*huge\.bmp"):
        read_picture(tmp_path / "huge.bmp")


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.webp"])
def test_an_animation_is_said_to_be_one(picture: np.ndarray, tmp_path: Path, name: str) -> None:
    moving = cv2.Animation()
    moving.frames, moving.durations = [picture, picture[:, ::-1].copy()], [100, 100]
    assert cv2.imwriteanimation(str(tmp_path / name), moving)
    write_picture(tmp_path / f"still{name[1:]}", picture)
    done = detect(tmp_path, name, f"still{name[1:]}")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)
    assert done.stderr.splitlines() == [f"{name}: is animated; the faces are those of its first picture"]
