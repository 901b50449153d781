"""What ``make demo`` would do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(("video", "result"), [("", "out/demo"), ("an episode.mkv", "out/video")])
def test_the_demo_writes_a_report_and_ends_with_its_path(video: str, result: str, tmp_path: Path) -> None:
    command = ["make", "--dry-run", "--no-print-directory", "demo", f"VIDEO={video}", f"VENV={tmp_path}"]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    (track,) = (line for line in lines if "acfd-stream track" in line)
    assert (f'"{video}"' if video else "out/demo.mp4") in track
    assert track.endswith(f"-o {result}.jsonl --overlay {result}.overlay.mp4 --report {result}.report.html")
    assert lines[-1] == f'echo "{result}.report.html"'
