"""The runner of TensorRT on a fake of it: what it asks of which version, and what it does when that fails."""

from __future__ import annotations

import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from acfd_stream.config import DetectConfig
from acfd_stream.detect import half_graph, onnx_graph
from acfd_stream.detect.device_path import DevicePath
from acfd_stream.detect.device_sizes import SizedNetwork
from acfd_stream.detect.engine_cache import EngineCache
from acfd_stream.detect.half_graph import half_model
from acfd_stream.detect.tensorrt_runner import import_tensorrt
from acfd_stream.errors import BackendUnavailable, RunnerError
from acfd_stream.types import Picture
from tests.detect.fake_tensorrt import VERSIONS, Builder, make_tensorrt
from tests.detect.openers import DeviceRunner, fake_tensorrt, onnxruntime_on_cpu
from tests.detect.stand_in_gpu import StandInOps
from tests.detect.test_half_graph import quantised
from tests.detect.tiny_model import white_square, write_tiny_model

SQUARES = np.stack(
    [white_square((64, 64), 12, 12, 32), white_square((64, 64), 8, 8, 40), white_square((64, 64), 0, 0, 9)]
)
FP16_SCORES = 0.002  # logits of fp16 have 11 bits: 4.8 is within 0.004, whose effect on a score near 0.99 is far less


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_gives_the_scores_of_the_model(tiny_model: Path, version: str) -> None:
    runner, torch = (
        DeviceRunner(fake_tensorrt(tiny_model, make_tensorrt(version))),
        DeviceRunner(onnxruntime_on_cpu(tiny_model)),
    )
    for count in (3, 1, 2):
        scores, deltas = runner.run(SQUARES[:count])
        assert scores == pytest.approx(torch.run(SQUARES[:count])[0], abs=FP16_SCORES)
        assert not deltas.any()
    assert (runner.facts.backend, runner.facts.trt, runner.facts.precision) == ("tensorrt", version, "f16")
    assert runner.facts.sm == "0.0"
    runner.close()
    torch.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_is_told_what_it_needs(tiny_model: Path, version: str) -> None:
    trt = make_tensorrt(version)
    runner = DeviceRunner(fake_tensorrt(tiny_model, trt))
    runner.run(SQUARES)
    (config,) = trt.builds
    assert config.flags == set()
    assert config.monitor is not None
    shapes = ((1, 3, 64, 64), (3, 3, 64, 64), (3, 3, 64, 64))
    assert [profile.shapes["images"] for profile in config.profiles] == [shapes]
    runner.close()


@pytest.mark.parametrize("version", ["10.16.1.11", "11.4.0.106"])
def test_a_quantised_model_is_int8(tiny_model: Path, tmp_path: Path, version: str) -> None:
    path, trt = quantised(tiny_model, tmp_path / "int8.onnx"), make_tensorrt(version)
    runner, exact = DeviceRunner(fake_tensorrt(path, trt)), DeviceRunner(onnxruntime_on_cpu(path))
    assert runner.run(SQUARES)[0] == pytest.approx(exact.run(SQUARES)[0], abs=FP16_SCORES)
    assert runner.facts.precision == "int8"


def test_an_engine_is_built_once_and_kept(tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trt, cache = make_tensorrt("10.16.1.11"), EngineCache(tmp_path)
    expected = DeviceRunner(fake_tensorrt(tiny_model, trt, cache=cache)).run(SQUARES)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [line.split()[0] for line in said] == ["building", "built"]
    assert "tiny at 64×64, batches of 3, f16" in said[0]
    caplog.clear()
    again = DeviceRunner(fake_tensorrt(tiny_model, trt, cache=cache)).run(SQUARES)
    assert np.array_equal(again[0], expected[0])
    assert len(trt.builds) == 1
    assert caplog.records == []


def test_a_build_knows_what_kernels_took_in_earlier_ones(tiny_model: Path, tmp_path: Path) -> None:
    trt, cache = make_tensorrt("10.16.1.11"), EngineCache(tmp_path)
    runner = DeviceRunner(fake_tensorrt(tiny_model, trt, cache=cache))
    for width in (64, 96, 128):
        runner.run(np.zeros((1, 64, width, 3), np.uint8))
    assert [config.timings.given for config in trt.builds] == [b"", b"+", b"++"]
    other = make_tensorrt("10.0.1")
    DeviceRunner(fake_tensorrt(tiny_model, other, cache=cache)).run(SQUARES)
    assert [config.timings.given for config in other.builds] == [b""]


def test_a_build_says_how_far_it_is(tiny_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    DeviceRunner(fake_tensorrt(tiny_model, make_tensorrt("10.0.1"))).run(SQUARES)
    said = [record.getMessage() for record in caplog.records if "Building" in record.getMessage()]
    assert [line.rpartition(", ")[2] for line in said] == ["20 %", "40 %", "60 %", "80 %", "100 %"]


def other_model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "other.onnx", version="2")


def test_another_model_size_batch_or_version_is_another_engine(tiny_model: Path, tmp_path: Path) -> None:
    trt, cache = make_tensorrt("10.0.1"), EngineCache(tmp_path)
    larger = np.zeros((1, 64, 96, 3), np.uint8)
    calls = [
        (tiny_model, 3, SQUARES),
        (other_model(tmp_path), 3, SQUARES),
        (tiny_model, 3, larger),
        (tiny_model, 2, SQUARES),
    ]
    for number, (model, batch, images) in enumerate(calls, start=1):
        DeviceRunner(fake_tensorrt(model, trt, DetectConfig(batch=batch), cache)).run(images)
        assert len(trt.builds) == number
    newer = make_tensorrt("11.4.0.106")
    DeviceRunner(fake_tensorrt(tiny_model, newer, cache=cache)).run(SQUARES)
    assert len(newer.builds) == 1


def test_an_engine_that_tensorrt_refuses_is_built_anew(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = make_tensorrt("10.0.1"), make_tensorrt("10.16.1.11")
    monkeypatch.setattr(old, "__version__", "10.16.1.11", raising=True)
    cache = EngineCache(tmp_path)
    DeviceRunner(fake_tensorrt(tiny_model, old, cache=cache)).run(SQUARES)
    kept = sorted((tmp_path / "tensorrt").glob("*.compiled"))
    monkeypatch.setattr(EngineCache, "load", lambda self, key: b"whole, but not of this TensorRT")
    DeviceRunner(fake_tensorrt(tiny_model, new, cache=cache)).run(SQUARES)
    assert len(new.builds) == 1
    assert sorted((tmp_path / "tensorrt").glob("*.compiled")) == kept


def test_a_build_that_fails_says_why_in_one_line(tiny_model: Path) -> None:
    trt = make_tensorrt("11.4.0.106")
    trt.refuses = "Could not find any implementation for node conv"
    with pytest.raises(RunnerError, match="model tiny at 64×64: TensorRT failed: Could not find any") as caught:
        DeviceRunner(fake_tensorrt(tiny_model, trt)).run(SQUARES)
    assert "\n" not in str(caught.value)


def test_an_engine_is_bound_while_another_is_built(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = fake_tensorrt(tiny_model, make_tensorrt("11.4.0.106"))
    gpu.network.compile((64, 64), (1, 2, 3))
    building, go_on = threading.Event(), threading.Event()
    build = Builder.build_serialized_network

    def slowly(self: Builder, *given: Any) -> bytes | None:
        building.set()
        assert go_on.wait(20)
        return build(self, *given)

    monkeypatch.setattr(Builder, "build_serialized_network", slowly)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(gpu.network.compile, (96, 96), (1, 2, 3))
        assert building.wait(20)
        assert SizedNetwork(gpu, (64, 64)).usable == (1, 2, 3)  # would wait for ever
        assert not other.done()
        go_on.set()
        other.result(20)
    gpu.close()


def test_what_cannot_be_captured_runs_without_a_graph_and_that_is_said(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = DeviceRunner(fake_tensorrt(tiny_model, make_tensorrt("10.0.1"))).run(SQUARES)
    end_capture = StandInOps.end_capture

    def invalidated(self: StandInOps) -> None:
        end_capture(self)
        raise RunnerError("cudaErrorStreamCaptureInvalidated")

    monkeypatch.setattr(StandInOps, "end_capture", invalidated)
    assert np.array_equal(DeviceRunner(fake_tensorrt(tiny_model, make_tensorrt("10.0.1"))).run(SQUARES)[0], expected[0])
    assert "tiny at 64×64 in batches of 3 runs without a CUDA graph, a little slower: cudaError" in caplog.text


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_gpu_it_says_so(tiny_model: Path, version: str) -> None:
    with pytest.raises(RunnerError, match="TensorRT failed: CUDA initialization failure with error: 35"):
        fake_tensorrt(tiny_model, make_tensorrt(version, has_gpu=False))


def test_a_model_of_fp16_needs_no_onnx(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = tmp_path / "half.onnx"
    half.write_bytes(half_model(tiny_model))
    expected = DeviceRunner(fake_tensorrt(tiny_model, make_tensorrt("10.16.1.11"))).run(SQUARES)[0]

    def missing() -> None:
        raise BackendUnavailable("onnx cannot be loaded")

    monkeypatch.setattr(onnx_graph, "import_onnx", missing)
    monkeypatch.setattr(half_graph, "import_onnx", missing)
    got = DeviceRunner(fake_tensorrt(half, make_tensorrt("10.16.1.11"))).run(SQUARES)[0]
    assert np.array_equal(got, expected)
    with pytest.raises(BackendUnavailable, match="onnx cannot be loaded"):
        DeviceRunner(fake_tensorrt(tiny_model, make_tensorrt("10.16.1.11"))).run(SQUARES)


def test_faces_come_out_of_the_whole_path(tiny_model: Path) -> None:
    config = DetectConfig(size=64, batch=2)
    path = DevicePath(fake_tensorrt(tiny_model, make_tensorrt("10.16.1.11"), config))
    ((found, seconds),) = path.detect([Picture.from_rgb(SQUARES[0])])
    assert found.boxes_xyxy[0].tolist() == [12, 12, 44, 44]
    assert set(seconds) == {"queue", "preprocess", "infer", "decode_boxes", "nms"}
    path.close()


@pytest.mark.parametrize(("version", "message"), [("8.6.1", "at least 10.0, got 8.6.1"), (None, "cannot be loaded")])
def test_no_tensorrt_or_one_that_is_too_old_is_named(
    monkeypatch: pytest.MonkeyPatch, version: str | None, message: str
) -> None:
    module = ModuleType("tensorrt")
    module.__version__ = version or ""  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorrt", module if version else None)
    with pytest.raises(BackendUnavailable, match=message):
        import_tensorrt()


def test_the_real_module_has_all_that_the_fake_has() -> None:
    """Where TensorRT imports, a GPU or not, its members are what the runner and the fake take them for."""
    try:
        trt = import_tensorrt()
    except BackendUnavailable:
        assert "tensorrt" not in sys.modules
        return
    fake = make_tensorrt(
        next(version for version in VERSIONS[::-1] if version.split(".")[0] == trt.__version__.split(".")[0])
    )
    asked = [name for name in vars(fake) if name not in ("has_gpu", "builds", "refuses")]
    assert [name for name in asked if not hasattr(trt, name)] == []
    assert hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
