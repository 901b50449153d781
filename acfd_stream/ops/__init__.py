"""The arithmetic on both sides of the network: picture to input, outputs to boxes.

Every function takes ``backend``: ``"cpp"`` is the compiled one, ``"reference"`` the reference in NumPy, ``"cuda"`` the
first GPU where there is one. They give the same result to the last bit and index. Batches on a GPU: ``ops.cuda``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import ShapeError
from acfd_stream.ops import _checks
from acfd_stream.ops._backend import available_backends, load_backend
from acfd_stream.ops.anchors import AnchorSpec, Letterbox
from acfd_stream.types import Detections, FloatArray, IndexArray, Picture

__all__ = [
    "Candidates",
    "available_backends",
    "cell_moments",
    "decode_anchors",
    "letterbox",
    "mean_pool",
    "merge_scales",
    "nms",
    "thumbnail",
]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Boxes of one scale that may enter NMS, best first."""

    boxes_xyxy: FloatArray  # [K, 4], network pixels, inside the content
    scores: FloatArray  # [K]
    indices: IndexArray  # [K], of the anchors
    is_truncated: bool  # more anchors passed the threshold than were kept

    def __len__(self) -> int:
        return int(self.scores.shape[0])


def letterbox(
    picture: Picture,
    view: Letterbox,
    pad: tuple[int, int, int] = (0, 0, 0),
    *,
    backend: str = "cpp",
) -> NDArray[np.uint8]:
    """The picture as the network sees it: upright, scaled, RGB, padded on the right and below.

    Planes are sampled directly to the content's size with an antialiasing triangle filter (half-width max(scale, 1),
    pixel centres aligned, chroma samples in the middle of their four pixels), then converted to RGB. HDR and BT.2020
    become SDR of BT.709: see ``ops.tone``. Rotation and pixel aspect are part of the sampling. RGB24 is always full
    range. A plane whose samples are not contiguous within a row
    is copied first. Planes on a GPU are sampled there, and only the result is copied to the host.

    Args:
        picture: planes of 1 … 65535 samples a side with any row stride; see ``Picture``.
        view: sizes of the upright picture in the result, and of the result: at most 16384 pixels per side.
        pad: red, green, blue of the padding, 0 … 255.
        backend: one of ``available_backends()``.

    Returns:
        uint8 [H, W, 3] RGB, C-contiguous.

    Raises:
        ShapeError: planes do not fit the format, bit depth or each other, or a size is out of bounds.
        BackendUnavailable: the backend is not on this machine.
    """
    if picture.is_on_device and backend == "cpp":
        from acfd_stream.ops.cuda.previews import open_previews

        return open_previews().letterbox(picture, view, pad)
    return load_backend(backend).letterbox(picture.on_host(), view, pad)


def thumbnail(picture: Picture, size: tuple[int, int], *, backend: str = "cpp") -> NDArray[np.uint8]:
    """The upright picture scaled to ``size`` (height, width): ``letterbox`` without padding."""
    return letterbox(picture, Letterbox(size, size, picture.display_size), backend=backend)


def mean_pool(picture: Picture, block: int, *, backend: str = "cpp") -> tuple[NDArray[np.int16], ...]:
    """The means of the blocks of every channel as stored, without rotation, scaling or conversion to RGB.

    Blocks of a plane have ``block`` of its own samples a side, so those of subsampled chroma cover four times as much.
    Blocks at the right and lower edges may be smaller. Integer arithmetic, rounded once, halves up.

    Args:
        picture: planes of 1 … 65535 samples a side with any row stride; see ``Picture``.
        block: samples of a block's side, 1 … 16.
        backend: one of ``available_backends()``.

    Returns:
        int16 [ceil(h / block), ceil(w / block)] for Y, U and V or red, green and blue: 14-bit samples, whatever the
        bit depth (8-bit 255 is 16320).

    Raises:
        ShapeError: planes do not fit the format, bit depth or each other, or the block is out of bounds.
        BackendUnavailable: the backend is not on this machine.
    """
    if picture.is_on_device and backend == "cpp":
        from acfd_stream.ops.cuda.previews import open_previews

        return open_previews().mean_pool(picture, block)
    return load_backend(backend).mean_pool(picture.on_host(), block)


def cell_moments(before: NDArray[np.int16], after: NDArray[np.int16], *, backend: str = "cpp") -> IndexArray:
    """First and second moments of two planes, per cell of 4×4 samples.

    Args:
        before: int16 [H, W], 14-bit samples as from ``mean_pool``.
        after: int16 [H, W], the same.
        backend: "cpp" or "reference"; ``mean_pool`` makes planes on a GPU small.

    Returns:
        int64 [5, ceil(H / 4), ceil(W / 4)]: sums of a, b, aa, ab and bb over each cell; cells at the right and lower
        edges may have fewer samples.

    Raises:
        ShapeError: sizes disagree.
        BackendUnavailable: the backend is not on this machine.
    """
    return load_backend(backend).cell_moments(before, after)


def decode_anchors(
    scores: FloatArray,
    deltas: FloatArray,
    view: Letterbox,
    spec: AnchorSpec,
    score_threshold: float,
    candidates: int,
    *,
    backend: str = "cpp",
) -> Candidates:
    """Boxes of the anchors that score at least ``score_threshold``, best first, ties by lower index.

    Anchors are chosen first and only the chosen are decoded. A delta that is NaN gives a box without
    width or height, never a NaN. float32 in every backend, the threshold too.

    Args:
        scores: float32 [A], A anchors of ``view.network_size``; NaN never passes.
        deltas: float32 [A, 4] dx, dy, dw, dh in units of ``spec.variances``.
        view: how the picture was laid into the network's input; boxes are clipped to its content.
        spec: strides, scale and variances of the anchors.
        score_threshold: in [0, 1].
        candidates: most boxes in the result, >= 1.
        backend: one of ``available_backends()``.

    Returns:
        At most ``candidates`` boxes in network pixels; ``is_truncated`` when more passed.

    Raises:
        ShapeError: scores or deltas are not [A] and [A, 4], or a setting is out of bounds.
        BackendUnavailable: the backend is not on this machine.

    Source: ACFD paper, section 4.1; SSD (Liu et al., 2016), eq. 2 for the encoding of boxes.
    """
    chosen = load_backend(backend).decode_anchors(scores, deltas, view, spec, score_threshold, candidates)
    return Candidates(*chosen)


def nms(boxes_xyxy: FloatArray, scores: FloatArray, iou_threshold: float, *, backend: str = "cpp") -> IndexArray:
    """Indices of the boxes that survive greedy suppression, best first.

    Visits boxes by falling score, ties by lower index, NaN last; drops a box whose IoU with a kept one is
    strictly above ``iou_threshold``. A box without area (or turned inside out, or with a NaN) overlaps
    nothing. float32 in every backend, the threshold too.

    Args:
        boxes_xyxy: float32 [N, 4], pixels, x1 <= x2 and y1 <= y2.
        scores: float32 [N].
        iou_threshold: in [0, 1].
        backend: one of ``available_backends()``.

    Returns:
        int64 [K], K <= N, indices into ``boxes_xyxy``.

    Raises:
        ShapeError: sizes disagree, or the threshold is out of bounds.
        BackendUnavailable: the backend is not on this machine.
    """
    return load_backend(backend).nms(boxes_xyxy, scores, iou_threshold)


def merge_scales(
    scales: Sequence[tuple[FloatArray, FloatArray]],
    iou_threshold: float,
    faces: int,
    *,
    backend: str = "cpp",
) -> Detections:
    """The best faces of one picture over several scales.

    Args:
        scales: (boxes_xyxy float32 [N, 4], scores float32 [N]) of each scale, all in display pixels.
        iou_threshold: in [0, 1], see ``nms``.
        faces: most faces in the result, >= 1.
        backend: one of ``available_backends()``.

    Returns:
        Faces, best first, ties in the order of ``scales``; ``is_truncated`` when ``faces`` cut some off.

    Raises:
        ShapeError: sizes disagree, or a setting is out of bounds.
        BackendUnavailable: the backend is not on this machine.
    """
    if faces < 1:
        raise ShapeError(f"faces must be >= 1, got {faces}")
    if not scales:
        return Detections.empty()
    for boxes, scores in scales:
        _checks.check_boxes(boxes, scores)
    boxes = np.concatenate([boxes for boxes, _ in scales])
    scores = np.concatenate([scores for _, scores in scales])
    kept = nms(boxes, scores, iou_threshold, backend=backend)
    best = kept[:faces]
    is_truncated = len(kept) > faces
    cut_score = float(scores[kept[faces]]) if is_truncated else 0.0
    return Detections(boxes[best], scores[best], is_truncated, cut_score)
