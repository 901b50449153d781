"""``doctor``: what it finds on this machine, and what it says where something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from acfd_stream.cli import machine, main
from acfd_stream.cli.doctor import _memory
from acfd_stream.detect import detector
from acfd_stream.networks.precision import digest
from acfd_stream.networks.shipped import shipped_files
from tests.detect.tiny_model import write_tiny_int8, write_tiny_model

BLOCKED = "import sys; sys.modules['torch'] = None; from acfd_stream.cli import main; "
SIZE = {"total_bytes": 16 * 2**30, "available_bytes": 2**30, "limit_bytes": 4 * 2**30}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of shipped models, with a small one in place of the default."""
    write_tiny_model(tmp_path / "acfd-n.onnx")
    monkeypatch.setattr(detector, "shipped_files", lambda folder=None: shipped_files(folder or tmp_path))
    return tmp_path


def test_the_default_run_works_here_without_torch() -> None:
    code = f"{BLOCKED}sys.exit(main(['doctor', '--json']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(done.stdout)
    assert facts["problems"] == []
    assert {model["state"] for model in facts["models"]} == {"OK"}
    assert facts["network"]["runner"].split()[0] in ("openvino", "tensorrt", "onnxruntime")
    assert facts["extras"]["train"]["install"] == "pip install 'acfd-stream[train]'"
    assert not {"test", "dev"} & facts["extras"].keys()
    assert min(facts["memory"]["total_bytes"], facts["cpu"]["cores"], facts["cache"]["free_bytes"]) > 0


def test_a_model_file_that_does_not_fit_is_named_and_exits_1(shipped: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_tiny_int8(shipped / "acfd-n.onnx", shipped / "acfd-n.int8.onnx")
    assert main(["doctor"]) == 1
    out, err = capfd.readouterr()
    assert err.splitlines() == [
        f"acfd-stream: model file {shipped}/acfd-n.int8.onnx was made from another acfd-n.onnx; "
        "install acfd-stream again"
    ]
    assert "default run" in out


def test_a_narrow_terminal_loses_no_value(
    shipped: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "12")
    assert main(["doctor"]) == 0
    found = "".join(line.split("│")[2].strip() for line in capfd.readouterr().out.splitlines() if "│" in line)
    assert digest(shipped / "acfd-n.onnx")[:16] in found


def test_a_run_that_fails_says_why(shipped: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (shipped / "acfd-n.onnx").write_bytes(b"cut")
    assert main(["doctor", "--json"]) == 1
    out, err = capfd.readouterr()
    assert [f"acfd-stream: {problem}" for problem in json.loads(out)["problems"]] == err.splitlines()
    assert f"model file {shipped}/acfd-n.onnx is not a whole ONNX model" in err


def test_a_file_that_differs_from_the_installed_one_is_found(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shipped / "acfd-n.onnx"
    for sha256, state in (("0" * 64, "is not the one that was installed"), (digest(path), "OK")):
        monkeypatch.setattr(machine, "_recorded", lambda sha256=sha256: {path.resolve(): sha256})
        assert [model["state"] for model in machine._models([])] == [state]


def test_an_extra_that_is_missing_comes_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = ["numpy>=2.4", 'no-such-thing>=1; extra == "plot"', 'numpy>=2; extra == "plot"', 'pytest; extra == "test"']
    monkeypatch.setattr(machine.metadata, "requires", lambda name: needs)
    assert machine._extras() == {"plot": {"missing": ["no-such-thing"], "install": "pip install 'acfd-stream[plot]'"}}


def test_any_package_of_opencv_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for package, missing in (("opencv-of-another-kind", []), ("open-of-another-kind", ["open-of-another-kind"])):
        monkeypatch.setattr(machine.metadata, "requires", lambda name, package=package: [f'{package}; extra == "x"'])
        assert machine._extras()["x"]["missing"] == missing


def test_the_limit_of_the_cgroup_is_said() -> None:
    assert _memory(SIZE) == "16.0 GiB, 1.0 GiB available; 4.0 GiB allowed by the cgroup"
    assert _memory(SIZE | {"limit_bytes": 0}) == "16.0 GiB, 1.0 GiB available"


def test_a_cache_that_cannot_be_written_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACFD_CACHE_DIR", "/proc/acfd")
    cache = machine._cache()
    assert (cache["folder"], cache["bytes"], cache["is_writable"]) == ("/proc/acfd", 0, False)
