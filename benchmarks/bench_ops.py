"""Times the CPU ops against common alternatives: swscale + NumPy, the NMS of OpenCV, ONNX Runtime and torchvision.

Before timing, results are compared with ``ops/reference.py``, and the indices of all NMS with each other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import av
import cv2
import numpy as np
import onnxruntime
from measure import Row, in_turn, ratio_row, row, save
from numpy.typing import NDArray
from onnx import TensorProto, helper

from acfd_stream import ops
from acfd_stream.ops.anchors import AnchorSpec, Letterbox, anchor_count, fit
from acfd_stream.types import ColorMatrix, Detections, FloatArray, Picture, PixelFormat

PAD = (114, 114, 114)
IOU_THRESHOLD = 0.55
SCORE_THRESHOLD = 0.08
SEED = 20
NMS_BOXES = (64, 1000, 5000, 20000)


def drawn_picture(height: int, width: int) -> tuple[Picture, NDArray[np.uint8]]:
    """A YUV 4:2:0 picture of flat shapes, BT.709, and the same planes in one array for PyAV."""
    rng = np.random.default_rng(SEED)
    image = np.full((height, width, 3), 200, np.uint8)
    for _ in range(60):
        x, y, radius = (int(value) for value in rng.integers(0, (width, height, height // 6)))
        cv2.circle(image, (x, y), radius, rng.integers(0, 256, 3).tolist(), -1, cv2.LINE_AA)
    yuv = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
    chroma = yuv[height:].reshape(2, height // 2, width // 2)
    planes = (yuv[:height], chroma[0], chroma[1])
    return Picture(planes, PixelFormat.YUV420P, (height, width), color_matrix=ColorMatrix.BT709), yuv


def bench_letterbox(rounds: int) -> list[Row]:
    """1080p YUV to RGB network input: one pass of ours, and swscale with a copy into the padded input."""
    picture, yuv = drawn_picture(1080, 1920)
    place = fit(picture.display_size, 640)
    (height, width), content = place.network_size, place.content_size

    def ours() -> NDArray[np.uint8]:
        return ops.letterbox(picture, place, PAD)

    frame = av.VideoFrame.from_ndarray(yuv, format="yuv420p")  # keeps its scaler from one round to the next

    def swscale() -> NDArray[np.uint8]:
        small = frame.reformat(content[1], content[0], "rgb24", src_colorspace="ITU709", interpolation="BILINEAR")
        view = np.empty((height, width, 3), np.uint8)
        view[:] = PAD
        view[: content[0], : content[1]] = small.to_ndarray()
        return view

    expected = ops.letterbox(picture, place, PAD, backend="reference")
    demand(np.array_equal(ours(), expected), "letterbox differs from the reference")
    difference = float(np.abs(swscale().astype(np.int16) - expected).mean())
    samples = in_turn({"ours": ours, "swscale": swscale}, rounds)
    about = {"source": "1080p yuv420p", "view": f"{height}x{width}"}
    return [
        row("letterbox", samples["ours"], **about),
        row("letterbox_swscale", samples["swscale"], **about, mean_difference_levels=round(difference, 2)),
        ratio_row("letterbox_ratio", samples["swscale"], samples["ours"], **about),
    ]


def clustered_boxes(count: int) -> tuple[FloatArray, FloatArray]:
    """Boxes like a detector's: many around each of a few faces; all scores differ."""
    rng = np.random.default_rng(SEED)
    faces = rng.uniform((0, 0, 30, 30), (560, 320, 120, 120), (max(1, count // 16), 4))
    x, y, w, h = (faces[rng.integers(0, len(faces), count)] * rng.normal(1, 0.08, (count, 4))).T
    boxes = np.stack([x, y, x + w, y + h], axis=1).astype(np.float32)
    scores = rng.permutation(np.linspace(0.08, 0.99, count)).astype(np.float32)
    return boxes, scores


def onnxruntime_nms(count: int) -> onnxruntime.InferenceSession:
    """A session whose graph is one NonMaxSuppression."""
    names = ["boxes", "scores", "most", "iou"]
    node = helper.make_node("NonMaxSuppression", names, ["selected"])
    inputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, count, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1, count]),
    ]
    constants = [
        helper.make_tensor("most", TensorProto.INT64, [1], [count]),
        helper.make_tensor("iou", TensorProto.FLOAT, [1], [IOU_THRESHOLD]),
    ]
    output = helper.make_tensor_value_info("selected", TensorProto.INT64, [None, 3])
    graph = helper.make_graph([node], "nms", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def torchvision_nms(boxes: FloatArray, scores: FloatArray) -> dict[str, Callable[[], NDArray[np.int64]]]:
    """Torchvision's NMS; None if it is not installed or does not load with this torch."""
    try:
        import torch
        from torchvision.ops import nms
    except (ImportError, RuntimeError) as error:
        print(f"bench_ops: torchvision is skipped: {error}", file=sys.stderr)
        return {}
    given = torch.from_numpy(boxes), torch.from_numpy(scores)
    return {"torchvision": lambda: nms(*given, IOU_THRESHOLD).numpy()}


def bench_nms(count: int, rounds: int) -> list[Row]:
    """NMS of ``count`` boxes by ours and the alternatives; each gets its preferred input format."""
    boxes, scores = clustered_boxes(count)
    xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    session = onnxruntime_nms(count)
    feed = {"boxes": boxes[None], "scores": scores[None, None]}
    calls = {
        "ours": lambda: ops.nms(boxes, scores, IOU_THRESHOLD),
        "opencv": lambda: np.asarray(cv2.dnn.NMSBoxes(xywh, scores, 0.0, IOU_THRESHOLD)),
        "onnxruntime": lambda: session.run(None, feed)[0][:, 2],
    } | torchvision_nms(boxes, scores)
    expected = ops.nms(boxes, scores, IOU_THRESHOLD, backend="reference")
    for name, call in calls.items():
        demand(np.array_equal(call(), expected), f"nms of {name} differs from the reference at {count} boxes")
    samples = in_turn(calls, rounds)
    suffix = "" if count == 1000 else f"_{count}"
    rows = [row(f"nms_{name}{suffix}", taken, boxes=count, kept=len(expected)) for name, taken in samples.items()]
    for rival in [name for name in samples if name != "ours"]:
        name = f"nms_vs_{rival}_ratio{suffix}"
        rows.append(ratio_row(name, samples[rival], samples["ours"], boxes=count, kept=len(expected)))
    return rows


def drawn_outputs() -> tuple[Letterbox, AnchorSpec, FloatArray, FloatArray]:
    """Plausible network outputs for a 640x640 input: the view, its anchors, their scores and deltas."""
    view, spec = Letterbox((640, 640), (640, 640), (640, 640)), AnchorSpec()
    count = anchor_count(view.network_size, spec)
    rng = np.random.default_rng(SEED)
    scores = rng.beta(0.05, 4.0, count).astype(np.float32)
    return view, spec, scores, rng.normal(0.0, 1.0, (count, 4)).astype(np.float32)


def above(scores: FloatArray) -> int:
    """How many anchors pass the threshold."""
    return int((scores >= np.float32(SCORE_THRESHOLD)).sum())


def bench_decode_anchors(rounds: int) -> list[Row]:
    """The 34125 anchors of a 640x640 input, of which ``above`` pass the threshold, against the NumPy reference."""
    view, spec, scores, deltas = drawn_outputs()
    about = {"anchors": len(scores), "above": above(scores)}

    def decoded(backend: str) -> ops.Candidates:
        return ops.decode_anchors(scores, deltas, view, spec, SCORE_THRESHOLD, 1000, backend=backend)

    ours, expected = decoded("cpp"), decoded("reference")
    demand(np.array_equal(ours.indices, expected.indices), "decode_anchors selects different anchors")
    demand(np.array_equal(ours.boxes_xyxy, expected.boxes_xyxy), "decode_anchors gives different boxes")
    samples = in_turn({"ours": lambda: decoded("cpp"), "numpy": lambda: decoded("reference")}, rounds)
    return [
        row("decode_anchors", samples["ours"], **about),
        row("decode_anchors_numpy", samples["numpy"], **about),
        ratio_row("decode_anchors_vs_numpy_ratio", samples["numpy"], samples["ours"], **about),
    ]


def bench_boxes_of_outputs(rounds: int) -> list[Row]:
    """From the network's outputs at 640x640 to faces: threshold, best 1000 of 34125 anchors, decoding, NMS."""
    view, spec, scores, deltas = drawn_outputs()

    def faces(backend: str) -> Detections:
        found = ops.decode_anchors(scores, deltas, view, spec, SCORE_THRESHOLD, 1000, backend=backend)
        return ops.merge_scales([(found.boxes_xyxy, found.scores)], IOU_THRESHOLD, 100, backend=backend)

    ours, expected = faces("cpp"), faces("reference")
    demand(np.array_equal(ours.boxes_xyxy, expected.boxes_xyxy), "decoding and NMS give different boxes")
    samples = in_turn({"ours": lambda: faces("cpp")}, rounds)["ours"]
    return [row("decode_topk_nms", samples, anchors=len(scores), above=above(scores), top=1000)]


def demand(is_equal: bool, complaint: str) -> None:
    """Exit without a result unless the outputs agree."""
    if not is_equal:
        sys.exit(f"bench_ops: {complaint}; nothing was timed")


def main() -> None:
    """Time every op and write benchmarks/results/ops.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="samples per figure")
    rounds = parser.parse_args().rounds
    rows = bench_letterbox(rounds) + bench_decode_anchors(rounds) + bench_boxes_of_outputs(rounds)
    for count in NMS_BOXES:
        rows += bench_nms(count, rounds if count <= 1000 else max(20, rounds // 10))  # OpenCV takes 0.2 s for the most
    save("ops", rows)


if __name__ == "__main__":
    main()
