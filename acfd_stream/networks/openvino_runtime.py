"""OpenVINO on the CPU; the only file that imports it."""

from __future__ import annotations

import importlib
import io
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream.errors import BackendUnavailable, RunnerError
from acfd_stream.networks.compiled_cache import CompiledCache
from acfd_stream.types import FloatArray

_log = logging.getLogger(__name__)
_CONVERTER = "openvino.tools.ovc"


class RequestPool:
    """A compiled network of batch 1. ``run`` may be called from several threads at once."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._idle: SimpleQueue[Any] = SimpleQueue()

    def run(
        self,
        images: NDArray[np.uint8],
        targets: Mapping[str, FloatArray],
        check: Callable[[str, Sequence[int]], None],
    ) -> None:
        """Fill ``targets``, one request per image; as many run at once as the network has streams.

        Args:
            images: uint8 [B, H, W, 3].
            targets: arrays [B, …] by the name of an output, without its batch axis of 1.
            check: called with the name and the shape of each output; raises where it does not fit.
        """
        requests = [self._request() for _ in images]
        try:
            for request, image in zip(requests, images, strict=True):
                request.start_async({"images": image[None]}, share_inputs=True)
        finally:
            for request in requests:
                request.wait()
        for index, request in enumerate(requests):
            for name, target in targets.items():
                given = request.get_tensor(name).data
                check(name, given.shape)
                target[index] = given[0]
            self._idle.put(request)

    def _request(self) -> Any:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self._compiled.create_infer_request()


def with_pixels(network: Any, size: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> Any:
    """The network for one size: its input "images" becomes uint8 [1, H, W, 3], and is normalised inside.

    Args:
        network: a copy of the file's network, float32 [N, 3, H, W] at "images"; it is changed.
        size: (height, width), pixels.
        mean: red, green and blue that become 0.
        std: what a difference of 1 stands for, in red, green and blue.
    """
    openvino = import_openvino()
    network.reshape({"images": [1, 3, *size]})
    steps = openvino.preprocess.PrePostProcessor(network)
    picture = steps.input("images")
    picture.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    picture.model().set_layout(openvino.Layout("NCHW"))
    picture.preprocess().convert_element_type(openvino.Type.f32)
    picture.preprocess().mean(list(mean)).scale(list(std))
    return steps.build()


def cpu_settings(precision: str, streams: int, threads: int = 1) -> dict[str, Any]:
    """How a network is compiled: ``streams`` requests at once, each with ``threads`` threads."""
    return {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",  # of layers that are not int8
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": streams * threads,
        "ENABLE_CPU_PINNING": False,  # decoding and other networks share these cores
    }


def compiled_network(
    core: Any, prepared: Callable[[], Any], settings: dict[str, Any], cache: CompiledCache, key: tuple[object, ...]
) -> Any:
    """The network that ``prepared`` gives, compiled with ``settings``, from the disk cache if it is there."""
    blob = cache.load(*key)
    if blob is not None:
        try:
            return core.import_model(io.BytesIO(blob), "CPU", settings)
        except RuntimeError as error:
            _log.debug("a compiled network is refused, compiling again: %s", error)
    compiled = core.compile_model(prepared(), "CPU", settings)
    target = io.BytesIO()
    compiled.export_model(target)
    cache.store(target.getvalue(), *key)
    return compiled


def has_bf16(core: Any) -> bool:
    """Whether the CPU multiplies bf16 natively (AMX or AVX512-BF16).

    OpenVINO's default precision tells. Its list of capabilities also names bf16 where it is only simulated, which is
    slower than f32. Measured on a CPU with AVX512-BF16 and no AMX, a half-trained
    acfd-n at 480×640: half the CPU time of f32, scores moved by at most 0.006.
    """
    default = core.get_property("CPU", "INFERENCE_PRECISION_HINT")
    return bool(default == import_openvino().Type.bf16)


def fill_type_table(openvino: Any) -> None:
    """Initialise OpenVINO's table of element types before a second thread exists, to avoid a deadlock.

    Its first use initialises a C++ static and releases the interpreter's lock meanwhile. A second thread that uses the
    same static then waits for it while it holds the lock, and the first thread waits for the lock.
    """
    for element_type in (openvino.Type.u8, openvino.Type.f32):
        element_type.to_dtype()


def import_openvino() -> Any:
    """The module ``openvino``; a BackendUnavailable where it is not installed."""
    try:
        with _without_converter():
            import openvino
    except ImportError as error:
        raise BackendUnavailable(f"openvino cannot be loaded ({error}); run `pip install openvino`") from error
    if not hasattr(openvino, "convert_model"):
        openvino.convert_model = _convert_model
    return openvino


@contextmanager
def _without_converter() -> Iterator[None]:
    """Load OpenVINO without its converter for other frameworks, which takes as long to load as all the rest."""
    if {"openvino", _CONVERTER} & sys.modules.keys():
        yield
        return
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # makes its import fail
    try:
        yield
    finally:
        sys.modules.pop(_CONVERTER, None)


def _convert_model(*arguments: Any, **options: Any) -> Any:
    """``openvino.convert_model``, loaded on first use for other code in this process."""
    return importlib.import_module(_CONVERTER).convert_model(*arguments, **options)


@contextmanager
def translated(label: str) -> Iterator[None]:
    """Turn OpenVINO's RuntimeErrors into a RunnerError with their last line, which names the cause."""
    try:
        yield
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise RunnerError(f"{label}: OpenVINO failed: {lines[-1] if lines else type(error).__name__}") from error
