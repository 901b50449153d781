"""OpenCV's ``FaceDetectorYN`` on every frame: YuNet, a common light face detector without tracking.

Its weights are a separate download. Without that file the same network is built with random weights: the same work per
frame, no faces, so no NMS.

Source: Wu, Peng, Yu, YuNet: A Tiny Millisecond-level Face Detector, sections 3.1 … 3.3; 75,856 parameters.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turns import Look

SEED = 0
UNLIKELY = -6.0
"""Bias of the scores: no place is a face, as in nearly all places of a trained one."""


def load(weights: str = "", size: str = "640", frame: str = "1080x1920") -> tuple[str, Look]:
    """YuNet on frames resized to ``size`` pixels on the longer side."""
    import cv2
    from clips import brought_to, frames_of

    height, width = brought_to(frame, int(size))
    kind = "its weights" if weights else "random weights"
    if not weights:
        with tempfile.TemporaryDirectory(prefix="peers-") as folder:
            path = Path(folder) / "yunet.onnx"
            write_network(path, -(-height // 32) * 32, -(-width // 32) * 32)
            detector = cv2.FaceDetectorYN.create(str(path), "", (width, height))
    else:
        detector = cv2.FaceDetectorYN.create(weights, "", (width, height))

    def look(clip: Path) -> Iterator[int]:
        for image in frames_of(clip):
            small = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
            _, faces = detector.detect(small)
            yield 0 if faces is None else len(faces)

    threads = f"{cv2.getNumThreads()} threads"
    return f"opencv {cv2.__version__}, {threads}, {height}×{width} px, {kind}", look


def write_network(path: Path, height: int, width: int) -> int:
    """Write YuNet with random weights for FaceDetectorYN; returns its number of parameters with batch norms."""
    import onnx
    from onnx import TensorProto, helper

    drawing = _Drawing()
    levels = drawing.pyramid(drawing.backbone("input"))
    outputs = []
    for stride, level in zip((8, 16, 32), levels, strict=True):
        shared = drawing.separable(level, 64, 64)
        places = (height // stride) * (width // stride)
        for name, channels in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            head = drawing.separable(shared, 64, channels, is_last=True, bias=UNLIKELY if channels == 1 else 0.0)
            drawing.rows(head, channels, is_score=channels == 1, name=f"{name}_{stride}")
            outputs.append(helper.make_tensor_value_info(f"{name}_{stride}", TensorProto.FLOAT, [1, places, channels]))
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, height, width])
    graph = helper.make_graph(drawing.nodes, "yunet", [picture], outputs, drawing.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    onnx.save(model, str(path))
    return drawing.parameters


class _Drawing:
    """Nodes and weights of an ONNX graph; batch norms are folded into their convolutions, as in the published file."""

    def __init__(self) -> None:
        import numpy as np
        from onnx import TensorProto, helper, numpy_helper

        self.nodes: list[object] = []
        self.weights: list[object] = []
        self.parameters = 0
        self._np, self._helper, self._constant = np, helper, numpy_helper.from_array
        self._rng = np.random.default_rng(SEED)
        self._float = TensorProto.FLOAT

    def node(self, kind: str, inputs: list[str], **attributes: object) -> str:
        name = str(attributes.pop("name", f"{kind.lower()}_{len(self.nodes)}"))
        self.nodes.append(self._helper.make_node(kind, inputs, [name], **attributes))
        return name

    def convolution(
        self, given: str, taken: int, out: int, side: int, *, stride: int = 1, groups: int = 1, bias: float = 0.0
    ) -> str:
        """A convolution with bias, He-initialised weights."""
        shape, label = (out, taken // groups, side, side), f"weight_{len(self.nodes)}"
        deviation = (2.0 / (shape[1] * side * side)) ** 0.5
        kernel = self._rng.normal(0.0, deviation, shape).astype(self._np.float32)
        offset = self._np.full(out, bias, self._np.float32)
        self.weights += [self._constant(kernel, label), self._constant(offset, label + "_bias")]
        self.parameters += kernel.size + out
        pads = [side // 2] * 4
        return self.node("Conv", [given, label, label + "_bias"], strides=[stride] * 2, pads=pads, group=groups)

    def separable(self, given: str, taken: int, out: int, *, is_last: bool = False, bias: float = 0.0) -> str:
        """The paper's DPUnit: 1×1, then 3×3 by channel, then a batch norm with ReLU unless it is the last."""
        wide = self.convolution(given, taken, out, 1)
        deep = self.convolution(wide, out, out, 3, groups=out, bias=bias)
        return deep if is_last else self._activated(deep, out)

    def backbone(self, picture: str) -> list[str]:
        """Features of strides 8, 16 and 32, 64 channels each."""
        found = self._activated(self.convolution(picture, 3, 16, 3, stride=2), 16)
        found = self._halved(self.separable(found, 16, 16))
        levels = []
        for stage, channels in enumerate((16, 64, 64, 64, 64)):
            found = self.separable(self.separable(found, channels, channels), channels, 64)
            if stage >= 2:
                levels.append(found)
            if 1 <= stage <= 3:
                found = self._halved(found)
        return levels

    def pyramid(self, levels: list[str]) -> list[str]:
        """The tiny feature pyramid: from the coarsest down, added after doubling."""
        self.weights.append(self._constant(self._np.array([1, 1, 2, 2], self._np.float32), "twice"))
        self.weights.append(self._constant(self._np.zeros(0, self._np.float32), "whole"))
        found = [self.separable(levels[-1], 64, 64)]
        for level in reversed(levels[:-1]):
            doubled = self.node("Resize", [found[0], "whole", "twice"], mode="nearest")
            found.insert(0, self.separable(self.node("Add", [level, doubled]), 64, 64))
        return found

    def rows(self, given: str, channels: int, *, is_score: bool, name: str) -> None:
        """An output: one row per cell."""
        label = f"shape_{name}"
        self.weights.append(self._constant(self._np.array([1, -1, channels], self._np.int64), label))
        last = self.node("Transpose", [given], perm=[0, 2, 3, 1])
        if is_score:
            self.node("Sigmoid", [self.node("Reshape", [last, label])], name=name)
        else:
            self.node("Reshape", [last, label], name=name)

    def _activated(self, given: str, channels: int) -> str:
        self.parameters += 2 * channels  # of the batch norm that is folded in
        return self.node("Relu", [given])

    def _halved(self, given: str) -> str:
        return self.node("MaxPool", [given], kernel_shape=[2, 2], strides=[2, 2])
