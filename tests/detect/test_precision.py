"""Which file and which arithmetic a CPU gets, and that it is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acfd_stream.archive.key import Settings
from acfd_stream.config import DetectConfig, ShotConfig, TrackConfig, VideoConfig, effective
from acfd_stream.detect import detector as module
from acfd_stream.detect.detector import Detector, find_model, models
from acfd_stream.detect.device_choice import _check_gpu_precision
from acfd_stream.errors import BackendUnavailable, ConfigError, RunnerError
from acfd_stream.networks import precision
from acfd_stream.networks.precision import choose_arithmetic, int8_path_of
from acfd_stream.networks.shipped import shipped_files
from acfd_stream.pipeline.checkpoint import signature
from tests.detect.tiny_model import white_square, write_tiny_int8, write_tiny_model

SQUARE = white_square((96, 128), left=36, top=28, side=32)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of "tiny", which is shipped with an int8 variant."""
    path = write_tiny_model(tmp_path / "tiny.onnx")
    write_tiny_int8(path, tmp_path / "tiny.int8.onnx")
    monkeypatch.setattr(module, "shipped_files", lambda folder=None: shipped_files(folder or tmp_path))
    return path


def with_features(monkeypatch: pytest.MonkeyPatch, *features: str) -> None:
    monkeypatch.setattr(precision, "cpu_features", lambda: frozenset(features))


def opened(name: str | Path, asked: str = "auto") -> Detector:
    return Detector.open(name, "cpu", DetectConfig(size=128, threads=1, precision=asked))


@pytest.mark.parametrize("feature", ["avx2", "avx512_vnni", "avx_vnni", "amx_int8"])
def test_a_cpu_that_multiplies_bytes_runs_the_int8_variant(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, feature: str
) -> None:
    with_features(monkeypatch, "fpu", "sse4_2", feature)
    with opened("tiny") as detector:
        assert (detector.precision, detector.facts.backend) == ("int8", "openvino")
        assert "int8" in detector.description.split(", ")
        assert detector.detect(SQUARE).boxes_xyxy[0].tolist() == [36, 28, 68, 60]


def test_another_cpu_runs_the_model_s_own_file(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_features(monkeypatch, "fpu", "sse4_2", "asimddp")
    with opened("tiny") as detector:
        assert detector.precision in ("bf16", "f32")


@pytest.mark.parametrize("asked", ["int8", "f32"])
def test_what_is_asked_for_is_what_runs(shipped: Path, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    with_features(monkeypatch, *(["avx_vnni"] if asked == "f32" else []))
    with opened("tiny", asked) as detector:
        assert detector.precision == asked
        assert asked in detector.description


def test_a_path_stands_for_its_own_file(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_features(monkeypatch, "avx_vnni")
    with opened(shipped) as own, opened(int8_path_of(shipped)) as quantised:
        assert own.precision in ("bf16", "f32")
        assert quantised.precision == "int8"
    with pytest.raises(ConfigError, match=r"tiny\.onnx is not quantised: precision must be 'auto', 'bf16' or 'f32'"):
        opened(shipped, "int8")
    with pytest.raises(ConfigError, match=r"tiny\.int8\.onnx is quantised: precision must be 'auto' or 'int8'"):
        opened(int8_path_of(shipped), "f32")


def test_a_twin_of_another_model_is_refused(shipped: Path) -> None:
    other = write_tiny_model(shipped.with_name("other.onnx"), version="2")
    write_tiny_int8(other, int8_path_of(shipped))
    with pytest.raises(RunnerError, match=r"tiny\.int8\.onnx was made of another tiny than .*; run `python -m"):
        opened("tiny", "int8")


def test_a_twin_is_no_model_of_its_own(shipped: Path) -> None:
    assert [(model.name, model.precisions) for model in models()] == [("tiny", ("int8", "bf16", "f32"))]
    with pytest.raises(RunnerError, match=r"no model 'tiny\.int8': there is tiny;"):
        find_model("tiny.int8")
    int8_path_of(shipped).unlink()
    assert [model.precisions for model in models()] == [("bf16", "f32")]


def test_bf16_is_refused_where_it_would_be_simulated(shipped: Path) -> None:
    assert [choose_arithmetic(shipped, asked, True) for asked in ("auto", "bf16", "f32")] == ["bf16", "bf16", "f32"]
    assert [choose_arithmetic(shipped, asked, False) for asked in ("auto", "f32")] == ["f32", "f32"]
    assert choose_arithmetic(int8_path_of(shipped), "auto", True) == "int8"
    with pytest.raises(BackendUnavailable, match="this CPU does not multiply bf16; use 'auto'"):
        choose_arithmetic(shipped, "bf16", False)


def test_the_choice_is_for_cpus_and_among_four() -> None:
    _check_gpu_precision("auto")
    with pytest.raises(ConfigError, match="precision 'int8' is for CPUs: use --device cpu"):
        _check_gpu_precision("int8")
    with pytest.raises(ConfigError, match="precision must be one of auto, int8, bf16, f32, got 'int4'"):
        DetectConfig(precision="int4")


def test_results_name_what_was_computed_not_what_was_asked(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_features(monkeypatch, "avx_vnni")
    signed = {}
    for asked in ("auto", "int8", "f32"):
        with opened("tiny", asked) as detector:
            signed[asked] = json.dumps(signature(detector, TrackConfig(), ShotConfig(), VideoConfig()))
    assert signed["auto"] == signed["int8"] != signed["f32"]
    assert "precision" not in effective(DetectConfig(precision="f32"))


def test_an_archive_tells_precisions_and_twins_apart(shipped: Path) -> None:
    def key(asked: str) -> str:
        config = DetectConfig(precision=asked)
        return Settings(shipped, config, TrackConfig(), ShotConfig(), VideoConfig()).digest()

    keys = [key("auto"), key("f32")]
    write_tiny_int8(write_tiny_model(shipped.with_name("new.onnx"), version="3"), int8_path_of(shipped))
    keys.append(key("auto"))
    int8_path_of(shipped).unlink()
    assert len({*keys, key("auto")}) == 4


def test_features_are_read_where_linux_tells_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert precision.cpu_features() == precision.cpu_features.__wrapped__()
    monkeypatch.setattr(precision, "_HEAD_BYTES", 0)
    assert precision.cpu_features.__wrapped__() == frozenset()
