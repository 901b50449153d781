"""A small clip whose faces are known to the pixel, and a detector that finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from acfd_stream.config import DetectConfig
from acfd_stream.detect import Detector
from tests.clips import drawing, encode
from tests.pipeline.fake_engine import Latch, picture
from tests.pipeline.shared_engines import Submit

SIZE = (96, 128)
FRAMES = 60
CUT = 30
"""First frame of the second shot: another background, and the face elsewhere."""
DETECT = DetectConfig(size=128, threads=2)


def face_box(index: int) -> tuple[int, int, int, int]:
    """Where the face is in a frame: it moves a pixel a frame, and stands elsewhere after the cut."""
    left, top = (20 + index, 28) if index < CUT else (76 - (index - CUT), 44)
    return left, top, left + 32, top + 32


def draw(index: int) -> np.ndarray:
    """uint8 [96, 128, 3]: dim bars, which lie otherwise after the cut, and the bright face."""
    return drawing(SIZE, face_box(index)[:2], is_behind_cut=index >= CUT)


def write_clip(path: Path, draw: Callable[[int], np.ndarray] = draw) -> Path:
    """An MPEG-4 file of the drawn frames at 24 a second."""
    return encode(path, map(draw, range(FRAMES)), SIZE)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")


@pytest.fixture(scope="session")
def detector(tiny_model: Path) -> Iterator[Detector]:
    with Detector.open(tiny_model, config=DETECT) as opened:
        yield opened


@pytest.fixture(scope="session")
def clip_in_order(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn clip in a container that can be read while it is sent."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mkv")


@pytest.fixture
def submit() -> Iterator[Submit]:
    """Hand pictures to a queue from another thread, as a stream does."""
    with ThreadPoolExecutor(16) as pool:
        yield lambda queue, *values: pool.submit(queue.detect_timed, [picture(value) for value in values])


@pytest.fixture
def latch() -> Iterator[Latch]:
    latch = Latch()
    yield latch
    latch.opened.set()
