"""Crops to embeddings: of unit length, whatever is in the same call; other files are refused by name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from acfd_stream.errors import ConfigError, RunnerError, ShapeError
from acfd_stream.identity.embedder import FaceEmbedder
from tests.detect.tiny_model import write_tiny_model
from tests.identity.tiny_embedder import write_tiny_embedder


def crops(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 144, 144, 3)).astype(np.uint8)


def test_an_embedding_is_the_direction_of_the_colour_in_the_middle(tiny_embedder: Path) -> None:
    crop = np.zeros((1, 144, 144, 3), np.uint8)
    crop[:, 48:96, 48:96] = (128 + 60, 128 - 80, 128)
    with FaceEmbedder.open(tiny_embedder) as embedder:
        assert np.allclose(embedder.embed(crop), [[0.6, -0.8, 0.0]], atol=1e-5)
        assert (embedder.name, embedder.dimensions, embedder.link_similarity) == ("tiny-id", 3, 0.8)


def test_an_embedding_does_not_depend_on_its_batch_or_thread(tiny_embedder: Path) -> None:
    with FaceEmbedder.open(tiny_embedder) as embedder, ThreadPoolExecutor(4) as pool:
        together = embedder.embed(crops(9))
        single = list(pool.map(embedder.embed, crops(9)[:, None]))
    assert np.array_equal(together, np.concatenate(single))


def test_no_crops_give_no_embeddings(tiny_embedder: Path) -> None:
    with FaceEmbedder.open(tiny_embedder) as embedder:
        assert embedder.embed(crops(0)).shape == (0, 3)


@pytest.mark.parametrize(
    "wrong", [np.zeros((144, 144, 3), np.uint8), np.zeros((1, 112, 112, 3), np.uint8), crops(1) / 1]
)
def test_other_arrays_are_refused(tiny_embedder: Path, wrong: np.ndarray) -> None:
    with FaceEmbedder.open(tiny_embedder) as embedder, pytest.raises(ShapeError, match=r"crops must be uint8 \[N, 144"):
        embedder.embed(wrong)


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match=r"detector\.onnx is no embedding network: it lacks dimensions"):
        FaceEmbedder.open(write_tiny_model(tmp_path / "detector.onnx"))
    with pytest.raises(RunnerError, match=r"link_similarity must be a number in \(0, 1\), got 2"):
        FaceEmbedder.open(write_tiny_embedder(tmp_path / "odd.onnx", link_similarity=2))
    with pytest.raises(RunnerError, match=r"gives embeddings \[1, 3\] instead of \[1, 4\]"):
        FaceEmbedder.open(write_tiny_embedder(tmp_path / "four.onnx", dimensions=4)).embed(crops(1))
    with pytest.raises(RunnerError, match="no embedding network 'nobody'"):
        FaceEmbedder.open("nobody")
    with pytest.raises(RunnerError, match=r"gone\.onnx does not exist"):
        FaceEmbedder.open(tmp_path / "gone.onnx")


def test_another_device_and_a_closed_embedder_are_refused(tiny_embedder: Path) -> None:
    with pytest.raises(ConfigError, match="device must be auto or cpu, got 'cuda'"):
        FaceEmbedder.open(tiny_embedder, "cuda")
    embedder = FaceEmbedder.open(tiny_embedder)
    embedder.close()
    embedder.close()
    with pytest.raises(RunnerError, match="tiny-id is closed"):
        embedder.embed(crops(1))


def test_grey_has_no_direction(tiny_embedder: Path) -> None:
    with FaceEmbedder.open(tiny_embedder) as embedder, pytest.raises(RunnerError, match="without a length"):
        embedder.embed(np.full((1, 144, 144, 3), 128, np.uint8))
