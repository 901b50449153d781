"""Fill the table of README.md from ``benchmarks/results``, between its two marker comments."""

from __future__ import annotations

import sys

from measure import RESULTS, ROOT, Row, load

BEGIN = "<!-- figures: written by benchmarks/readme_table.py -->"
END = "<!-- end of figures -->"
SHOWN = {  # name of a row → how a reader knows it; a row that was not taken is left out
    "stream_fps": "1080p clip to tracks, frames a second",
    "stream_frame": "one 1080p frame, decode to track, summed over stages",
    "stage_decode": "· decode",
    "stage_queue": "· waiting for the detector",
    "stage_preprocess": "· letterbox to the network's view",
    "stage_infer": "· network",
    "stage_decode_boxes": "· boxes from anchors",
    "stage_nms": "· NMS",
    "stage_track": "· track",
    "letterbox_ratio": "letterbox 1080p → 640: swscale + NumPy takes × as long",
    "decode_anchors_vs_numpy_ratio": "boxes from 34125 anchors: NumPy takes × as long",
    "nms_vs_opencv_ratio": "NMS of 1000 boxes: OpenCV takes × as long",
    "nms_vs_onnxruntime_ratio": "NMS of 1000 boxes: ONNX Runtime takes × as long",
    "memory_peak": "most memory while a long film is tracked",
    "memory_growth": "memory growth from minute 2 to the end",
}
UNITS = {"s": (1000.0, " ms"), "ratio": (1.0, " ×"), "fps": (1.0, " fps"), "bytes": (2.0**-20, " MiB")}


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
    machines = sorted({f"{row['device']}, commit {row['commit']}" for row in rows if row["name"] in SHOWN})
    return "\n".join([*lines, "", *(f"Measured on: {machine}." for machine in machines)])


def main() -> int:
    """Rewrite the part of README.md between the markers; 1 when the markers are missing."""
    rows = [row for path in sorted(RESULTS.glob("*.json")) for row in load(path.stem)]
    readme = ROOT / "README.md"
    head, begin, rest = readme.read_text().partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        print(f"README.md has no place for figures: {BEGIN} … {END}", file=sys.stderr)
        return 1
    if rows:
        readme.write_text(f"{head}{BEGIN}\n{table(rows)}\n{END}{tail}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
