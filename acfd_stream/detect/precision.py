"""Which file of a model a CPU runs, and in which arithmetic: chosen when the model is opened, said with its facts.

A shipped model may have a twin in int8 beside it, ``acfd-n.int8.onnx``, made by ``acfd_stream.model.quantise_cpu``.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from acfd_stream.detect.model_file import is_quantised
from acfd_stream.errors import BackendUnavailable, ConfigError

TWIN_ENDING = ".int8.onnx"
BYTE_FEATURES = frozenset({"avx2", "avx_vnni", "avx512_vnni", "amx_int8"})
"""Names, as Linux gives them, of what multiplies many bytes at once, so that int8 is the fastest there is.

Measured with acfd-n at 288×512 on one thread of a CPU that has all but AMX, held to the kernels of others by
ONEDNN_MAX_CPU_ISA. Of the time of f32 int8 takes 0.54 with AVX2, 0.33 with AVX-VNNI, 0.38 with AVX512-VNNI; of that of
bf16, where the CPU multiplies it, 0.59. AP50 is the same on all within 0.002. ARM has not been measured.
"""
_HEAD_BYTES = 8192  # of /proc/cpuinfo: its first processor


def twin_of(path: Path) -> Path:
    """Where the int8 file of the model at ``path`` lies, if it has one."""
    return path.with_name(path.stem + TWIN_ENDING)


def is_twin(path: Path) -> bool:
    """Whether ``path`` is that of an int8 file beside a model."""
    return path.name.endswith(TWIN_ENDING)


def precisions_of(path: Path) -> tuple[str, ...]:
    """What a CPU may compute the shipped model at ``path`` in, by rising length of the numbers."""
    if is_quantised(path):
        return ("int8",)
    return (*(("int8",) if twin_of(path).is_file() else ()), "bf16", "f32")


def choose_file(path: Path, twin: Path | None, asked: str) -> Path:
    """The file that a CPU runs: the model's own, or its twin where that is asked for or pays.

    Args:
        path: the model's own file, which may be quantised itself.
        twin: its int8 file; None: it has none.
        asked: "auto", "int8", "bf16" or "f32".

    Raises:
        ConfigError: the model cannot be had in the precision that is asked for.
        RunnerError: the file cannot be read.
    """
    if is_quantised(path):
        if asked not in ("auto", "int8"):
            raise ConfigError(f"model file {path} is quantised: precision must be 'auto' or 'int8', got {asked!r}")
        return path
    if asked == "int8" and twin is None:
        raise ConfigError(f"model file {path} is not quantised: precision must be 'auto', 'bf16' or 'f32', got 'int8'")
    return twin if twin is not None and (asked == "int8" or (asked == "auto" and multiplies_bytes())) else path


def choose_arithmetic(path: Path, asked: str, has_bf16: bool) -> str:
    """What the network of the file at ``path`` is computed in: "int8", "bf16" or "f32".

    Args:
        path: the file that ``choose_file`` chose.
        asked: "auto", "int8", "bf16" or "f32".
        has_bf16: whether the CPU multiplies bf16 natively.

    Raises:
        BackendUnavailable: bf16 is asked for by name, and the CPU has none.
        RunnerError: the file cannot be read.
    """
    if is_quantised(path):
        return "int8"
    if asked == "bf16" and not has_bf16:
        raise BackendUnavailable("precision 'bf16' cannot be used: this CPU does not multiply bf16; use 'auto'")
    return asked if asked != "auto" else "bf16" if has_bf16 else "f32"


def multiplies_bytes() -> bool:
    """Whether this CPU has one of ``BYTE_FEATURES``; False where nobody says what it has."""
    return bool(BYTE_FEATURES & _cpu_features())


@cache
def _cpu_features() -> frozenset[str]:
    """What the kernel says that the CPU can do; nothing on other systems than Linux."""
    try:
        with Path("/proc/cpuinfo").open("rb") as file:
            head = file.read(_HEAD_BYTES).decode(errors="replace")
    except OSError:
        return frozenset()
    found = re.search(r"^(?:flags|Features)\s*: (.*)$", head, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()
