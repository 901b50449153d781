"""The kernels' source as one text, for a compiler that sees no files.

One text also means that a cache of compiled code which is keyed by the text notices a change in a header.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from acfd_stream.errors import BackendUnavailable

SOURCES = ("letterbox_cuda.cu", "decode_anchors_cuda.cu", "nms_cuda.cu")
COMPILE_OPTIONS = ("--std=c++17", "--fmad=false")
"""Without contraction to FMA the float32 results equal the law's to the last bit."""
_INCLUDE = re.compile(r'^#include "(?P<name>\w+\.h)"\n', re.MULTILINE)


def source_folder() -> Path:
    """Where ``csrc`` lies: inside an installed package, beside the package in a checkout.

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
    """All kernels with the headers they include, each once."""
    folder, seen = source_folder(), set[str]()

    def expanded(name: str) -> str:
        if name in seen:
            return ""
        seen.add(name)
        text = (folder / name).read_text(encoding="utf-8").replace("#pragma once\n", "")
        return _INCLUDE.sub(lambda include: expanded(include["name"]), text)

    return "".join(expanded(name) for name in SOURCES)
