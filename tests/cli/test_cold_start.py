"""What a command loads before it does anything: seconds that everyone waits, counted in modules."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

import cv2
import numpy as np
import pytest

import acfd_stream
from acfd_stream import outputs

LOADED = "import json, sys; print(json.dumps(sorted(sys.modules)))"
HEAVY = {"av", "cv2", "grpc", "numpy", "onnx", "openvino", "pandas", "prometheus_client", "scipy", "torch", "typer"}
# Of what detects a picture: no reader of videos, no network, no service, and not OpenVINO's converter of other models.
NOT_FOR_A_PICTURE = {"acfd_stream.video.source", "grpc", "onnx", "openvino.tools.ovc", "prometheus_client", "scipy"}
HELP = 'from acfd_stream.cli import main; assert main(["--help"]) == 0'
DETECT = """
import sys
from acfd_stream.cli import main
code = main(["detect", sys.argv[1], "--threads", "1"])
assert code == 0, code
"""


def loaded_by(program: str, *arguments: str) -> set[str]:
    """Names of the modules that are loaded when ``program`` has run."""
    call = [sys.executable, "-c", f"{program}\n{LOADED}", *arguments]
    done = subprocess.run(call, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("program", "heavy"),
    [
        ("import acfd_stream", HEAVY),
        ("import acfd_stream.cli", HEAVY),
        ("import acfd_stream.cli.app", HEAVY - {"typer"} | {"acfd_stream.outputs.reader", "acfd_stream.types"}),
        (HELP, HEAVY - {"typer"} | {"acfd_stream.outputs.reader", "acfd_stream.types"}),
        ("import acfd_stream; acfd_stream.__version__", HEAVY | {"acfd_stream.types"}),
        ("from acfd_stream import Detector", HEAVY - {"numpy"}),
        ("import acfd_stream.recording.episode, acfd_stream.recording.record", HEAVY - {"numpy", "av"}),
    ],
)
def test_what_is_not_needed_is_not_loaded(program: str, heavy: set[str]) -> None:
    assert loaded_by(program) & heavy == set()


def test_the_package_itself_is_next_to_nothing() -> None:
    added = loaded_by("import acfd_stream") - loaded_by("import typing, importlib")
    assert {name for name in added if not name.startswith("__editable__")} <= {"acfd_stream", "importlib._abc"}


def test_the_version_is_that_of_the_package() -> None:
    assert acfd_stream.__version__ == metadata.version("acfd-stream")
    assert "__version__" in dir(acfd_stream)


def test_a_name_that_is_not_there_is_named() -> None:
    for module in (acfd_stream, outputs):
        with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'nothing'"):
            module.nothing  # noqa: B018


def test_a_picture_is_seen_without_what_others_need(tmp_path: object) -> None:
    path = f"{tmp_path}/picture.png"
    cv2.imwrite(path, np.zeros((64, 64, 3), np.uint8))
    loaded = loaded_by(DETECT, path)
    assert {"av", "openvino"} <= loaded
    assert loaded & (NOT_FOR_A_PICTURE | {"cv2", "torch"}) == set()


def test_openvino_s_converter_is_there_for_whoever_wants_it() -> None:
    program = """
from acfd_stream.networks.openvino_runtime import import_openvino
openvino = import_openvino()
try:
    openvino.convert_model("/nowhere.onnx")
except openvino.tools.ovc.error.Error as error:
    assert "/nowhere.onnx" in str(error), error
else:
    raise SystemExit("nothing was converted")
"""
    assert "openvino.tools.ovc" in loaded_by(program)
