"""The int8 variant of a model, which CPUs with int8 instructions run instead of it: made by NNCF after training.

Weights are signed bytes with one scale per channel. Activations after ReLU are unsigned bytes, which gives them twice
the steps. The zero point is 0 in both, so that padding is exact. The last convolutions, which give scores and boxes,
keep their precision, but for that of the finest map: it takes a twentieth of the time and loses nothing in int8. GPUs
take another kind of file: see ``quantise``.

Source: Nagel et al., A White Paper on Neural Network Quantization (2021), section 3.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream.config import DetectConfig, hush_nncf
from acfd_stream.errors import BackendUnavailable, RunnerError
from acfd_stream.ops.anchors import fit
from acfd_stream.progress import WorkProgress

from .average_precision import Score, score
from .command_line import Parser
from .datasets import read_set
from .evaluation import examples_of, pictures_in
from .quantise import views_of
from .readers import read_picture
from .toon.sets import draw_set

SHOWN = (("icartoonface_train", 24), ("toons_train", 6), ("dexter_train", 1), ("scooby_train", 1))
"""Sets, and how many pictures of each the ranges are measured on, besides drawn ones."""
SHOWN_DRAWN = (("crowds", 28), ("lineart", 8))  # with fewer, AP50 on crowds loses a hundredth
FIRST_DRAWN = 5000
"""Number of the first drawn picture; evaluation uses others."""
JUDGED = ("icartoonface_val",)
MOST_FALL = 0.01
"""Loss of AP50 from which on a variant is not kept."""
View = NDArray[np.uint8]


def shown_pictures(data: Path | None) -> Iterator[View]:
    """Pictures that the ranges are measured on: spread evenly over the training sets of ``data``, and drawn ones.

    Raises:
        MediaError: a picture is missing or cannot be read.
    """
    for name, count in SHOWN if data is not None else ():
        samples = read_set(name, data)
        for number in np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(int):
            yield read_picture(samples[number].file)[0]
    for name, count in SHOWN_DRAWN:
        for picture, _ in draw_set(name, count, FIRST_DRAWN):
            yield picture


def quantise_for_cpu(path: Path, views: Sequence[View], target: Path) -> None:
    """Write the model at ``path`` in int8, with the same metadata.

    Args:
        path: a model file; it is not changed.
        views: uint8 [H, W, 3] RGB, letterboxed; a few dozen.
        target: the file, replaced if there.

    Raises:
        BackendUnavailable: NNCF is not installed.
        RunnerError: the file is refused.
    """
    import onnx

    from acfd_stream.detect.runner import read_spec
    from acfd_stream.networks.precision import MADE_FROM, digest

    nncf, spec = import_nncf(), read_spec(path)
    import nncf.quantization.range_estimator as ranges

    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)

    def as_input(view: View) -> dict[str, Any]:
        images = (view.astype(np.float32) - mean) / std
        return {"images": np.ascontiguousarray(images.transpose(2, 0, 1)[None])}

    plain = widened(path)
    model = nncf.quantize(
        plain,
        nncf.Dataset(views, as_input),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(views),
        ignored_scope=nncf.IgnoredScope(names=last_convolutions(plain)[1:]),
        # The mean over pictures of the lowest and highest value; one picture with extremes does not coarsen all steps.
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=ranges.RangeEstimatorParametersSet.MEAN_MINMAX
        ),
    )
    entry = model.metadata_props.add()
    entry.key, entry.value = MADE_FROM, digest(path)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def widened(path: Path) -> Any:
    """The model at ``path``, its fp16 weights stored as float32."""
    from onnx import numpy_helper

    from acfd_stream.detect.onnx_graph import load_model

    model = load_model(path)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Cast" and node.input[0] in weights:
            values = numpy_helper.to_array(weights[node.input[0]]).astype(np.float32)
            weights[node.input[0]].CopyFrom(numpy_helper.from_array(values, node.output[0]))
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def last_convolutions(model: Any) -> list[str]:
    """Names of the convolutions with no other convolution between them and an output, in the order of the graph."""
    wanted = {output.name for output in model.graph.output}
    found = []
    for node in reversed(model.graph.node):  # each node comes after those that it reads
        if wanted.isdisjoint(node.output):
            continue
        if node.op_type == "Conv":
            found.append(node.name)
        else:
            wanted |= set(node.input)
    return [name for name in reversed(found) if name]


def judge(
    path: Path, sets: Sequence[str], data: Path | None, size: int, count: int, progress: WorkProgress
) -> dict[str, Score]:
    """AP50 of the model file at ``path`` on each of ``sets``; each picture is a step of ``progress``."""
    from acfd_stream.detect import Detector

    scores = {}
    with Detector.open(path, "cpu", DetectConfig(size=size)) as detector:
        for name in sets:
            # Equal view sizes in a row: a network is compiled for each.
            examples = sorted(examples_of(name, data, count), key=lambda one: fit(one[1].shape[:2], size).network_size)
            found = []
            for _, picture in examples:
                found.append(detector.detect(picture, min_score=0.0))
                progress.step("scoring")
            scores[name] = score([sample for sample, _ in examples], found)
    return scores


def import_nncf() -> Any:
    """NNCF, without its log.

    Raises:
        BackendUnavailable: it is not installed.
    """
    hush_nncf()
    try:
        import nncf
    except ImportError as error:
        raise BackendUnavailable(
            f"NNCF cannot be loaded ({error}); run `pip install 'acfd-stream[quantise]'`"
        ) from error
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf


def _parser() -> Parser:
    parser = Parser(prog="python -m acfd_stream.model.quantise_cpu", description=main.__doc__)
    parser.add_argument("model", help="a shipped name or an .onnx file")
    parser.add_argument("output", nargs="?", type=Path, help="the int8 .onnx file; default: next to the model")
    parser.add_argument("--data", type=Path, help="folder with annotations/ and images/; default: drawn pictures")
    parser.add_argument("--set", action="append", dest="sets", help="set to score on; repeatable")
    parser.add_argument("--count", type=int, default=200, help="pictures of a drawn set")
    parser.add_argument(
        "--most-fall", type=float, default=MOST_FALL, help="refuse the file from this loss of AP50 in any set on"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the int8 variant of a model, unless it loses too much AP50."""
    return _parser().run(_write, arguments)


def _write(options: argparse.Namespace) -> None:
    from acfd_stream.detect.detector import find_model
    from acfd_stream.detect.runner import read_spec
    from acfd_stream.networks.precision import int8_path_of

    sets = options.sets or (JUDGED if options.data else ("drawn-crowds",))
    path = find_model(options.model)
    target, size = options.output or int8_path_of(path), read_spec(path).size
    total = 2 * sum(pictures_in(name, options.data, options.count) for name in sets)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "int8.onnx"
        quantise_for_cpu(path, list(views_of(shown_pictures(options.data), size)), made)  # NNCF shows its own progress
        with WorkProgress(total, "pictures", "pictures/s") as progress:
            before, after = (judge(file, sets, options.data, size, options.count, progress) for file in (path, made))
        for name in sets:
            print(f"{name}: AP50 {before[name].ap50:.4f}, in int8 {after[name].ap50:.4f}", flush=True)
        worst = max(before[name].ap50 - after[name].ap50 for name in sets)
        if worst >= options.most_fall:
            raise RunnerError(f"AP50 falls by {worst:.4f}: not kept")
        target.write_bytes(made.read_bytes())
    print(f"{target.stat().st_size / 1e6:.1f} MB", file=sys.stderr)
    print(target)


if __name__ == "__main__":
    raise SystemExit(main())
