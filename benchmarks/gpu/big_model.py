"""acfd-51 as a small file for transfer: its weights are generated on the machine that runs it.

``python benchmarks/gpu/big_model.py SKELETON.onnx`` writes the file without its large weights; ``fill`` generates them.
The arithmetic is that of the trained network; it finds no faces. Values are random because zeros would run faster.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

LARGE = 256
"""Weights of so many values and more are left out."""


def write_skeleton(target: Path) -> None:
    """Export acfd-51 without its large weights."""
    import onnx

    from acfd_stream.model.complexity import CONFIGS
    from acfd_stream.model.network import Network
    from acfd_stream.model.onnx_file import Description, export
    from acfd_stream.model.settings import TrainConfig
    from acfd_stream.ops.anchors import AnchorSpec

    config = TrainConfig.load(CONFIGS / "acfd-51.toml", None)
    about = Description("acfd-51", "0", 640, "none: drawn weights, for speed alone", "2026-01-01")
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.onnx"
        export(Network(config.network).eval(), AnchorSpec(), about, whole)
        model = onnx.load(str(whole))
    for tensor in model.graph.initializer:
        if int(np.prod(tensor.dims)) >= LARGE:
            tensor.ClearField("raw_data")
    target.write_bytes(model.SerializeToString())


def fill(skeleton: Path, target: Path) -> None:
    """Generate the missing weights, scaled by fan-in, and write the complete file."""
    import onnx

    model = onnx.load(str(skeleton))
    for place, tensor in enumerate(model.graph.initializer):
        count = int(np.prod(tensor.dims))
        if count < LARGE or tensor.raw_data:
            continue
        fan_in = int(np.prod(tensor.dims[1:])) or 1
        values = np.random.default_rng(place).standard_normal(count, np.float32) * np.float32((2 / fan_in) ** 0.5)
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        tensor.raw_data = values.astype(dtype).tobytes()
    target.write_bytes(model.SerializeToString())


if __name__ == "__main__":
    write_skeleton(Path(sys.argv[1]))
