"""Finds the implementations of the ops, and loads each when it is first used."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import BackendUnavailable
from acfd_stream.ops.anchors import AnchorSpec, Letterbox
from acfd_stream.types import FloatArray, IndexArray, Picture

_MODULES = {
    "reference": "acfd_stream.ops.reference",
    "cpp": "acfd_stream.ops.compiled",
    "cuda": "acfd_stream.ops.cuda.backend",  # needs a GPU
}


class Backend(Protocol):
    """What every implementation offers; ``ops/reference.py`` is the reference."""

    def letterbox(self, picture: Picture, view: Letterbox, pad: tuple[int, int, int]) -> NDArray[np.uint8]: ...

    def mean_pool(self, picture: Picture, block: int) -> tuple[NDArray[np.int16], ...]: ...

    def cell_moments(self, before: NDArray[np.int16], after: NDArray[np.int16]) -> IndexArray: ...

    def decode_anchors(
        self,
        scores: FloatArray,
        deltas: FloatArray,
        view: Letterbox,
        spec: AnchorSpec,
        score_threshold: float,
        candidates: int,
    ) -> tuple[FloatArray, FloatArray, IndexArray, bool]: ...

    def nms(self, boxes_xyxy: FloatArray, scores: FloatArray, iou_threshold: float) -> IndexArray: ...


@cache
def load_backend(name: str) -> Backend:
    """The backend ``name``.

    Raises:
        BackendUnavailable: there is no such backend, or it is not built on this machine.
    """
    if name not in _MODULES:
        raise BackendUnavailable(f"backend must be one of {', '.join(_MODULES)}, got {name!r}")
    try:
        return cast(Backend, importlib.import_module(_MODULES[name]))
    except ImportError as error:
        raise BackendUnavailable(f"backend {name} cannot be loaded ({error}); build it with: pip install .") from error


def available_backends() -> tuple[str, ...]:
    """Names of the backends that load on this machine, the reference first."""
    names = []
    for name in _MODULES:
        try:
            load_backend(name)
        except BackendUnavailable:
            continue
        names.append(name)
    return tuple(names)
