"""What an installation brings along, and what it needs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.clips import encode

ROOT = Path(__file__).resolve().parent.parent
# What a build makes, and what only trainers use, who have a clone of the repository.
NOT_IN_A_WHEEL = re.compile(r"__pycache__|\.so$|_pb2|\.safetensors$|^configs/ablation/")
WITHOUT_OPENCV = "import sys; sys.modules['cv2'] = None; "


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def name_of(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def all_required(requirements: list[str]) -> set[str]:
    """Names of the packages that come along with ``requirements``, extras left out, as far as they are installed."""
    found: set[str] = set()
    waiting = [name_of(requirement) for requirement in requirements]
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            try:
                further = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                continue
            waiting += [name_of(text) for text in further if "extra ==" not in text]
    return found


def test_no_package_of_opencv_comes_along(project: dict[str, Any]) -> None:
    required = all_required(project["dependencies"])
    assert {"av", "numpy", "openvino-telemetry"} <= required  # dependencies of dependencies are seen
    assert [name for name in required if "opencv" in name] == []
    extras = project["optional-dependencies"]
    brought = {extra for extra, names in extras.items() if any("opencv" in name for name in all_required(names))}
    assert brought == {"opencv", "test"}


def test_a_wheel_holds_every_file_that_the_program_reads(tmp_path: Path) -> None:
    call = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(call, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    for source, target in (("acfd_stream", "acfd_stream"), ("model", "acfd_stream/model")):
        found = {path.relative_to(ROOT / source).as_posix() for path in (ROOT / source).rglob("*") if path.is_file()}
        kept = {name for name in found if not NOT_IN_A_WHEEL.search(name)}
        assert len(kept) > 50
        assert {name for name in kept if not (tmp_path / target / name).is_file()} == set()


def run_without_opencv(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_OPENCV + code, *arguments]
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)


def test_a_clip_is_tracked_and_drawn_and_a_picture_detected_without_opencv(tiny_model: Path, tmp_path: Path) -> None:
    clip = encode(tmp_path / "clip.mp4", [np.full((64, 96, 3), shade, np.uint8) for shade in (60, 90, 120)], (64, 96))
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", np.full((64, 96, 3), 90, np.uint8))[1].tobytes())
    outputs = {"-o": "a.jsonl", "--overlay": "a.mp4", "--report": "a.html"}
    calls = [["track", str(clip), *(word for key, name in outputs.items() for word in (key, str(tmp_path / name)))]]
    calls.append(["detect", str(tmp_path / "a.png")])
    for call in calls:
        done = run_without_opencv(
            "from acfd_stream.cli import main; sys.exit(main(sys.argv[1:]))", *call, "--model", str(tiny_model)
        )
        assert done.returncode == 0, done.stderr
    assert all((tmp_path / name).is_file() for name in outputs.values())


def test_without_opencv_training_says_what_to_install() -> None:
    no_torch = "import types; sys.modules['torch'] = types.ModuleType('torch'); "  # takes long to load
    program = "from acfd_stream.cli import main; sys.exit(main(sys.argv[1:]))"
    done = run_without_opencv(no_torch + program, "train", "--config", "a.toml", "--data", "a", "--out", "b")
    assert done.returncode == 2
    assert done.stderr.startswith("acfd-stream train: drawing and training need OpenCV, which is not installed; pip ")
    assert done.stderr.count("\n") == 1
    done = run_without_opencv("import acfd_stream.model.toon")
    assert done.stderr.splitlines()[-1].endswith("opencv-python, opencv-contrib-python, opencv-contrib-python-headless")
