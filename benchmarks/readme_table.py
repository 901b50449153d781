"""Fill the table of README.md from ``benchmarks/results``, between its two marker comments."""

from __future__ import annotations

import sys

from gpu.acceptance import LINES, NOT_YET
from measure import RESULTS, ROOT, Row, load
from peers.field import TRACKERS, VIDEO
from tracking_table import by_situation, summary

BEGIN = "<!-- figures: written by benchmarks/readme_table.py -->"
END = "<!-- end of figures -->"
GPU_BEGIN = "<!-- figures of a GPU: written by benchmarks/readme_table.py -->"
GPU_END = "<!-- end of the figures of a GPU -->"
PEERS_BEGIN = "<!-- figures beside peers: written by benchmarks/readme_table.py -->"
PEERS_END = "<!-- end of the figures beside peers -->"
PEERS = "peers"  # peers.json, which benchmarks/bench_peers.py writes
TRACKING_BEGIN = "<!-- figures of tracks: written by benchmarks/readme_table.py -->"
TRACKING_END = "<!-- end of the figures of tracks -->"
TRACKING = "tracking"  # tracking.json, which benchmarks/tracking.py writes
GPU = "gpu"  # gpu.json, which benchmarks/gpu_suite.py writes
SHOWN = {  # name of a row → how a reader knows it; a row that was not taken is left out
    "stream_720_fps": "720p clip on twos, from bytes to JSON lines",
    "stream_720_real_time": "· as often as it plays",
    "stream_720_every_frame_real_time": "· with `--every-frame`",
    "stream_1080_fps": "1080p clip on twos, from bytes to JSON lines",
    "stream_1080_real_time": "· as often as it plays",
    "stream_1080_every_frame_real_time": "· with `--every-frame`",
    "stream_2160_fps": "4K clip on twos, from bytes to JSON lines",
    "stream_2160_real_time": "· as often as it plays",
    "stream_2160_every_frame_real_time": "· with `--every-frame`",
    "stream_frame": "one 1080p frame with `--every-frame`, decode to track, summed over stages",
    "stage_decode": "· decode",
    "stage_queue": "· waiting for the detector",
    "stage_preprocess": "· letterbox to the network's view",
    "stage_infer": "· network",
    "stage_decode_boxes": "· boxes from anchors",
    "stage_nms": "· NMS",
    "stage_track": "· track",
    "detector_openvino_bf16_512_b4": "the network alone, 512 px, four pictures at once, a picture: OpenVINO bf16",
    "detector_openvino_int8_512_b4": "· OpenVINO int8",
    "detector_openvino_f32_512_b4": "· OpenVINO f32",
    "detector_onnxruntime_f32_512_b4": "· ONNX Runtime f32",
    "detector_torch_f32_512_b4": "· torch f32",
    "letterbox_ratio": "letterbox 1080p → 640: swscale + NumPy takes × as long",
    "decode_anchors_vs_numpy_ratio": "boxes from 34125 anchors: NumPy takes × as long",
    "nms_vs_opencv_ratio": "NMS of 1000 boxes: OpenCV takes × as long",
    "nms_vs_onnxruntime_ratio": "NMS of 1000 boxes: ONNX Runtime takes × as long",
    "archive_film_share_of_track": "a long film as an archive: speed as a share of `track`'s on it, in turn",
    "archive_film_memory_growth": "memory growth meanwhile, all processes",
    "archive_second_run": "an archive of 40 videos, run again: nothing to do",
    "archive_status": "`archive status` of 10,000 videos",
    "live_1080p_1_p99": "live 1080p24, one stream: p99 from a frame's bytes to its answer",
    "live_720p_2_p99": "live 720p24, two streams: the same",
    "live_1080p_1_every_frame_p99": "live 1080p24, one stream, `--every-frame`: the same",
    "live_720p_2_every_frame_p99": "live 720p24, two streams, `--every-frame`: the same",
    "streams_1_fps": "1080p files through the service at once: 1",
    "streams_2_fps": "· 2",
    "streams_4_fps": "· 4",
    "streams_8_fps": "· 8",
    "streams_memory": "memory of a further 1080p file in the service",
    "detect_auto": "`acfd-stream detect` on one picture, from the shell, its view compiled before",
    "import_package": "`import acfd_stream`, the interpreter's start with it",
    "memory_peak": "most memory while a long film is tracked",
    "memory_growth": "memory growth from minute 2 to the end",
}
UNITS = {
    "s": (1000.0, " ms"),
    "ratio": (1.0, " ×"),
    "fps": (1.0, " fps"),
    "bytes": (2.0**-20, " MiB"),
    "bytes/s": (1e-12, " TB/s"),
    "flop/s": (1e-12, " TFLOP/s"),
    "share": (100.0, " %"),
    "count": (1.0, ""),
}


def shown(value: float, unit: str) -> str:
    """A figure as a person reads it: three digits and its unit."""
    factor, suffix = UNITS[unit]
    return f"{value * factor:.3g}{suffix}" if abs(value * factor) < 1000 else f"{value * factor:.0f}{suffix}"


def table(rows: list[Row]) -> str:
    """A Markdown table of the rows named in SHOWN, in that order."""
    lines = ["| what | median | p5 … p95 | n |", "|---|---|---|---|"]
    by_name = {row["name"]: row for row in rows}
    for name, meaning in SHOWN.items():
        if name in by_name:
            row = by_name[name]
            spread = f"{shown(row['p5'], row['unit'])} … {shown(row['p95'], row['unit'])}" if row["n"] > 1 else ""
            lines.append(f"| {meaning} | {shown(row['median'], row['unit'])} | {spread} | {row['n']} |")
    return "\n".join([*lines, "", *measured_on([row for row in rows if row["name"] in SHOWN])])


def peers_table(rows: list[Row]) -> str:
    """Everyone of the contest with his speed, and how often ours is as fast, in the rounds of one run."""
    lines = ["| who | what it does | median | p5 … p95 | acfd_stream is as fast |", "|---|---|---|---|---|"]
    by_name = {row["name"]: row for row in rows}
    everyone = [("peer", one) for one in VIDEO] + [("track_cost", one) for one in TRACKERS]
    for prefix, one in everyone:
        name = f"{prefix}_{one.name}"
        if name in by_name:
            row, ratio = by_name[name], by_name.get(f"{name}_ratio")
            spread = f"{shown(row['p5'], row['unit'])} … {shown(row['p95'], row['unit'])}" if row["n"] > 1 else ""
            times = shown(ratio["median"], "ratio") if ratio else ""
            lines.append(f"| {one.label} | {one.task} | {shown(row['median'], row['unit'])} | {spread} | {times} |")
    return "\n".join([*lines, "", *measured_on(rows)]).rstrip()


def measured_on(rows: list[Row]) -> list[str]:
    """A line a machine and commit."""
    return [f"Measured on: {place}." for place in sorted({f"{row['device']}, commit {row['commit']}" for row in rows})]


def gpu_table(rows: list[Row]) -> str:
    """Every line of the GPU path's acceptance with its figure; what no GPU has run says so."""
    lines = ["| what | figure | asked |", "|---|---|---|"]
    by_name = {row["name"]: row for row in rows}
    for line in LINES:
        asked = "" if line.bound is None else ("≤ " if line.is_most else "≥ ") + shown(line.bound, line.unit)
        row = by_name.get(line.row)
        figure = NOT_YET if row is None else shown(row[line.statistic], row["unit"])
        if row is not None and line.is_met(row) is False:
            figure = f"**{figure}**, not met"
        lines.append(f"| {line.meaning} | {figure} | {asked} |")
    return "\n".join([*lines, "", *measured_on(rows)]).rstrip()


def replaced(text: str, begin: str, end: str, inside: str) -> str | None:
    """``text`` with ``inside`` between two markers; None when they are missing."""
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    return f"{head}{begin}\n{inside}\n{end}{tail}" if found and closed else None


def main() -> int:
    """Rewrite the parts of README.md between the markers; 1 when markers are missing."""
    rows = [row for path in sorted(RESULTS.glob("*.json")) if path.stem != GPU for row in load(path.stem)]
    readme = ROOT / "README.md"
    text: str | None = readme.read_text()
    tables = [(GPU_BEGIN, GPU_END, gpu_table(load(GPU))), *([(BEGIN, END, table(rows))] if rows else [])]
    if beside := load(PEERS):
        tables.append((PEERS_BEGIN, PEERS_END, peers_table(beside)))
    tracks = load(TRACKING)
    if tracks:
        tables.append((TRACKING_BEGIN, TRACKING_END, summary(tracks)))
        page = ROOT / "docs/tracking.md"
        page.write_text(str(replaced(page.read_text(), TRACKING_BEGIN, TRACKING_END, by_situation(tracks))))
    for begin, end, inside in tables:
        text = replaced(str(text), begin, end, inside)
        if text is None:
            print(f"README.md has no place for figures: {begin} … {end}", file=sys.stderr)
            return 1
    readme.write_text(str(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
