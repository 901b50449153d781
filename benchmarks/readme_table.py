"""Write the tables of figures into README.md and docs/ from ``benchmarks/results``, between their marker comments."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from characters_table import characters_tables
from gpu.acceptance import LINES, NOT_YET
from measure import RESULTS, ROOT, Row, load
from peers.field import OURS, TRACKERS, VIDEO
from tracking_table import ALL, by_situation, summary

BEGIN = "<!-- figures: written by benchmarks/readme_table.py -->"
END = "<!-- end of figures -->"
COMPARED_BEGIN = "<!-- comparison: written by benchmarks/readme_table.py -->"
COMPARED_END = "<!-- end of the comparison -->"
GPU_BEGIN = "<!-- figures of a GPU: written by benchmarks/readme_table.py -->"
GPU_END = "<!-- end of the figures of a GPU -->"
PEERS_BEGIN = "<!-- figures beside peers: written by benchmarks/readme_table.py -->"
PEERS_END = "<!-- end of the figures beside peers -->"
PEERS = "peers"  # peers.json, which benchmarks/bench_peers.py writes
TRACKING_BEGIN = "<!-- figures of tracks: written by benchmarks/readme_table.py -->"
TRACKING_END = "<!-- end of the figures of tracks -->"
TRACKING = "tracking"  # tracking.json, which benchmarks/tracking.py writes
CHARACTERS_BEGIN = "<!-- figures of characters: written by benchmarks/readme_table.py -->"
CHARACTERS_END = "<!-- end of the figures of characters -->"
CHARACTERS = "characters"  # characters.json, which benchmarks/characters.py writes
GPU = "gpu"  # gpu.json, which benchmarks/gpu_suite.py writes
ABLATION = "ablation"  # ablation.json, which benchmarks/ablation.py writes; it holds no rows
SHOWN = {  # name of a row → its description in the table; rows without a measurement are left out
    "stream_720_fps": "720p clip animated on twos, from bytes to JSON lines",
    "stream_720_real_time": "· relative to playback speed",
    "stream_720_every_frame_real_time": "· the same with `--every-frame`",
    "stream_1080_fps": "1080p clip animated on twos, from bytes to JSON lines",
    "stream_1080_real_time": "· relative to playback speed",
    "stream_1080_every_frame_real_time": "· the same with `--every-frame`",
    "stream_2160_fps": "4K clip animated on twos, from bytes to JSON lines",
    "stream_2160_real_time": "· relative to playback speed",
    "stream_2160_every_frame_real_time": "· the same with `--every-frame`",
    "stream_frame": "latency of one 1080p frame with `--every-frame`, from decoding to its track: sum of the stages",
    "stage_decode": "· decoding",
    "stage_queue": "· queueing for the detector",
    "stage_preprocess": "· letterbox to the network input size",
    "stage_infer": "· network",
    "stage_decode_boxes": "· anchors to boxes",
    "stage_nms": "· NMS",
    "stage_track": "· tracking",
    "detector_openvino_bf16_512_b4": "network only, 512 px, batch of 4, time per picture: OpenVINO bf16",
    "detector_openvino_int8_512_b4": "· OpenVINO int8",
    "detector_openvino_f32_512_b4": "· OpenVINO f32",
    "detector_onnxruntime_f32_512_b4": "· ONNX Runtime f32",
    "letterbox_ratio": "letterbox 1080p → 640: time of swscale + NumPy relative to ours",
    "decode_anchors_vs_numpy_ratio": "34,125 anchors to boxes: time of NumPy relative to ours",
    "nms_vs_opencv_ratio": "NMS of 1,000 boxes: time of OpenCV relative to ours",
    "nms_vs_onnxruntime_ratio": "NMS of 1,000 boxes: time of ONNX Runtime relative to ours",
    "archive_film_share_of_track": "long film by `archive run`: speed relative to `track` on the same film",
    "archive_film_memory_growth": "· memory growth during the run, all processes",
    "archive_second_run": "second `archive run` over 40 finished videos",
    "archive_status": "`archive status` with 10,000 videos",
    "live_1080p_1_p99": "live 1080p24, one stream: p99 latency from the bytes of a frame to its result",
    "live_720p_2_p99": "live 720p24, two streams: the same",
    "live_1080p_1_every_frame_p99": "live 1080p24, one stream, `--every-frame`: the same",
    "live_720p_2_every_frame_p99": "live 720p24, two streams, `--every-frame`: the same",
    "streams_1_fps": "1080p files sent to the service at the same time, total speed: 1 file",
    "streams_2_fps": "· 2 files",
    "streams_4_fps": "· 4 files",
    "streams_8_fps": "· 8 files",
    "streams_memory": "memory of each additional 1080p file in the service",
    "detect_auto": "`acfd-stream detect` on one picture, as a shell command, with the network already compiled",
    "import_package": "`import acfd_stream`, including the start of the interpreter",
    "memory_peak": "peak memory while a long film is tracked",
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
    """Speed of each compared tool, and how many times as fast acfd_stream was in the same rounds."""
    lines = ["| tool | finds | median | p5 … p95 | speedup of acfd_stream |", "|---|---|---|---|---|"]
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


@dataclass(frozen=True)
class Compared:
    """One line of the README's comparison: what a tool does, and the rows that say how fast and how well."""

    label: str
    finds_drawn_faces: str
    keeps_ids: str
    ends_at_cuts: str
    speed_row: str
    tracker: str = ""  # of the tracking suite; empty: it has no score there


COMPARED = (
    Compared("**acfd_stream**", "yes", "yes", "yes", f"peer_{OURS.name}", "ours"),
    Compared("a script of 40 lines, PyAV and OpenVINO", "yes, with our network", "no", "no", "peer_naive"),
    Compared("Ultralytics YOLO11n `track`", "no, 80 kinds of objects", "yes", "no", "peer_yolo11n"),
    Compared("· the same on OpenVINO", "no, 80 kinds of objects", "yes", "no", "peer_yolo11n_openvino"),
    Compared("OpenCV's YuNet", "no, human faces", "no", "no", "peer_yunet"),
    Compared("OpenCV's Haar cascade", "no, human faces", "no", "no", "peer_cascade"),
    Compared("norfair, for boxes that you have", "no", "yes", "no", "track_cost_norfair", "norfair"),
    Compared("ByteTrack, for boxes that you have", "no", "yes", "no", "track_cost_bytetrack", "bytetrack"),
)


def comparison(peers: list[Row], tracks: list[Row]) -> str:
    """The README's table: what each tool does, how many times as fast acfd_stream is, and HOTA on the same boxes."""
    ratios = {row["name"]: shown(row["median"], "ratio") for row in peers if row["name"].endswith("_ratio")}
    scores = {row["parameters"]["tracker"]: row for row in tracks if _is_overall_hota(row)}
    lines = [
        "| tool | finds drawn faces? | follows a face? | new ID at a cut? | acfd_stream is faster | HOTA |",
        "|---|---|---|---|---|---|",
    ]
    for tool in COMPARED:
        hota = f"{scores[tool.tracker]['median']:.3f}" if tool.tracker in scores else ""
        faster = ratios.get(f"{tool.speed_row}_ratio", "")
        cells = (tool.label, tool.finds_drawn_faces, tool.keeps_ids, tool.ends_at_cuts, faster, hota)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *measured_on([*peers, *scores.values()])])


def _is_overall_hota(row: Row) -> bool:
    about = row["parameters"]
    return bool(row["name"] == "tracking_hota" and about["situation"] == ALL and "shipped" in about["detections"])


def measured_on(rows: list[Row]) -> list[str]:
    """One line with every machine and commit that the rows come from; none without rows."""
    places = sorted({f"{row['device']}, commit {row['commit']}" for row in rows})
    return [f"Measured on: {'; '.join(places)}."] if places else []


def gpu_table(rows: list[Row]) -> str:
    """Every requirement of the GPU path with its figure, or "not yet measured"."""
    lines = ["| what | figure | required |", "|---|---|---|"]
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


@dataclass(frozen=True)
class Block:
    """One generated table: the page and the markers between which it is."""

    page: str
    begin: str
    end: str
    table: str


def blocks() -> list[Block]:
    """Every table for which there are results."""
    files = [path.stem for path in sorted(RESULTS.glob("*.json")) if path.stem not in (GPU, ABLATION)]
    rows = [row for name in files for row in load(name)]
    peers, tracks = load(PEERS), load(TRACKING)
    found = [Block("docs/gpu.md", GPU_BEGIN, GPU_END, gpu_table(load(GPU)))]
    if rows:
        found.append(Block("docs/performance.md", BEGIN, END, table(rows)))
    if peers:
        found.append(Block("docs/performance.md", PEERS_BEGIN, PEERS_END, peers_table(peers)))
    if tracks:
        found.append(Block("docs/performance.md", TRACKING_BEGIN, TRACKING_END, summary(tracks)))
        found.append(Block("docs/tracking.md", TRACKING_BEGIN, TRACKING_END, by_situation(tracks)))
    if characters := load(CHARACTERS):
        found.append(Block("docs/characters.md", CHARACTERS_BEGIN, CHARACTERS_END, characters_tables(characters)))
    if peers and tracks:
        found.append(Block("README.md", COMPARED_BEGIN, COMPARED_END, comparison(peers, tracks)))
    return found


def main() -> int:
    """Rewrite the tables between the markers; 1 when a page lacks its markers."""
    for block in blocks():
        page = ROOT / block.page
        text = replaced(page.read_text(), block.begin, block.end, block.table)
        if text is None:
            print(f"{block.page} lacks the markers {block.begin} … {block.end}", file=sys.stderr)
            return 1
        page.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
