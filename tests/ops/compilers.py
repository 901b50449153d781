"""Compilers of CUDA that need no GPU: nvcc where it is installed, NVRTC from its wheel."""

from __future__ import annotations

import ctypes
import subprocess
from importlib import metadata
from pathlib import Path

NVRTC_LIBRARIES = ("libnvrtc-builtins.so", "libnvrtc.so")
ARCHITECTURES = ("sm_75", "sm_80", "sm_90")


def compile_by_nvcc(nvcc: str, source: str, options: tuple[str, ...], folder: Path) -> dict[str, bytes]:
    """Machine code for every architecture; what nvcc says against it is the error."""
    text = folder / "kernels.cu"
    text.write_text(source)
    code = {}
    for architecture in ARCHITECTURES:
        target = folder / f"{architecture}.cubin"
        command = [nvcc, *options, "-Werror=all-warnings", "-cubin", f"-arch={architecture}", "-o", target, text]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        code[architecture] = target.read_bytes()
    return code


def compile_by_nvrtc(source: str, options: tuple[str, ...], architecture: str) -> bytes:
    """Machine code as CuPy gets it: no header of CUDA's or of the system is there."""
    nvrtc = _nvrtc()
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None) == 0
    texts = [option.encode() for option in (*options, f"--gpu-architecture={architecture}")]
    status = nvrtc.nvrtcCompileProgram(program, len(texts), (ctypes.c_char_p * len(texts))(*texts))
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert status == 0, log.value.decode()
    assert nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)) == 0
    code = ctypes.create_string_buffer(size.value)
    assert nvrtc.nvrtcGetCUBIN(program, code) == 0
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return code.raw


def _nvrtc() -> ctypes.CDLL:
    files = metadata.files("nvidia-cuda-nvrtc") or []
    paths = {name: [str(file.locate()) for file in files if file.name.startswith(name)] for name in NVRTC_LIBRARIES}
    for path in paths[NVRTC_LIBRARIES[0]]:
        ctypes.CDLL(path, ctypes.RTLD_GLOBAL)  # the compiler looks for it by name only
    return ctypes.CDLL(paths[NVRTC_LIBRARIES[1]][0])
