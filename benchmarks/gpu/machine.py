"""Describes the machine, read-only."""

from __future__ import annotations

import importlib
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

_MODULES = ("numpy", "cupy", "torch", "torchvision", "tensorrt", "av", "onnx", "openvino", "cv2", "scipy", "grpc")
_TOOLS = ("nvcc", "ncu", "compute-sanitizer", "nvidia-smi", "g++")
_TOOL_FOLDERS = ("/usr/local/cuda/bin", "/opt/nvidia/nsight-compute", "/usr/local/nvidia/bin")
_QUERY = "name,driver_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,temperature.gpu,power.draw,pstate"


def describe() -> dict[str, Any]:
    """Versions, tools, and the GPU with its clocks as found."""
    return {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "versions": {name: version(name) for name in _MODULES},
        "tools": {name: tool(name) for name in _TOOLS},
        "gpu": gpu_state(),
        "driver_libraries": {name: find_library(name) for name in ("libcuda.so.1", "libnvcuvid.so.1")},
    }


def version(module: str) -> str | None:
    """Version of a module; None if it cannot be loaded, with the reason unless it is absent."""
    try:
        return str(getattr(importlib.import_module(module), "__version__", "there"))
    except ModuleNotFoundError:
        return None
    except Exception as error:  # a broken library is news too
        return f"broken: {error}"[:200]


def tool(name: str) -> str | None:
    """Path of a program."""
    found = shutil.which(name)
    return found or next((str(Path(at) / name) for at in _TOOL_FOLDERS if (Path(at) / name).is_file()), None)


def gpu_state() -> dict[str, str] | str:
    """Current output of nvidia-smi."""
    smi = tool("nvidia-smi")
    if smi is None:
        return "no nvidia-smi"
    command = [smi, f"--query-gpu={_QUERY}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        return (done.stderr or done.stdout).strip()[:200]
    values = done.stdout.splitlines()[0].split(", ")
    return dict(zip(_QUERY.split(","), values, strict=False))


def find_library(name: str) -> str | None:
    """Path of the driver's library, by the loader or in the usual container folders."""
    listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    line = next((line for line in listed.splitlines() if line.strip().startswith(name)), None)
    if line is not None:
        return line.rpartition("=> ")[2].strip()
    places = [Path("/usr/local/nvidia"), Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64"), Path("/usr/local/cuda")]
    found = (path for place in places if place.is_dir() for path in place.rglob(name))
    return next((str(path) for path in found), None)


def library_folders() -> list[str]:
    """Folders of the driver's libraries, for LD_LIBRARY_PATH if the loader does not know them."""
    found = (find_library(name) for name in ("libcuda.so.1", "libnvcuvid.so.1"))
    return sorted({str(Path(path).parent) for path in found if path is not None})
