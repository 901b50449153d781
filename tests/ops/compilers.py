"""Compilers of CUDA that need no GPU: nvcc where it is installed, NVRTC from its wheel."""

from __future__ import annotations

import ctypes
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

ARCHITECTURES = ("sm_75", "sm_80", "sm_90")
NVRTC_LIBRARIES = ("libnvrtc-builtins.so", "libnvrtc.so")


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


class Nvrtc:
    """The functions of CuPy's module ``nvrtc`` that the product calls, over the library of the wheel.

    No header of CUDA's or of the system is there, as where CuPy calls it.
    """

    class NVRTCError(RuntimeError):
        """A status other than success."""

    def __init__(self) -> None:
        files = metadata.files("nvidia-cuda-nvrtc") or []
        paths = {name: [str(file.locate()) for file in files if file.name.startswith(name)] for name in NVRTC_LIBRARIES}
        for path in paths[NVRTC_LIBRARIES[0]]:
            ctypes.CDLL(path, ctypes.RTLD_GLOBAL)  # the compiler looks for it by name only
        self._library = ctypes.CDLL(paths[NVRTC_LIBRARIES[1]][0])
        self.compiled: list[tuple[str, ...]] = []

    def getVersion(self) -> tuple[int, int]:  # noqa: N802 (CuPy's names, all of them)
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("Version", ctypes.byref(major), ctypes.byref(minor))
        return major.value, minor.value

    def getSupportedArchs(self) -> tuple[int, ...]:  # noqa: N802
        count = ctypes.c_int()
        self._call("GetNumSupportedArchs", ctypes.byref(count))
        numbers = (ctypes.c_int * count.value)()
        self._call("GetSupportedArchs", numbers)
        return tuple(numbers)

    def createProgram(self, source: str, name: str, headers: Any, include_names: Any) -> ctypes.c_void_p:  # noqa: N802
        assert (headers, include_names) == ((), ())
        program = ctypes.c_void_p()
        self._call("CreateProgram", ctypes.byref(program), source.encode(), name.encode(), 0, None, None)
        return program

    def compileProgram(self, program: ctypes.c_void_p, options: tuple[str, ...]) -> None:  # noqa: N802
        self.compiled.append(options)
        texts = [option.encode() for option in options]
        self._call("CompileProgram", program, len(texts), (ctypes.c_char_p * len(texts))(*texts))

    def getCUBIN(self, program: ctypes.c_void_p) -> bytes:  # noqa: N802
        return self._text("CUBIN", program)

    def getPTX(self, program: ctypes.c_void_p) -> bytes:  # noqa: N802
        return self._text("PTX", program)

    def getProgramLog(self, program: ctypes.c_void_p) -> str:  # noqa: N802
        return self._text("ProgramLog", program).decode()

    def destroyProgram(self, program: ctypes.c_void_p) -> None:  # noqa: N802
        self._call("DestroyProgram", ctypes.byref(program))

    def _text(self, what: str, program: ctypes.c_void_p) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"Get{what}Size", program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self._call(f"Get{what}", program, text)
        return text.raw

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, f"nvrtc{function}")(*arguments)
        if status != 0:
            raise self.NVRTCError(f"nvrtc{function} answers {status}")
