"""A simple script around the shipped network, as a competent user would write it.

PyAV, OpenCV, OpenVINO and NumPy with their defaults, one frame at a time, with the same network, input size and
thresholds as ours. It finds the same faces and does not track them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from turns import Look

SCORE, IOU, CANDIDATES, FACES = 0.08, 0.55, 1000, 100


def load(model: str = "acfd-n", size: str = "512") -> tuple[str, Look]:
    """The model by name or path, with inputs of ``size`` pixels on the longer side."""
    import av
    import cv2
    import onnx
    import openvino

    weights = Path(__file__).resolve().parents[2] / "model/weights"
    path = model if model.endswith(".onnx") else weights / f"{model}.onnx"
    told = {each.key: each.value for each in onnx.load(str(path)).metadata_props}
    spec = json.loads(told["acfd_stream"])
    mean, std = (np.array(spec[name], np.float32) for name in ("mean", "std"))
    network = openvino.compile_model(str(path), "CPU")

    def look(clip: Path) -> Iterator[int]:
        with av.open(str(clip)) as container:
            for frame in container.decode(video=0):
                image = frame.to_ndarray(format="rgb24")
                scale = int(size) / max(image.shape[:2])
                small = cv2.resize(image, None, fx=scale, fy=scale)
                height, width = (-(-side // 32) * 32 for side in small.shape[:2])
                view = np.zeros((height, width, 3), np.float32)
                view[: small.shape[0], : small.shape[1]] = (small - mean) / std
                outputs = network(view.transpose(2, 0, 1)[None])
                boxes, scores = decoded(outputs["scores"][0], outputs["deltas"][0], (height, width), spec)
                yield len(cv2.dnn.NMSBoxes(boxes / scale, scores, SCORE, IOU)[:FACES])

    return f"PyAV + OpenVINO {openvino.__version__.split('-')[0]} in 40 lines, {size} px", look


def decoded(scores, deltas, size, spec):  # type: ignore[no-untyped-def]
    """(boxes [K, 4] as x, y, width, height, scores [K]) of the best anchors above the threshold."""
    anchors = []
    for stride in spec["strides"]:
        y, x = np.mgrid[0 : -(-size[0] // stride), 0 : -(-size[1] // stride)].reshape(2, -1)
        side = np.full(x.shape, stride * spec["anchor_scale"])
        anchors.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, side], axis=1))
    x, y, side = np.concatenate(anchors).T
    width, height = (side * np.exp(deltas[:, i] * spec["variances"][1]) for i in (2, 3))
    x, y = x + deltas[:, 0] * spec["variances"][0] * side, y + deltas[:, 1] * spec["variances"][0] * side
    boxes = np.stack([x - width / 2, y - height / 2, width, height], axis=1)
    best = np.argsort(-scores)[:CANDIDATES]
    best = best[scores[best] >= SCORE]
    return boxes[best], scores[best]
