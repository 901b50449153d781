"""Which device is chosen, what is said of it, and that nobody is left in the dark."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from acfd_stream.config import DetectConfig
from acfd_stream.detect import device_choice, runners, tensorrt_runner
from acfd_stream.detect.detector import Detector, device_for
from acfd_stream.detect.device import GpuNetwork
from acfd_stream.detect.device_choice import GpuStatus, gpu_status, open_network
from acfd_stream.detect.runner import EngineFacts
from acfd_stream.detect.runners import RunnerEntry, first_usable
from acfd_stream.errors import BackendUnavailable, ConfigError
from tests.detect.fake_tensorrt import make_tensorrt
from tests.detect.stand_in_gpu import StandInOps
from tests.detect.tiny_model import white_square

NONE = GpuStatus(False, "there is no NVIDIA driver (libcuda.so.1)")
BARE = GpuStatus(True, "CuPy cannot be loaded; install it with: pip install 'acfd-stream[gpu]'")
USABLE = GpuStatus(True)


def use_tensorrt(monkeypatch: pytest.MonkeyPatch, load: Callable[[], Any]) -> None:
    monkeypatch.setattr(tensorrt_runner, "import_tensorrt", load)
    first, *rest = runners.GPU_RUNNERS
    monkeypatch.setattr(device_choice, "GPU_RUNNERS", [replace(first, check=load), *rest])


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> StandInOps:
    """A machine whose GPU is the stand-in, with a TensorRT that is the fake."""
    stand_in = StandInOps()
    monkeypatch.setattr(device_choice, "gpu_status", lambda: USABLE)
    monkeypatch.setattr("acfd_stream.ops.cuda.open_ops", lambda: stand_in)
    use_tensorrt(monkeypatch, lambda: make_tensorrt("11.4.0.106"))
    return stand_in


@pytest.mark.parametrize("status", [NONE, BARE])
def test_cuda_that_cannot_be_used_is_refused_with_its_reason(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, status: GpuStatus
) -> None:
    monkeypatch.setattr(device_choice, "gpu_status", lambda: status)
    with pytest.raises(BackendUnavailable) as caught:
        Detector.open(tiny_model, "cuda")
    assert str(caught.value) == f"device 'cuda' cannot be used: {status.obstacle}; use 'cpu' or 'auto'"
    assert device_for("cuda") == "cpu"


def test_auto_without_a_gpu_is_the_cpu_and_no_fallback(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(device_choice, "gpu_status", lambda: NONE)
    with Detector.open(tiny_model) as detector:
        assert (detector.device, detector.facts.backend, detector.facts.is_fallback) == ("cpu", "openvino", False)
        assert [record.getMessage() for record in caplog.records] == [f"tiny runs on {detector.description}"]


def test_auto_says_that_a_gpu_is_left_unused_and_shows_it(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(device_choice, "gpu_status", lambda: BARE)
    with Detector.open(tiny_model, "auto") as detector:
        assert (detector.device, detector.facts.is_fallback) == ("cpu", True)
    assert [record.getMessage() for record in caplog.records] == [f"the GPU is not used: {BARE.obstacle}"]
    caplog.clear()
    with Detector.open(tiny_model, "cpu") as detector:  # asked for by name: nothing else was wanted
        assert not detector.facts.is_fallback
    assert caplog.records == []


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_gpu_that_can_be_used_is_used(tiny_model: Path, cuda: StandInOps, device: str) -> None:
    with Detector.open(tiny_model, device, DetectConfig(size=64, batch=2)) as detector:
        facts = detector.facts
        assert (facts.backend, facts.precision, facts.trt, facts.sm) == ("tensorrt", "f16", "11.4.0.106", "0.0")
        assert detector.description == "tensorrt 11.4.0.106, stand-in (sm 0.0), f16, batches of 2"
        assert (detector.device, detector.precision, device_for(device)) == ("cuda", "f16", "cuda")
        assert detector.detect(white_square((64, 64), 12, 12, 32)).boxes_xyxy[0].tolist() == [12, 12, 44, 44]
    assert cuda.is_closed


def missing() -> None:
    raise BackendUnavailable("TensorRT cannot be loaded")


def test_without_tensorrt_onnxruntime_runs_the_network_and_the_log_says_so(
    tiny_model: Path, cuda: StandInOps, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    taken: Any = SimpleNamespace(facts=EngineFacts("onnxruntime", "f16", "1"))
    entries = [RunnerEntry("tensorrt", missing, missing), RunnerEntry("onnxruntime", lambda: None, lambda *_: taken)]
    monkeypatch.setattr(device_choice, "GPU_RUNNERS", entries)
    opened = open_network(tiny_model, "cuda", DetectConfig())
    assert isinstance(opened, GpuNetwork)
    assert opened.network is taken
    assert "onnxruntime runs the network, tensorrt would be faster: TensorRT cannot be loaded" in caplog.messages


def test_without_any_runner_every_reason_is_given() -> None:
    def no_onnxruntime() -> None:
        raise BackendUnavailable("onnxruntime cannot be loaded")

    entries = [RunnerEntry(name, check, lambda: None) for name, check in (("a", missing), ("b", no_onnxruntime))]
    with pytest.raises(BackendUnavailable, match="TensorRT cannot be loaded; onnxruntime cannot be loaded"):
        first_usable(entries)


def test_a_gpu_that_is_let_down_by_the_network_is_given_back(
    tiny_model: Path, cuda: StandInOps, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_tensorrt(monkeypatch, lambda: make_tensorrt("11.4.0.106", has_gpu=False))
    with pytest.raises(Exception, match="CUDA initialization failure"):
        Detector.open(tiny_model, "cuda")
    assert cuda.is_closed


def test_a_gpu_that_turns_out_too_old_is_left_unused_or_refused(
    tiny_model: Path, cuda: StandInOps, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def too_old() -> None:
        raise BackendUnavailable("GTX 1080 cannot be used: its compute capability must be at least 7.5, got 6.1")

    monkeypatch.setattr("acfd_stream.ops.cuda.open_ops", too_old)
    with Detector.open(tiny_model, "auto") as detector:
        assert (detector.device, detector.facts.is_fallback) == ("cpu", True)
    assert caplog.messages[0].startswith("the GPU is not used: GTX 1080 cannot be used")
    with pytest.raises(BackendUnavailable, match=r"device 'cuda' cannot be used: GTX 1080 .* got 6\.1; use 'cpu'"):
        Detector.open(tiny_model, "cuda")


def test_the_cpu_is_never_asked_about_a_gpu(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> GpuStatus:
        raise AssertionError

    monkeypatch.setattr(device_choice, "gpu_status", asked)
    Detector.open(tiny_model, "cpu").close()
    assert device_for("cpu") == device_for("tpu") == "cpu"
    with pytest.raises(ConfigError, match="device must be one of auto, cpu, cuda, got 'tpu'"):
        Detector.open(tiny_model, "tpu")


def driver(init: int = 0, count: int = 1) -> Any:
    """libcuda, as ctypes sees it."""

    def get_count(pointer: Any) -> int:
        pointer._obj.value = count
        return 0

    return SimpleNamespace(cuInit=lambda flags: init, cuDeviceGetCount=get_count)


@pytest.mark.parametrize(
    ("library", "expected"),
    [
        (OSError("libcuda.so.1: cannot open shared object file"), NONE),
        (driver(init=100), GpuStatus(False, "the NVIDIA driver cannot start a GPU (cuInit answers 100)")),
        (driver(count=0), GpuStatus(False, "the NVIDIA driver offers no GPU")),
        (driver(), GpuStatus(True, "no CuPy here")),
    ],
)
def test_the_driver_is_asked_first(monkeypatch: pytest.MonkeyPatch, library: Any, expected: GpuStatus) -> None:
    def load(name: str) -> Any:
        assert name == "libcuda.so.1"
        if isinstance(library, OSError):
            raise library
        return library

    def no_cupy() -> None:
        raise BackendUnavailable("CUDA cannot be used: no CuPy here")

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr("acfd_stream.ops.cuda.load_cupy", no_cupy)
    assert gpu_status.__wrapped__() == expected


def test_the_command_refuses_cuda_at_once(tmp_path: Path, cuda_device_count: int) -> None:
    if cuda_device_count:
        return  # there it is not refused
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"")
    begin = os.times()
    call = [sys.executable, "-m", "acfd_stream.cli", "detect", str(picture), "--device", "cuda"]
    done = subprocess.run(call, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    seconds = sum(os.times()[2:4]) - sum(begin[2:4])  # CPU time of children, which a busy machine does not stretch
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("acfd-stream: device 'cuda' cannot be used: ")
    assert done.stderr.count("\n") == 1
    assert seconds < 10  # it is about one


def test_importing_the_detector_starts_no_driver() -> None:
    code = (
        "import sys, acfd_stream.detect; print([m for m in ('cupy', 'torch', 'tensorrt', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
