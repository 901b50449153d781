"""Times the network in every runtime that loads here, by size and batch, in turn: pictures in, scores and deltas out.

Before timing, the outputs of each runtime on drawn pictures are compared with OpenVINO in float32. Run as
``python -m benchmarks.bench_detector``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acfd_stream import ops
from acfd_stream.config import DetectConfig, available_cores
from acfd_stream.detect import openvino_runner
from acfd_stream.detect.detector import models
from acfd_stream.detect.runner import ModelSpec, read_spec
from acfd_stream.errors import BackendUnavailable
from acfd_stream.model.toon.clip import render
from acfd_stream.networks.openvino_runtime import has_bf16
from acfd_stream.networks.precision import int8_path_of
from acfd_stream.ops.anchors import fit
from acfd_stream.types import FloatArray, Picture
from benchmarks.measure import Row, in_turn, ratio_row, row, save

FRAME, RATE = (720, 1280), 24
"""(height, width) and frames a second of the drawn clip that is looked at."""
MOST_DIFFERENCE = {"f32": 1e-3, "bf16": 0.1, "int8": 0.5}
"""Of a score from float32's; more means that something else is computed."""
LEAST_SCORE = 0.5
"""Of the best face, or nothing would be compared."""
Images = NDArray[np.uint8]
Run = Callable[[Images], FloatArray]  # [B, H, W, 3] → scores [B, A]


def openvino(path: Path, precision: str) -> Run:
    """Our runner with a given precision."""
    runner = openvino_runner.OpenVinoRunner(path, read_spec(path), DetectConfig(precision=precision))
    return lambda images: runner.run(images)[0]


def drawn(count: int) -> list[Picture]:
    """Pictures half a second apart."""
    clip = islice(render("demo", 0, FRAME, RATE), RATE // 2, None, RATE // 2)
    return [Picture.from_rgb(pixels) for pixels, _ in islice(clip, count)]


def views(pictures: Sequence[Picture], size: int, pad: tuple[int, int, int]) -> Images:
    """Network inputs [B, H, W, 3] of the pictures."""
    place = fit(FRAME, size)
    return np.stack([ops.letterbox(picture, place, pad) for picture in pictures])


def normalised(images: Images, spec: ModelSpec) -> FloatArray:
    """float32 [B, 3, H, W] as the other runtimes take it; computed once, outside the measurement."""
    values = (images - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32)


def by_onnxruntime(path: Path) -> Run:
    """ONNX Runtime on the same file, with its default settings."""
    import onnxruntime

    spec, options = read_spec(path), onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kept: dict[tuple[int, ...], FloatArray] = {}

    def run(images: Images) -> FloatArray:
        if images.shape not in kept:
            kept[images.shape] = normalised(images, spec)
        scores: FloatArray = session.run(["scores"], {"images": kept[images.shape]})[0]
        return scores

    return run


def runs_of(path: Path) -> Iterator[tuple[str, Run]]:
    """Every runtime that loads here, by name, the reference first. Prints a line on stderr for each of the others."""
    import openvino as library

    ways: dict[str, Callable[[], Run]] = {"openvino_f32": partial(openvino, path, "f32")}
    if has_bf16(library.Core()):
        ways["openvino_bf16"] = partial(openvino, path, "bf16")
    if int8_path_of(path).is_file():
        ways["openvino_int8"] = partial(openvino, int8_path_of(path), "int8")
    ways["onnxruntime_f32"] = partial(by_onnxruntime, path)
    for name, opened in ways.items():
        try:
            yield name, opened()
        except (BackendUnavailable, ImportError) as error:
            print(f"bench_detector: {name} is skipped: {error}", file=sys.stderr)


def bench(runs: dict[str, Run], images: Images, size: int, rounds: int) -> list[Row]:
    """Rows of one size and batch: seconds per picture, and the ratio of each to our fastest."""
    batch, *view = images.shape[:3]
    expected = next(iter(runs.values()))(images).copy()
    if expected.max() < LEAST_SCORE:
        sys.exit("bench_detector: there is no face to compare; nothing was timed")
    differences = {name: float(np.abs(run(images) - expected).max()) for name, run in runs.items()}
    for name, difference in differences.items():
        if difference > MOST_DIFFERENCE[name.rpartition("_")[2]]:
            sys.exit(f"bench_detector: {name} differs from the reference by {difference:.3f}; nothing was timed")
    samples = in_turn({name: partial(run, images) for name, run in runs.items()}, rounds)
    ours = min((name for name in runs if name.startswith("openvino")), key=lambda name: float(np.median(samples[name])))
    rows = []
    for name, taken in samples.items():
        about = {"view": f"{view[0]}x{view[1]}", "batch": batch, "score_difference": round(differences[name], 5)}
        rows.append(row(f"detector_{name}_{size}_b{batch}", [value / batch for value in taken], **about))
        if name != ours:
            ratio = f"detector_{name}_{size}_b{batch}_ratio"
            rows.append(ratio_row(ratio, taken, samples[ours], **about, against=ours))
    return rows


def main() -> None:
    """Time every runtime and write benchmarks/results/detector.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="320,416,512,640", help="longer sides of the network input, pixels")
    parser.add_argument("--batches", default="1,4")
    parser.add_argument("--rounds", type=int, default=15, help="samples of each figure")
    arguments = parser.parse_args()
    path = next(model.path for model in models() if model.name == "acfd-n")
    runs = dict(runs_of(path))
    batches = [int(text) for text in arguments.batches.split(",")]
    pictures, pad = drawn(max(batches)), read_spec(path).pad
    rows: list[Row] = []
    for size in (int(text) for text in arguments.sizes.split(",")):
        for batch in batches:
            rows += bench(runs, views(pictures[:batch], size, pad), size, arguments.rounds)
    save("detector", rows)


if __name__ == "__main__":
    main()
