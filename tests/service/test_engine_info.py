"""What runs the network, as a scrape sees it."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

from acfd_stream.detect import Detector, device_choice
from acfd_stream.detect.device_choice import GpuStatus
from acfd_stream.service.server import Server
from acfd_stream.service.settings import ServiceSettings
from tests.detect.fake_tensorrt import make_tensorrt
from tests.detect.stand_in_gpu import StandInOps
from tests.detect.test_device_choice import use_tensorrt
from tests.detect.tiny_model import write_tiny_model
from tests.pipeline.conftest import DETECT
from tests.service.watched import get_json, url

ENGINE = 'acfd_engine_info{backend="%s",decoder="cpu",precision="%s",sm="%s",trt="%s"} 1.0'


def scraped(folder: Path, device: str) -> list[str]:
    """The lines of the engine's metrics, of a server with a network on ``device``."""
    asked = ServiceSettings(listen="127.0.0.1:0", metrics="127.0.0.1:0")
    with (
        Detector.open(write_tiny_model(folder / "tiny.onnx"), device, DETECT) as detector,
        Server(asked, detector=detector) as server,
        urllib.request.urlopen(url(server, "/metrics")) as answer,
    ):
        is_fallback = get_json(url(server, "/streams.json"))["service"]["is_fallback"]
        assert is_fallback == detector.facts.is_fallback  # the page says so too
        return [line for line in answer.read().decode().splitlines() if line.startswith("acfd_engine_")]


def test_a_gpu_is_seen_with_its_tensorrt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_choice, "gpu_status", lambda: GpuStatus(True))
    monkeypatch.setattr("acfd_stream.ops.cuda.open_ops", StandInOps)
    use_tensorrt(monkeypatch, lambda: make_tensorrt("11.4.0.106"))
    lines = scraped(tmp_path, "auto")
    assert lines == [ENGINE % ("tensorrt", "f16", "0.0", "11.4.0.106"), "acfd_engine_fallback 0.0"]


def test_a_gpu_that_is_left_unused_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_choice, "gpu_status", lambda: GpuStatus(True, "CuPy cannot be loaded"))
    (engine, fallback) = scraped(tmp_path, "auto")
    assert engine.startswith('acfd_engine_info{backend="openvino",')
    assert fallback == "acfd_engine_fallback 1.0"
