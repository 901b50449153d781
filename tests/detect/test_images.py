"""What ``detect`` takes, and the picture that ``draw`` gives back."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acfd_stream.config import DetectConfig
from acfd_stream.detect.detector import Detector
from acfd_stream.errors import MediaError, ShapeError
from acfd_stream.types import Detections, Picture
from tests.detect.tiny_model import white_square

IMAGE = white_square((96, 128), left=36, top=28, side=32)
BOX = [36, 28, 68, 60]


@pytest.fixture(scope="module")
def detector(tiny_model: Path) -> Iterator[Detector]:
    with Detector.open(tiny_model, config=DetectConfig(size=128, threads=2, batch=2)) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Image.fromarray(IMAGE).save(tmp_path / "frame.png")
    return tmp_path / "frame.png"


def values(found: Detections) -> tuple[list[list[float]], list[float]]:
    return found.boxes_xyxy.tolist(), found.scores.tolist()


def test_every_kind_of_picture_has_the_same_faces(detector: Detector, path: Path) -> None:
    expected = values(detector.detect(IMAGE))
    assert expected[0][0] == BOX
    pil = Image.fromarray(IMAGE)
    kinds = [path, str(path), pil, pil.convert("L"), pil.convert("RGBA"), Picture.from_rgb(IMAGE), IMAGE[..., ::-1]]
    for image in kinds:
        assert values(detector.detect(image)) == expected
    assert [values(found) for found in detector.detect(kinds)] == [expected] * len(kinds)
    assert [values(found) for found in detector.detect((path, IMAGE))] == [expected] * 2
    assert detector.detect([]) == []


def test_a_pil_image_of_16_bits_or_of_an_odd_mode_is_seen_as_it_looks(detector: Detector, tmp_path: Path) -> None:
    grey = IMAGE.max(axis=2)
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    deep.save(tmp_path / "deep.png")
    expected = values(detector.detect(Image.fromarray(grey)))
    for image in (deep, tmp_path / "deep.png", Image.fromarray(grey).convert("LA").convert("La")):
        assert values(detector.detect(image)) == expected


def test_a_pil_image_that_cannot_be_read_is_one_line(detector: Detector, path: Path) -> None:
    closed, cut = Image.open(path), path.with_name("cut.png")
    closed.close()
    cut.write_bytes(path.read_bytes()[:-40])
    with Image.open(cut) as damaged:
        for image in (closed, damaged):
            with pytest.raises(MediaError, match=r"^image cannot be read by PIL: [^\n]+$"):
                detector.detect(image)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "cannot read a picture without a name; give the path of a file"),
        (
            "https://example.org/a.png",
            "cannot read https://example.org/a.png: a picture must be a file; download it first",
        ),
        ("a\0b.png", r"cannot read 'a\x00b.png': embedded null byte"),
    ],
)
def test_a_name_that_is_no_file_is_named_as_it_was_given(detector: Detector, name: str, said: str) -> None:
    with pytest.raises(MediaError, match=f"^{re.escape(said)}$"):
        detector.detect(name)


def test_a_list_is_read_no_further_than_its_batch(detector: Detector, path: Path) -> None:
    with pytest.raises(MediaError, match=r"cannot read .*none\.png: No such file"):
        detector.detect([path, path, path.with_name("none.png")])
    with pytest.raises(ShapeError, match=r"^image\[1\] must be a path, .* or a Picture, got int$"):
        detector.detect([path, 7])  # type: ignore[list-item]


@pytest.mark.parametrize("image", [None, 7, b"x", IMAGE.astype(float), IMAGE[..., 0], {}])
def test_another_type_is_named_in_one_line(detector: Detector, image: object) -> None:
    with pytest.raises(ShapeError, match=r"^image must be a path, [^\n]* got [^\n]*$"):
        detector.detect(image)  # type: ignore[call-overload]


def test_draw_gives_a_picture_of_the_same_kind(detector: Detector) -> None:
    found = detector.detect(IMAGE)
    drawn = found.draw(IMAGE)
    assert (drawn.dtype, drawn.shape) == (np.uint8, IMAGE.shape)
    assert IMAGE.max(axis=2).tolist() == white_square((96, 128), 36, 28, 32).max(axis=2).tolist()  # not drawn on
    edge = drawn[BOX[3], BOX[0] + 4 : BOX[2] - 4]
    assert (edge != IMAGE[BOX[3], BOX[0] + 4 : BOX[2] - 4]).any(axis=1).all()
    pil = found.draw(Image.fromarray(IMAGE))
    assert isinstance(pil, Image.Image)
    assert np.array_equal(np.asarray(pil), drawn)
    assert np.array_equal(Detections.empty().draw(IMAGE), IMAGE)
    with pytest.raises(ShapeError, match=r"^image must be uint8 \[H, W, 3\] RGB or a PIL image, got str$"):
        found.draw("frame.png")  # type: ignore[call-overload]


def test_no_picture_but_a_pil_image_loads_pil(tiny_model: Path, path: Path) -> None:
    program = """
import sys
from acfd_stream import Detector
Detector.open(sys.argv[1]).detect(sys.argv[2])
print([name for name in sys.modules if name.startswith("PIL")])
"""
    call = [sys.executable, "-c", program, str(tiny_model), str(path)]
    done = subprocess.run(call, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stdout + done.stderr
