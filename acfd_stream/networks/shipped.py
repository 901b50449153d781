"""Finds model files: those that come with the package by name, others by path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path

from acfd_stream.checked import require
from acfd_stream.errors import RunnerError
from acfd_stream.networks.precision import EMBEDDER_STEM, int8_path_of, is_int8_variant


def weights_folder() -> Path:
    """Where the model files of the package are."""
    return Path(str(resources.files("acfd_stream.model"))) / "weights"


def shipped_files(folder: Path | None = None, *, embedders: bool = False) -> list[Path]:
    """The detectors, or the embedding networks, in ``folder``, in no order; without int8 variants.

    Args:
        folder: None: that of the package.
        embedders: embedding networks instead of detectors.
    """
    folder = folder or weights_folder()
    files = [path for path in folder.glob("*.onnx") if not is_int8_variant(path)]
    return [path for path in files if path.stem.endswith(EMBEDDER_STEM) is embedders]


def find_network(name_or_path: str | Path, files: Iterable[Path], kind: str) -> Path:
    """The file of ``files`` with this name, or the file at a path that ends in ".onnx".

    Args:
        name_or_path: its name without a suffix, or the path.
        files: what can be named.
        kind: what the message calls it.

    Raises:
        ConfigError: the name is of another type.
        RunnerError: there is no such file; the message lists the names.
    """
    require(isinstance(name_or_path, str | Path), "model", name_or_path, "the name of a model or the path of a file")
    path = Path(name_or_path)
    if path.suffix == ".onnx":
        if not path.is_file():
            raise RunnerError(f"model file {path} does not exist")
        return path
    names = {found.stem: found for found in files}
    if str(name_or_path) not in names:
        there_are = f"there is {', '.join(sorted(names))}" if names else "none is installed"
        raise RunnerError(f"no {kind} {str(name_or_path)!r}: {there_are}; or give the path of an .onnx file")
    return names[str(name_or_path)]


def int8_variant_of(name_or_path: str | Path, find: Callable[[str | Path], Path]) -> Path | None:
    """The int8 variant of the shipped model that ``find`` finds, or None; a path means only that file."""
    if Path(name_or_path).suffix == ".onnx":
        return None
    path = int8_path_of(find(name_or_path))
    return path if path.is_file() else None
