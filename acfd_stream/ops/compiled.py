"""The backend "cpp": passes our types to the ops of ``csrc`` as numbers, names and arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acfd_stream import _C
from acfd_stream.ops.anchors import AnchorSpec, Letterbox
from acfd_stream.ops.tone import tone_table
from acfd_stream.types import FloatArray, IndexArray, Picture

cell_moments, nms = _C.cell_moments, _C.nms


def letterbox(
    picture: Picture, view: Letterbox, pad: tuple[int, int, int], instruction_set: str = ""
) -> NDArray[np.uint8]:
    """The picture, upright, in the top-left corner of a padded uint8 [H, W, 3]; "": the fastest instruction set."""
    image: NDArray[np.uint8] = _C.letterbox(
        picture.planes,
        picture.pixel_format.value,
        picture.bit_depth,
        picture.color_matrix.value,
        picture.is_full_range,
        tone_table(picture),
        picture.rotation,
        view.content_size,
        view.network_size,
        pad,
        instruction_set,
    )
    return image


def mean_pool(picture: Picture, block: int) -> tuple[NDArray[np.int16], ...]:
    """14-bit means of the blocks of every channel, int16 [ceil(h / block), ceil(w / block)]."""
    means: tuple[NDArray[np.int16], ...] = _C.mean_pool(
        picture.planes, picture.pixel_format.value, picture.bit_depth, block
    )
    return means


def decode_anchors(
    scores: FloatArray,  # [A]
    deltas: FloatArray,  # [A, 4]
    view: Letterbox,
    spec: AnchorSpec,
    score_threshold: float,
    candidates: int,
) -> tuple[FloatArray, FloatArray, IndexArray, bool]:
    """(boxes_xyxy [K, 4], scores [K], indices [K], whether more passed than ``candidates``), best first."""
    sizes, anchors = (view.network_size, view.content_size), (spec.strides, spec.scale, spec.variances)
    found: tuple[FloatArray, FloatArray, IndexArray, bool] = _C.decode_anchors(
        scores, deltas, *sizes, *anchors, score_threshold, candidates
    )
    return found
