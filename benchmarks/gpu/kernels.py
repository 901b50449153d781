"""Times the kernels alone, against the time to move their bytes and against torchvision."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from acfd_stream import ops as host_ops
from acfd_stream.ops.anchors import AnchorSpec, Letterbox, anchor_count, fit
from acfd_stream.types import ColorMatrix, FloatArray, Picture, PixelFormat
from gpu import torchvision_way
from gpu.book import Recorder
from gpu.ceilings import copy_rate
from gpu.rig import Rig

BATCH = 16
PAD = (114, 114, 114)
MEAN, STD = (114.0, 114.0, 114.0), (57.0, 57.0, 57.0)
SCORE_THRESHOLD, CANDIDATES, IOU, FACES = 0.08, 1000, 0.55, 100
_SETS = 6  # more than the cache holds, so that every round reads memory
_ROUNDS = 60


# Letterbox


def on_device(rig: Rig, picture: Picture) -> Picture:
    """``picture`` with its planes on the GPU; unchanged in a rehearsal."""
    if rig.is_rehearsal:
        return picture
    from dataclasses import replace

    planes = []
    for plane in picture.planes:
        there = rig.ops.empty(plane.shape, plane.dtype)
        rig.ops.to_device(np.ascontiguousarray(plane), there)
        planes.append(there)
    return replace(picture, planes=tuple(planes))


def noise_picture(size: tuple[int, int], seed: int) -> Picture:
    """NV12 of random samples in NVDEC's layout."""
    rng, (height, width) = np.random.default_rng(seed), size
    luma = rng.integers(0, 256, (height, width), np.uint8)
    chroma = rng.integers(0, 256, ((height + 1) // 2, (width + 1) // 2, 2), np.uint8)
    return Picture((luma, chroma), PixelFormat.NV12, size, color_matrix=ColorMatrix.BT709)


def letterbox(rig: Rig, record: Recorder) -> None:
    """Rows of the letterbox."""
    size, batch = rig.scaled((1080, 1920), (90, 160)), rig.scaled(BATCH, 2)
    view = fit(size, rig.scaled(640, 64))
    target = rig.ops.letterboxes(batch, view.network_size, np.float16, PAD, MEAN, STD)
    host_sets = [[noise_picture(size, 100 * one + at) for at in range(batch)] for one in range(rig.scaled(_SETS, 1))]
    sets = [[on_device(rig, picture) for picture in pictures] for pictures in host_sets]
    target.put(sets[0], [view] * batch)
    _demand_equal(rig.ops.to_host(target.images)[0], host_sets[0][0], view)
    seconds = rig.samples(lambda at: target.put(sets[at % len(sets)], [view] * batch), _ROUNDS)
    moved = sum(plane.nbytes for picture in host_sets[0] for plane in picture.planes)
    moved += batch * 3 * view.network_size[0] * view.network_size[1] * 2
    about = {"pictures": batch, "source": f"{size[1]}x{size[0]} nv12", "view": str(view.network_size), "bytes": moved}
    record.row("gpu_letterbox", seconds, **about)
    floor = moved / copy_rate(rig)
    record.row("gpu_letterbox_ratio", [value / floor for value in seconds], "ratio", floor_seconds=floor)
    record.row("gpu_letterbox_host", _host_seconds(lambda: target.put(sets[0], [view] * batch), rig), **about)


def _demand_equal(found: Any, picture: Picture, view: Letterbox) -> None:
    """Require that the first picture of the tensor equals the reference."""
    expected = host_ops.letterbox(picture, view, PAD, backend="reference")
    values = (expected.astype(np.float32) - np.float32(MEAN[0])) / np.float32(STD[0])
    if not np.array_equal(found, values.astype(np.float16).transpose(2, 0, 1)):
        raise AssertionError("letterbox differs from the reference; nothing was timed")


def _host_seconds(call: Any, rig: Rig) -> list[float]:
    """Host time to queue a call."""
    taken = []
    for _ in range(rig.scaled(_ROUNDS, 3)):
        rig.synchronize()
        begin = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begin)
    return taken


# Boxes, best candidates, NMS


def drawn_outputs(seed: int, size: tuple[int, int], spec: AnchorSpec, crowd: float = 0.05) -> tuple[Any, Any]:
    """Scores [A] and deltas [A, 4] like a network's; ``crowd`` sets how many anchors pass."""
    rng, count = np.random.default_rng(seed), anchor_count(size, spec)
    scores = rng.beta(crowd, 4.0, count).astype(np.float32)
    return scores, rng.normal(0.0, 1.0, (count, 4)).astype(np.float32)


def faces(rig: Rig, record: Recorder) -> None:
    """Rows of the steps after the network: with typical candidates, and with a crowd."""
    size, spec, batch = rig.scaled((640, 640), (64, 64)), AnchorSpec(), rig.scaled(BATCH, 2)
    view = Letterbox(size, size, size)
    for name, crowd in (("", 0.05), ("_crowded", 0.4)):
        drawn = [
            [drawn_outputs(1000 * one + at, size, spec, crowd) for at in range(batch)]
            for one in range(rig.scaled(_SETS, 1))
        ]
        sets = [_outputs_on_device(rig, outputs) for outputs in drawn]
        maker = rig.ops.faces(
            batch,
            [size],
            spec,
            score_threshold=SCORE_THRESHOLD,
            candidates=CANDIDATES,
            nms_iou=IOU,
            faces=FACES,
        )
        maker.begin([[view]] * batch)

        def call(at: int, maker: Any = maker, sets: Any = sets) -> None:
            maker.decode(0, *sets[at % len(sets)])
            maker.suppress()

        call(0)
        _demand_same_faces(maker.read(), drawn[0], view, spec)
        above = int(np.median([(scores >= np.float32(SCORE_THRESHOLD)).sum() for scores, _ in drawn[0]]))
        about = {"frames": batch, "anchors": len(drawn[0][0][0]), "above": above}
        seconds = rig.samples(call, _ROUNDS)
        record.row(f"gpu_faces{name}", seconds, **about)
        _record_graph(rig, record, f"gpu_faces{name}_graph", call, about)
        _record_torchvision(rig, record, name, (maker, sets, view, spec), about)


def _outputs_on_device(rig: Rig, outputs: list[tuple[FloatArray, FloatArray]]) -> tuple[Any, Any]:
    arrays = [np.stack(column) for column in zip(*outputs, strict=True)]
    found = []
    for array in arrays:
        there = rig.ops.empty(array.shape, array.dtype)
        rig.ops.to_device(array, there)
        found.append(there)
    return found[0], found[1]


def _demand_same_faces(found: Any, outputs: Any, view: Letterbox, spec: AnchorSpec) -> None:
    for detections, (scores, deltas) in zip(found, outputs, strict=True):
        expected = host_ops.decode_anchors(scores, deltas, view, spec, SCORE_THRESHOLD, CANDIDATES, backend="reference")
        faces = host_ops.merge_scales([(expected.boxes_xyxy, expected.scores)], IOU, FACES, backend="reference")
        same = np.array_equal(faces.scores, detections.scores)
        if not same or not np.array_equal(faces.boxes_xyxy, detections.boxes_xyxy):
            raise AssertionError("faces differ from the reference; nothing was timed")


def _record_graph(rig: Rig, record: Recorder, name: str, call: Any, about: dict[str, Any]) -> None:
    """Record the same as one CUDA graph."""
    rig.ops.begin_capture()
    call(0)
    graph = rig.ops.end_capture()
    record.row(name, rig.samples(lambda _: graph.launch(), _ROUNDS), **about)


def _record_torchvision(rig: Rig, record: Recorder, name: str, what: Any, about: dict[str, Any]) -> None:
    """Record torchvision on the same tensors, in turn with ours: both from outputs to faces on the host."""
    maker, sets, view, spec = what
    theirs = torchvision_way.Way(rig, view.network_size, spec, SCORE_THRESHOLD, CANDIDATES, IOU)
    ours_seconds, theirs_seconds, device_seconds = [], [], []
    for at in range(rig.scaled(_ROUNDS + 5, 3)):
        scores, deltas = sets[at % len(sets)]
        rig.synchronize()
        begin = time.perf_counter()
        maker.decode(0, scores, deltas)
        maker.suppress()
        maker.read()
        middle = time.perf_counter()
        theirs.faces(scores, deltas)
        ours_seconds.append(middle - begin)
        theirs_seconds.append(time.perf_counter() - middle)
        device_seconds.append(theirs.device_seconds(scores, deltas))
    skip = rig.scaled(5, 0)
    ours = rig.samples(
        lambda at: (maker.decode(0, *sets[at % len(sets)]), maker.suppress()), len(device_seconds[skip:])
    )
    record.row(f"gpu_torchvision{name}", device_seconds[skip:], **about, clock="events")
    ratios = [slow / fast for slow, fast in zip(device_seconds[skip:], ours, strict=False)]
    record.row(f"gpu_faces{name}_vs_torchvision", ratios, "ratio", **about, clock="events")
    walls = [slow / fast for slow, fast in zip(theirs_seconds[skip:], ours_seconds[skip:], strict=True)]
    record.row(f"gpu_faces{name}_vs_torchvision_wall", walls, "ratio", **about, clock="host, faces read")
