"""Networks by ONNX Runtime, for GPUs without TensorRT; the only file of the package that imports it.

The model runs in fp16 on a GPU and reads and writes the buffers of the ops where they are, by IO binding. The tests run
the same code in float32 on the CPU; no GPU has run it yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acfd_stream.config import DetectConfig
from acfd_stream.detect.device import Array, Program, address_of
from acfd_stream.detect.half_graph import arithmetic, half_model
from acfd_stream.detect.runner import EngineFacts, ModelSpec, check_interface, check_output
from acfd_stream.errors import BackendUnavailable, RunnerError

if TYPE_CHECKING:
    from acfd_stream.ops.cuda.batch import CudaOps

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class OnnxRuntimeNetwork:
    """A ``DeviceNetwork`` by ONNX Runtime.

    Args:
        path: the model file.
        spec: its description.
        ops: the GPU; every run is queued on its stream.
        config: the largest batch, for the description of the engine.
        provider: ``CUDA``, or ``CPU`` for float32 on NumPy arrays, which tests use.

    Raises:
        BackendUnavailable: ONNX Runtime or onnx is not installed, or has no GPU.
        RunnerError: the file is refused.
    """

    def __init__(self, path: Path, spec: ModelSpec, ops: CudaOps, config: DetectConfig, provider: str = CUDA) -> None:
        self.spec = spec
        ort = _import_onnxruntime()
        self._device = "cuda" if provider == CUDA else "cpu"
        self.dtype: np.dtype[Any] = np.dtype(np.float16 if provider == CUDA else np.float32)
        options = ort.SessionOptions()
        options.use_deterministic_compute = True
        options.log_severity_level = 3  # errors; they are raised, too
        # A queued run returns at once: the reader of the outputs waits for the stream.
        self._run_options = ort.RunOptions()
        self._run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        settings = {"user_compute_stream": str(ops.stream), "cudnn_conv_algo_search": "HEURISTIC"}
        with translated(f"model file {path}"):
            data = half_model(path) if provider == CUDA else path.read_bytes()
            providers = [(CUDA, settings)] if provider == CUDA else [CPU]
            self._session: Any = ort.InferenceSession(data, options, providers=providers)
        if self._session.get_providers()[0] != provider:  # it takes the CPU and only logs why
            raise BackendUnavailable(f"onnxruntime {ort.__version__} cannot start the GPU; check its CUDA and cuDNN")
        ports = self._session.get_inputs(), self._session.get_outputs()
        check_interface(path, *([port.name for port in side] for side in ports))
        precision = arithmetic(path) if provider == CUDA else "f32"
        detail = f"batches of {config.batch}"
        self.facts = EngineFacts("onnxruntime", precision, ort.__version__, ops.name, ops.compute_capability, detail)

    def compile(self, network_size: tuple[int, int], batches: Sequence[int]) -> None:
        """Nothing takes long here; see ``DeviceNetwork.compile``."""

    def programs(
        self, network_size: tuple[int, int], batches: Sequence[int], images: Array, scores: Array, deltas: Array
    ) -> list[Program]:
        """See ``DeviceNetwork.programs``."""
        if self._session is None:
            raise RunnerError(f"model {self.spec.name} is closed")
        label = f"model {self.spec.name} at {network_size[0]}×{network_size[1]}"
        with translated(label):
            binding = self._bound(images[:1])
            for name in ("scores", "deltas"):
                binding.bind_output(name, self._device)
            self._session.run_with_iobinding(binding)  # also chooses the kernels of this size
            for name, value in zip(("scores", "deltas"), binding.get_outputs(), strict=True):
                check_output(name, value.shape(), scores.shape[1])
            return [self._program(label, images[:batch], scores[:batch], deltas[:batch]) for batch in batches]

    def close(self) -> None:
        """Free the network; a second call does nothing."""
        self._session = None

    def _bound(self, images: Array) -> Any:
        binding = self._session.io_binding()
        binding.bind_input("images", self._device, 0, self.dtype, images.shape, address_of(images))
        return binding

    def _program(self, label: str, images: Array, scores: Array, deltas: Array) -> Program:
        binding = self._bound(images)
        for name, array in (("scores", scores), ("deltas", deltas)):
            binding.bind_output(name, self._device, 0, np.float32, array.shape, address_of(array))
        return _Run(self._session, binding, self._run_options, label, (images, scores, deltas))


class _Run:
    """The network for one batch over its buffers."""

    def __init__(self, session: Any, binding: Any, options: Any, label: str, buffers: tuple[Array, ...]) -> None:
        self._session, self._binding, self._options, self._label = session, binding, options, label
        self._buffers = buffers  # the binding knows only their addresses

    def launch(self) -> None:
        """See ``Program.launch``."""
        with translated(self._label):
            self._session.run_with_iobinding(self._binding, self._options)


def check_cuda() -> None:
    """Raise BackendUnavailable unless ONNX Runtime is installed with its CUDA provider."""
    ort = _import_onnxruntime()
    if CUDA not in ort.get_available_providers():
        raise BackendUnavailable(f"onnxruntime {ort.__version__} has no CUDA; run `pip install onnxruntime-gpu`")


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendUnavailable(
            f"onnxruntime cannot be loaded ({error}); run `pip install onnxruntime-gpu`"
        ) from error
    return onnxruntime


@contextmanager
def translated(label: str) -> Iterator[None]:
    """Turn ONNX Runtime's exceptions, which share no base class, into a RunnerError of one line."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise RunnerError(f"{label}: ONNX Runtime failed: {line}") from error
