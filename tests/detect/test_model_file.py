from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acfd_stream.detect.runner import ModelSpec, read_spec
from acfd_stream.errors import BackendUnavailable, ConfigError, RunnerError
from acfd_stream.networks.model_file import read_metadata
from acfd_stream.ops.anchors import AnchorSpec
from tests.detect.openers import open_runner
from tests.detect.tiny_model import SPEC, write_model, write_tiny_model


def test_a_model_file_describes_itself(tiny_model: Path) -> None:
    spec = read_spec(tiny_model)
    assert spec.anchors == AnchorSpec((8, 16, 32), 4.0, (0.1, 0.2))
    assert (spec.name, spec.version, spec.size, spec.score_threshold) == ("tiny", "1", 128, 0.08)
    assert (spec.mean, spec.std, spec.pad) == ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0), (0, 0, 0))
    assert spec.classes == ("face",)


def test_all_metadata_entries_come_back_whole(tmp_path: Path) -> None:
    entries = {"a": "", "long": "x" * 100_000, "ü": "漫画"}
    assert read_metadata(write_model(tmp_path / "m.onnx", entries)) == entries


def test_a_file_without_a_description_is_refused_in_one_line(tmp_path: Path) -> None:
    path = write_model(tmp_path / "bare.onnx", {})
    with pytest.raises(RunnerError, match=r"bare\.onnx does not describe itself: .*'acfd_stream' is missing") as caught:
        open_runner(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_file_cut_short_is_refused(tiny_model: Path, tmp_path: Path, kept: float) -> None:
    data = tiny_model.read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(RunnerError, match=r"cut\.onnx"):
        read_spec(path)


@pytest.mark.parametrize("content", [b"", b"not a model at all, but text", b"\x89PNG\r\n\x1a\n", b"\xff" * 64])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(RunnerError, match=r"other\.onnx"):
        read_spec(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match=r"nowhere\.onnx cannot be read"):
        read_spec(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format must be 1, got 2"),
        ({"strides": []}, "strides must be a list of at most 16 whole numbers"),
        ({"strides": [4, 0]}, "strides"),
        ({"strides": [8] * 17}, "strides"),
        ({"strides": [10**30]}, "strides"),
        ({"anchor_scale": 0}, "anchor_scale must be a number in"),
        ({"anchor_scale": 1e30}, "anchor_scale"),
        ({"variances": [1e308, 0.2]}, "variances"),
        ({"mean": [float("nan")] * 3}, "mean"),
        ({"name": "two\nlines"}, "name must be a line of text"),
        ({"version": 2}, "version"),
        ({"classes": "face"}, "classes must be a list of names"),
        ({"size": 1e300}, "size"),
        ({"variances": [0.1]}, "variances must be 2 numbers"),
        ({"std": [1, 1, 0]}, "std must be 3 numbers"),
        ({"mean": "grey"}, "mean must be 3 numbers"),
        ({"pad": [0, 0, 256]}, r"pad must be 3 numbers in \[0, 255\]"),
        ({"score_threshold": 1.5}, "score_threshold"),
        ({"size": None}, "size"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(RunnerError, match=message):
        read_spec(write_tiny_model(tmp_path / "wrong.onnx", **change))


def test_a_missing_entry_is_named() -> None:
    values = {key: value for key, value in SPEC.items() if key not in ("mean", "date")}
    with pytest.raises(ValueError, match="it lacks date, mean"):
        ModelSpec.from_metadata(values)


@pytest.mark.parametrize("text", ["{", json.dumps([1, 2])])
def test_a_description_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(RunnerError, match="is refused"):
        read_spec(write_model(tmp_path / "wrong.onnx", {"acfd_stream": text}))


def test_cuda_is_refused_in_one_line(tiny_model: Path) -> None:
    with pytest.raises(BackendUnavailable, match="device 'cuda' cannot be used"):
        open_runner(tiny_model, "cuda")


def test_an_unknown_device_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match="device must be one of auto, cpu, cuda, got 'tpu'"):
        open_runner(tiny_model, "tpu")
