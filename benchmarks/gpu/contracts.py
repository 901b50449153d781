"""The tests that need a GPU: the contract suites of ops and runners on it, NVDEC against the CPU, a video to tracks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from gpu.book import Recorder
from gpu.rig import Rig

ROOT = Path(__file__).resolve().parents[2]
_MARKED = ["-m", "gpu", "tests/test_gpu.py", "tests/ops", "tests/detect"]  # where such tests are
_LIMIT_SECONDS = 240
# Warnings of the machine's own libraries are not errors.
_OPTIONS = [
    "-q",
    "-p",
    "no:cacheprovider",
    "--import-mode=importlib",
    "-W",
    "default",
    "--continue-on-collection-errors",
    "-o",
    "pythonpath=",
]


def run(rig: Rig, record: Recorder) -> None:
    """One row: tests that failed, with their names."""
    ran, skipped, failed = _ran(rig, _MARKED)
    if ran - skipped == 0:
        raise RuntimeError(f"no test was run: {failed}")
    record.row("gpu_tests_failed", [len(failed)], "count", ran=ran, skipped=skipped, failed=failed[:40])


def _ran(rig: Rig, selection: list[str]) -> tuple[int, int, list[str]]:
    """Number of tests, number of skipped ones, and the names of failed ones."""
    if rig.is_rehearsal:  # checks the parsing of pytest's output
        selection = ["tests/ops/test_merge_scales.py"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        # -P and no pythonpath: import the complete package, which may be outside the checkout.
        command = [sys.executable, "-P", "-m", "pytest", *_OPTIONS, f"--junitxml={report}", *selection]
        environment = os.environ | {"FAIL_WITHOUT_GPU": "1", "PYTHONPATH": os.pathsep.join(sys.path[1:])}
        if rig.is_rehearsal:
            del environment["FAIL_WITHOUT_GPU"]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_LIMIT_SECONDS, env=environment
        )
        print(done.stdout[-6000:], flush=True)
        if not report.exists():
            raise RuntimeError(
                f"pytest wrote no report (exit {done.returncode}): {(done.stdout + done.stderr)[-1500:]}"
            )
        cases = list(ElementTree.parse(report).iter("testcase"))
    faults = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skips = sum(case.find("skipped") is not None for case in cases)
    return len(cases), skips, [f"{case.get('classname')}::{case.get('name')}: {_why(case)}" for case in faults]


def _why(case: ElementTree.Element) -> str:
    found = case.find("failure") if case.find("failure") is not None else case.find("error")
    return "" if found is None else str(found.get("message"))[:300]
