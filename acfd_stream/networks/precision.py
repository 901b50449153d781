"""Chooses the file and the arithmetic of a model on a CPU when the model is opened.

A shipped model may have an int8 variant next to it, ``acfd-n.int8.onnx``, made by ``acfd_stream.model.quantise_cpu``.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from acfd_stream.errors import BackendUnavailable, ConfigError
from acfd_stream.networks.model_file import is_quantised, read_bytes

INT8_ENDING = ".int8.onnx"
EMBEDDER_STEM = "-id"
"""The stem of a shipped file ends so if it is an embedding network; all others are detectors."""
MADE_FROM = "acfd_stream_made_from"
"""Metadata entry of an int8 variant: SHA-256 of the file that it was made from."""
BYTE_FEATURES = frozenset({"avx2", "avx_vnni", "avx512_vnni", "amx_int8"})
"""CPU features, by their Linux names, with which int8 is the fastest precision.

Measured with acfd-n at 288×512 on one thread of a CPU that has all of them but AMX, limited to older kernels by
ONEDNN_MAX_CPU_ISA. The time of int8 relative to f32 is 0.54 with AVX2, 0.33 with AVX-VNNI and 0.38 with AVX512-VNNI;
relative to native bf16 it is 0.59. AP50 is the same on all within 0.002. ARM has not been measured.
"""
_HEAD_BYTES = 8192  # of /proc/cpuinfo: its first processor


def int8_path_of(path: Path) -> Path:
    """The path of the int8 variant of the model at ``path``, whether it exists or not."""
    return path.with_name(path.stem + INT8_ENDING)


def is_int8_variant(path: Path) -> bool:
    """Whether ``path`` is that of an int8 variant."""
    return path.name.endswith(INT8_ENDING)


def digest(path: Path) -> str:
    """SHA-256 of a model file.

    Raises:
        RunnerError: the file cannot be read.
    """
    return hashlib.sha256(read_bytes(path)).hexdigest()


def precisions_of(path: Path) -> tuple[str, ...]:
    """The precisions in which a CPU can run the shipped model at ``path``, shortest numbers first."""
    if is_quantised(path):
        return ("int8",)
    return (*(("int8",) if int8_path_of(path).is_file() else ()), "bf16", "f32")


def choose_file(path: Path, int8_path: Path | None, requested: str) -> Path:
    """The file that a CPU runs: the model's own, or its int8 variant if that is requested or faster.

    Args:
        path: the model's own file, which may be quantised itself.
        int8_path: its int8 variant; None: it has none.
        requested: "auto", "int8", "bf16" or "f32".

    Raises:
        ConfigError: the model is not available in the requested precision.
        RunnerError: the file cannot be read.
    """
    if is_quantised(path):
        if requested not in ("auto", "int8"):
            raise ConfigError(f"model file {path} is quantised: precision must be 'auto' or 'int8', got {requested!r}")
        return path
    if requested == "int8" and int8_path is None:
        raise ConfigError(f"model file {path} is not quantised: precision must be 'auto', 'bf16' or 'f32', got 'int8'")
    is_int8 = requested == "int8" or (requested == "auto" and multiplies_bytes())
    return int8_path if int8_path is not None and is_int8 else path


def choose_arithmetic(path: Path, requested: str, has_bf16: bool) -> str:
    """The arithmetic of the network in the file at ``path``: "int8", "bf16" or "f32".

    Args:
        path: the file that ``choose_file`` chose.
        requested: "auto", "int8", "bf16" or "f32".
        has_bf16: whether the CPU multiplies bf16 natively.

    Raises:
        BackendUnavailable: bf16 is requested by name, and the CPU does not support it.
        RunnerError: the file cannot be read.
    """
    if is_quantised(path):
        return "int8"
    if requested == "bf16" and not has_bf16:
        raise BackendUnavailable("precision 'bf16' cannot be used: this CPU does not multiply bf16; use 'auto'")
    return requested if requested != "auto" else "bf16" if has_bf16 else "f32"


def multiplies_bytes() -> bool:
    """Whether this CPU has one of ``BYTE_FEATURES``; False if its features are unknown."""
    return bool(BYTE_FEATURES & cpu_features())


def cpu_model() -> str:
    """The name of this CPU as Linux reports it; empty if it is unknown, as on ARM."""
    found = re.search(r"^model name\s*: (.*)$", _processor(), re.MULTILINE)
    return found[1].strip() if found else ""


@cache
def cpu_features() -> frozenset[str]:
    """The CPU features that Linux reports; none on other systems."""
    found = re.search(r"^(?:flags|Features)\s*: (.*)$", _processor(), re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def _processor() -> str:
    """What Linux reports about its first processor; empty on other systems."""
    try:
        with Path("/proc/cpuinfo").open("rb") as file:
            return file.read(_HEAD_BYTES).decode(errors="replace")
    except OSError:
        return ""
