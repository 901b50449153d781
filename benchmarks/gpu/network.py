"""acfd-51 on the GPU: pictures per second, share of the matrix rate in convolutions, three scales of a frame."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from acfd_stream.config import DetectConfig
from acfd_stream.ops.anchors import anchor_count
from acfd_stream.types import Picture
from gpu.book import Recorder
from gpu.ceilings import matrix_rate
from gpu.kernels import noise_picture, on_device
from gpu.rig import Rig

GFLOP = 141.9  # of one picture of 640×640: python -m acfd_stream.model.complexity
SCALES = (480, 640, 800)
PASSING = 0.008
"""A threshold that the drawn weights' scores pass often enough to give the NMS its work."""
WORK = Path(os.environ.get("ACFD_SUITE_WORK") or Path(tempfile.gettempdir()) / "acfd-gpu-suite")
"""Where parts leave files for each other: the model, the outputs to compare with."""
_CONVOLUTIONS = ("conv", "gemm", "xmma", "cutlass", "sm90", "sm80", "wgrad", "dgrad", "fprop", "implicit", "winograd")
_ROUNDS = 40


def run(rig: Rig, record: Recorder) -> None:
    """Rows of ONNX Runtime's runner; saves its outputs for comparison with TensorRT."""
    with opened(rig) as (gpu, size):
        seconds, _ = network_seconds(rig, gpu, size)
        batch, about = gpu.config.batch, about_network(gpu, size)
        record.row("gpu_onnxruntime_batch", seconds, **about)
        record.row("gpu_onnxruntime_fps", [batch / value for value in seconds], "fps", **about)
        work = batch * GFLOP * 1e9 / matrix_rate(rig)
        record.row("gpu_onnxruntime_share", [work / value for value in seconds], "share", **about)
        WORK.mkdir(parents=True, exist_ok=True)
        np.savez(WORK / "outputs.npz", **known_outputs(gpu, size))


def convolutions(rig: Rig, record: Recorder) -> None:
    """Rows of the profiled time in convolutions and in the rest."""
    with opened(rig) as (gpu, size):
        _, launch = network_seconds(rig, gpu, size)
        if not rig.is_rehearsal:
            work = gpu.config.batch * GFLOP * 1e9 / matrix_rate(rig)
            _record_convolutions(rig, record, launch, work, about_network(gpu, size))


def scales(rig: Rig, record: Recorder) -> None:
    """Rows of the whole path at three scales, with ONNX Runtime."""
    three_scales(rig, record, model_path(rig), "gpu_three_scales")


@contextmanager
def opened(rig: Rig) -> Iterator[tuple[Any, tuple[int, int]]]:
    """acfd-51 with ONNX Runtime, and the measured size."""
    gpu = open_network(rig, model_path(rig))
    try:
        yield gpu, rig.scaled((640, 640), (64, 64))
    finally:
        gpu.close()


def about_network(gpu: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Parameters of a row."""
    runtime = gpu.network.facts.description
    return {"model": "acfd-51", "view": str(size), "batch": gpu.config.batch, "runtime": runtime}


def model_path(rig: Rig) -> Path:
    """acfd-51 with drawn weights; acfd-n in a rehearsal."""
    if rig.is_rehearsal:
        from acfd_stream.detect.detector import find_model

        return find_model("acfd-n")
    target = WORK / "acfd-51.onnx"
    if not target.exists():
        from gpu.big_model import fill, write_skeleton

        WORK.mkdir(parents=True, exist_ok=True)
        carried = os.environ.get("ACFD_SKELETON")
        skeleton = Path(carried) if carried else WORK / "acfd-51.skeleton.onnx"
        if not carried:
            write_skeleton(skeleton)
        part = target.with_suffix(".part")
        fill(skeleton, part)
        os.replace(part, target)
    return target


def open_network(rig: Rig, path: Path, batch: int = 16) -> Any:
    """Open with ONNX Runtime, on the ops of the rig."""
    from acfd_stream.detect.device import GpuNetwork
    from acfd_stream.detect.onnxruntime_runner import CPU, CUDA, OnnxRuntimeNetwork
    from acfd_stream.detect.runner import read_spec

    config = DetectConfig(size=640, batch=rig.scaled(batch, 2), score_threshold=PASSING)
    network = OnnxRuntimeNetwork(path, read_spec(path), rig.ops, config, CPU if rig.is_rehearsal else CUDA)
    return GpuNetwork(network, rig.ops, config)


def network_seconds(rig: Rig, gpu: Any, size: tuple[int, int]) -> tuple[list[float], Callable[[], None]]:
    """Time of a full batch through the network alone, on noise; and the call that queues one."""
    batch, spec = gpu.config.batch, gpu.network.spec
    anchors = anchor_count(size, spec.anchors)
    images = gpu.ops.letterboxes(batch, size, gpu.network.dtype, spec.pad, spec.mean, spec.std).images
    noise = np.random.default_rng(5).standard_normal((batch, 3, *size), np.float32)
    gpu.ops.to_device(noise.astype(gpu.network.dtype), images)
    scores, deltas = gpu.ops.empty((batch, anchors), np.float32), gpu.ops.empty((batch, anchors, 4), np.float32)
    gpu.network.compile(size, [batch])  # one size of batch: engines are slow to build
    (program,) = gpu.network.programs(size, [batch], images, scores, deltas)
    program.launch()
    if not np.isfinite(gpu.ops.to_host(scores)).all():
        raise AssertionError("the network gives scores that are no numbers; nothing was timed")
    return rig.samples(lambda _: program.launch(), _ROUNDS), program.launch


def known_outputs(gpu: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Scores and deltas of the known pictures, in a batch of the size that is compiled."""
    batch, spec = gpu.config.batch, gpu.network.spec
    levels = known_images((batch, *size)).astype(np.float32)
    values = (levels - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    images = gpu.ops.letterboxes(batch, size, gpu.network.dtype, spec.pad, spec.mean, spec.std).images
    gpu.ops.to_device(np.ascontiguousarray(values.transpose(0, 3, 1, 2).astype(gpu.network.dtype)), images)
    anchors = anchor_count(size, spec.anchors)
    scores, deltas = gpu.ops.empty((batch, anchors), np.float32), gpu.ops.empty((batch, anchors, 4), np.float32)
    gpu.network.compile(size, [batch])
    (program,) = gpu.network.programs(size, [batch], images, scores, deltas)
    program.launch()
    return {"scores": gpu.ops.to_host(scores), "deltas": gpu.ops.to_host(deltas)}


def known_images(shape: tuple[int, int, int]) -> Any:
    """Noise pictures [B, H, W, 3], the same on every machine."""
    return np.random.default_rng(11).integers(0, 256, (*shape, 3), np.uint8)


def _record_convolutions(rig: Rig, record: Recorder, launch: Callable[[], None], work: float, about: Any) -> None:
    import torch
    from torch.profiler import ProfilerActivity, profile

    repeats = 10
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiler:
        for _ in range(repeats):
            launch()
        rig.synchronize()
        torch.cuda.synchronize()
    kernels = [(entry.key, _device_us(entry)) for entry in profiler.key_averages()]
    kernels = [(name, us) for name, us in kernels if us > 0 and not name.startswith(("cuda", "aten::"))]
    ours = sum(us for name, us in kernels if any(word in name.lower() for word in _CONVOLUTIONS))
    whole = sum(us for _, us in kernels)
    top = sorted(kernels, key=lambda entry: -entry[1])[:12]
    listed = [f"{us / whole:.3f} {name[:90]}" for name, us in top]
    record.row("gpu_onnxruntime_conv_part", [ours / whole], "share", **about, kernels=listed)
    record.row("gpu_onnxruntime_conv_share", [work / (ours / repeats / 1e6)], "share", **about)


def _device_us(entry: Any) -> float:
    """Microseconds on the device; torch has renamed the field."""
    for name in ("self_device_time_total", "self_cuda_time_total"):
        value = getattr(entry, name, None)
        if value is not None:
            return float(value)
    return 0.0


def three_scales(rig: Rig, record: Recorder, path: Path, row: str) -> None:
    """A 1080p frame at batch 1 through the whole path: pixels in, faces out, with the host waiting."""
    from acfd_stream.detect.detector import Detector

    config = DetectConfig(scales=rig.scaled(SCALES, (64, 96)), batch=1, score_threshold=PASSING)
    size = rig.scaled((1080, 1920), (90, 160))
    with Detector.open(path, rig.device, config) as detector:
        about = {"frame": f"{size[1]}x{size[0]} nv12", "scales": str(config.scales), "engine": detector.description}
        host = [noise_picture(size, seed) for seed in range(4)]
        for name, pictures in (("", [on_device(rig, picture) for picture in host]), ("_from_host", host)):
            walls, stages = _walls(detector, pictures, rig.scaled(200, 3))
            record.row(f"{row}{name}", walls, **about, stages=stages)


def _walls(detector: Any, pictures: list[Picture], rounds: int) -> tuple[list[float], dict[str, float]]:
    """Wall seconds of one picture after the other, and the medians of the stages."""
    walls, stages = [], []
    for at in range(rounds + 10):
        begin = time.perf_counter()
        ((_, seconds),) = detector.detect_timed([replace(pictures[at % len(pictures)])])
        walls.append(time.perf_counter() - begin)
        stages.append(seconds)
    names = stages[0].keys()
    return walls[10:], {name: float(np.median([entry[name] for entry in stages[10:]])) for name in names}
