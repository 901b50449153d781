"""Model files as the library onnx reads them; the only file of the package that imports it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acfd_stream.errors import BackendUnavailable, RunnerError
from acfd_stream.networks.model_file import read_bytes


def load_model(path: Path) -> Any:
    """The ONNX model at ``path``, as the library has it.

    Raises:
        BackendUnavailable: onnx is not installed.
        RunnerError: the file is no whole ONNX model.
    """
    onnx, data = import_onnx(), read_bytes(path)
    try:
        return onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's DecodeError, whose module differs between versions
        raise RunnerError(f"model file {path} is not a whole ONNX model: {error}") from error


def import_onnx() -> Any:
    """The module ``onnx``; a BackendUnavailable where it is not installed."""
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise BackendUnavailable(f"onnx cannot be loaded ({error}); run `pip install 'acfd-stream[gpu]'`") from error
    return onnx
