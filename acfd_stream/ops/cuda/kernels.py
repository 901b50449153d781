"""The kernels' source as one text, and its machine code, which NVRTC makes once per generation of GPUs.

CuPy's own compilation is not used: it adds ``-ftz=true``, and flushed denormals would differ from the reference. The
code is kept in the cache folder under a hash of the text, the options, the compiler's version and the architecture.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from acfd_stream.config import cache_dir
from acfd_stream.errors import BackendUnavailable

SOURCES = ("letterbox_cuda.cu", "mean_pool_cuda.cu", "decode_anchors_cuda.cu", "nms_cuda.cu")
COMPILE_OPTIONS = ("--std=c++17", "--fmad=false", "--ftz=false")
"""Without contraction to FMA, and with denormals, the float32 results equal the reference's to the last bit."""
_INCLUDE = re.compile(r'^#include "(?P<name>\w+\.h)"\n', re.MULTILINE)


def source_folder() -> Path:
    """The folder ``csrc``: inside an installed package, next to the package in a checkout.

    Raises:
        BackendUnavailable: it was left out of this installation.
    """
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "csrc", package.parent / "csrc"):
        if all((folder / name).is_file() for name in SOURCES):
            return folder
    raise BackendUnavailable(f"CUDA cannot be used: the sources of its kernels are missing from {package / 'csrc'}")


@cache
def kernel_source() -> str:
    """All kernels and the headers that they include, each once."""
    folder, seen = source_folder(), set[str]()

    def expanded(name: str) -> str:
        if name in seen:
            return ""
        seen.add(name)
        text = (folder / name).read_text(encoding="utf-8").replace("#pragma once\n", "")
        return _INCLUDE.sub(lambda include: expanded(include["name"]), text)

    return "".join(expanded(name) for name in SOURCES)


def machine_code(nvrtc: Any, capability: tuple[int, int]) -> bytes:
    """The kernels for one generation of GPUs, from the cache folder or compiled and stored there.

    Args:
        nvrtc: CuPy's module of that name.
        capability: compute capability of the GPU.

    Raises:
        nvrtc.NVRTCError: with the compiler's words in a note.
    """
    own, known = 10 * capability[0] + capability[1], nvrtc.getSupportedArchs()
    # For a GPU that is newer than the compiler, the driver compiles the PTX of the newest known generation.
    target = f"sm_{own}" if own in known else f"compute_{max(arch for arch in known if arch <= own)}"
    options = (*COMPILE_OPTIONS, f"--gpu-architecture={target}")
    folder = cache_dir()
    key = hashlib.sha256(repr((kernel_source(), options, nvrtc.getVersion())).encode()).hexdigest()
    file = folder / "kernels" / f"{target}-{key[:32]}" if folder else None
    if file is not None and file.is_file():
        return file.read_bytes()
    code = _compiled(nvrtc, options)
    if file is not None:
        _keep(code, file)
    return code


def _compiled(nvrtc: Any, options: tuple[str, ...]) -> bytes:
    program = nvrtc.createProgram(kernel_source(), "acfd_kernels.cu", (), ())
    try:
        nvrtc.compileProgram(program, options)
        is_code = "=sm_" in options[-1]
        code: bytes = nvrtc.getCUBIN(program) if is_code else nvrtc.getPTX(program)
        return code
    except nvrtc.NVRTCError as error:
        error.add_note(nvrtc.getProgramLog(program))
        raise
    finally:
        nvrtc.destroyProgram(program)


def _keep(code: bytes, file: Path) -> None:
    """Write all of it or nothing; if the folder cannot be written, the next start takes some seconds more."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as part:
            part.write(code)
        os.replace(part.name, file)
    except OSError:
        return
