"""acfd-51 with TensorRT: builds the engine, compares it with ONNX Runtime, measures. Also runs in Python 3.10."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from acfd_stream.config import DetectConfig
from gpu.book import Recorder
from gpu.ceilings import copy_rate
from gpu.network import GFLOP, PASSING, WORK, known_outputs, model_path, network_seconds, three_scales
from gpu.rig import Rig

MOST_ERROR = 1e-2  # of the norms, between two runtimes in fp16


def run(rig: Rig, record: Recorder) -> None:
    """Rows of TensorRT's runner, and of the whole path with it."""
    if rig.is_rehearsal:
        print("  there is no stand-in for TensorRT: nothing to rehearse", flush=True)
        return
    gpu, build_seconds = _opened(rig, model_path(rig))
    size, batch = (640, 640), gpu.config.batch
    try:
        seconds, _ = network_seconds(rig, gpu, size)
        about = {"model": "acfd-51", "view": str(size), "batch": batch, "runtime": gpu.network.facts.description}
        record.row("gpu_tensorrt_build", [build_seconds], **about)
        record.row("gpu_tensorrt_batch", seconds, **about)
        record.row("gpu_tensorrt_fps", [batch / value for value in seconds], "fps", **about)
        rate = _kept_matrix_rate(record)
        if rate is not None:
            work = batch * GFLOP * 1e9 / rate
            record.row("gpu_tensorrt_share", [work / value for value in seconds], "share", **about)
        record.row("gpu_tensorrt_copy_rate", [copy_rate(rig)], "bytes/s")
        _compare(record, gpu, size, about)
    finally:
        gpu.close()


def scales(rig: Rig, record: Recorder) -> None:
    """Rows of three scales: three more engines, which stay in the cache if time runs out."""
    if not rig.is_rehearsal:
        three_scales(rig, record, model_path(rig), "gpu_tensorrt_three_scales")


def _opened(rig: Rig, path: Path) -> tuple[Any, float]:
    from acfd_stream.detect.device import GpuNetwork
    from acfd_stream.detect.runner import read_spec
    from acfd_stream.detect.tensorrt_runner import TensorRTNetwork

    config = DetectConfig(size=640, batch=16, score_threshold=PASSING)
    network = TensorRTNetwork(path, read_spec(path), rig.ops, config)
    begin = time.perf_counter()
    network.compile((640, 640), [16])
    return GpuNetwork(network, rig.ops, config), time.perf_counter() - begin


def _kept_matrix_rate(record: Recorder) -> float | None:
    """The matrix rate that ``ceilings`` measured, because this Python has no torch."""
    rows = {row["name"]: row for row in record.book.values["rows"]}
    return float(rows["gpu_matrix_rate"]["median"]) if "gpu_matrix_rate" in rows else None


def _compare(record: Recorder, gpu: Any, size: tuple[int, int], about: dict[str, Any]) -> None:
    """Difference of the outputs from ONNX Runtime's on the same pictures."""
    kept = WORK / "outputs.npz"
    if not kept.exists():
        print("  there are no outputs of ONNX Runtime to compare with", flush=True)
        return
    found = known_outputs(gpu, size)
    with np.load(kept) as expected:
        errors = {
            name: float(np.linalg.norm(values - expected[name]) / np.linalg.norm(expected[name]))
            for name, values in found.items()
        }
    record.row("gpu_tensorrt_error", [max(errors.values())], "ratio", **about, errors=errors, bound=MOST_ERROR)
    if not max(errors.values()) <= MOST_ERROR:
        raise AssertionError(f"TensorRT's outputs are not ONNX Runtime's: {errors}")
