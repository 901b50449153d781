"""Acceptance criteria of the GPU path, each with its figure and its bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NOT_YET = "not yet measured"


@dataclass(frozen=True)
class Line:
    """One criterion."""

    row: str  # name of the row with the figure
    meaning: str
    unit: str
    bound: float | None = None  # None: for information only
    is_most: bool = True  # the bound is a maximum, else a minimum
    statistic: str = "median"

    def is_met(self, row: Mapping[str, Any]) -> bool | None:
        """Whether a row meets the criterion; None without a bound."""
        if self.bound is None:
            return None
        value = float(row[self.statistic])
        return value <= self.bound if self.is_most else value >= self.bound


LINES = (
    Line("gpu_copy_rate", "memory bandwidth of a copy on the device, read and written bytes", "bytes/s"),
    Line("gpu_matrix_rate", "matrix units: fp16 product of two 8192×8192 matrices", "flop/s"),
    Line("gpu_tests_failed", "GPU tests and contract suites on the GPU: failures", "count", 0),
    Line("gpu_batches_unequal", "1,000 random batches with planted ties: different from the reference", "count", 0),
    Line("gpu_memcheck_errors", "compute-sanitizer memcheck: errors", "count", 0),
    Line("gpu_racecheck_hazards", "compute-sanitizer racecheck: hazards", "count", 0),
    Line("gpu_letterbox", "letterbox of 16 1080p frames to 640", "s"),
    Line("gpu_letterbox_ratio", "· relative to the time of copying the same bytes", "ratio", 3.0),
    Line("gpu_faces", "boxes, top candidates and NMS of 16 × 34,125 anchors", "s", 150e-6),
    Line(
        "gpu_faces_vs_torchvision",
        "· time of torchvision's `batched_nms` relative to ours",
        "ratio",
        5.0,
        is_most=False,
    ),
    Line("gpu_onnxruntime_fps", "acfd-51, 640×640, fp16, batch 16, ONNX Runtime: pictures per second", "fps"),
    Line("gpu_onnxruntime_conv_share", "· share of the matrix rate, convolutions only", "share", 0.4, is_most=False),
    Line("gpu_tensorrt_fps", "acfd-51, 640×640, fp16, batch 16, TensorRT: pictures per second", "fps"),
    Line("gpu_tensorrt_share", "· share of the matrix rate, whole network", "share", 0.4, is_most=False),
    Line("gpu_three_scales", "acfd-51, three scales of a 1080p frame, batch 1", "s", 0.010),
    Line("gpu_live_p99", "32 live streams of 1080p at 24 fps, acfd-51: p99 latency per frame", "s", 0.050),
    Line("gpu_live_lost", "· dropped or late frames", "share"),
    Line("gpu_stream_fps", "1080p H.264 from file to tracks, acfd-n: frames per second", "fps"),
    Line("gpu_stream_fps_51", "· with acfd-51", "fps"),
    Line("gpu_stream_p50", "one live 1080p stream, acfd-n: latency per frame, from bytes to track", "s"),
    Line("gpu_stream_p99", "· p99", "s", statistic="p99"),
    Line("gpu_stream_cpu", "· CPU load while the file is tracked, of one core", "share"),
    Line("gpu_stream_gpu", "· GPU load", "share"),
    Line("gpu_stream_nvdec", "· NVDEC load", "share"),
)


def answers(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every criterion with its figure, its bound and whether it is met; all None without a row."""
    by_name = {row["name"]: row for row in rows}
    found = []
    for line in LINES:
        row = by_name.get(line.row)
        found.append(
            {
                "row": line.row,
                "line": line.meaning,
                "unit": line.unit,
                "figure": None if row is None else row[line.statistic],
                "bound": line.bound,
                "bound_is": None if line.bound is None else ("most" if line.is_most else "least"),
                "is_met": None if row is None else line.is_met(row),
                "is_measured": row is not None,
            }
        )
    return found
