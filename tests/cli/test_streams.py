"""stdin, stdout and stderr that are closed, full or left by their reader, and signals at bad moments."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FAKE = Path(__file__).with_name("fake_pipeline.py")
Done = subprocess.CompletedProcess[str]


def run(
    folder: Path, redirection: str, *arguments: str, plan: dict[str, Any] | None = None, **environment: str
) -> Done:
    """``acfd-stream`` over the made-up pipeline, started by a shell with its streams redirected."""
    call = [sys.executable, "-B", str(FAKE), json.dumps(plan or {}), *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "", **environment}
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", *call]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def last_kind(place: Path) -> str:
    return str(json.loads(place.read_text().splitlines()[-1])["type"])


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_result_file_needs_no_other_stream(redirection: str, tmp_path: Path) -> None:
    assert run(tmp_path, redirection, "track", "a.mp4").returncode == 0
    assert (tmp_path / "a.jsonl").read_text().startswith('{"type": "header"')
    assert last_kind(tmp_path / "a.jsonl") == "end"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
@pytest.mark.parametrize("arguments", [("track", "a.mp4", "-o", "-"), ("models",), ("models", "--json"), ("--help",)])
def test_a_stdout_that_takes_nothing_is_one_line_and_exits_1(
    arguments: tuple[str, ...], redirection: str, unbuffered: str, tmp_path: Path
) -> None:
    done = run(tmp_path, redirection, *arguments, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr.startswith("acfd-stream: cannot write ")
    assert "stdout" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_an_error_that_nobody_hears_keeps_its_code(redirection: str, tmp_path: Path) -> None:
    assert run(tmp_path, redirection, "track", "missing.mp4").returncode == 1


@pytest.mark.parametrize("arguments", [("models",), ("models", "--json"), ("--help",), ("track", "--help")])
def test_a_reader_that_goes_away_is_no_error_message(arguments: tuple[str, ...], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    call = [sys.executable, "-B", str(FAKE), "{}", *arguments]
    done = subprocess.run(call, cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("arguments", ["--help", "track --help", "models", "track é.mp4"])
def test_a_terminal_without_unicode_is_no_fault(arguments: str, tmp_path: Path) -> None:
    done = run(tmp_path, "", *arguments.split(), PYTHONIOENCODING="ascii:strict")
    assert done.returncode == 0
    assert "fault" not in done.stderr


def test_a_ctrl_c_that_python_loses_ends_the_run_at_the_next_frame(tmp_path: Path) -> None:
    done = run(tmp_path, "", "track", "a.mp4", plan={"frames": 1000, "interrupted_at": 10})
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == "acfd-stream: interrupted after 11 frames; a.jsonl is unfinished"


def test_a_ctrl_c_that_a_library_takes_for_its_own_error_is_a_ctrl_c(tmp_path: Path) -> None:
    done = run(tmp_path, "", "track", "a.mp4", plan={"frames": 1, "interrupted_at": 0, "at": 0, "raises": "KeyError"})
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1].startswith("acfd-stream: interrupted")


def test_a_ctrl_c_while_the_program_loads_is_one_line() -> None:
    code = (
        "import signal, sys; from acfd_stream.cli import main;"
        "sys.meta_path.insert(0, type('Finder', (), {'find_spec': lambda *_: signal.raise_signal(signal.SIGINT)})());"
        "sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "acfd-stream: interrupted\n")


def test_a_second_ctrl_c_while_the_first_is_told_is_one_line_too(tmp_path: Path) -> None:
    code = (
        "import signal, sys; from acfd_stream.cli import exits, main;"
        "exits._guarded = lambda action: signal.raise_signal(signal.SIGINT); sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "acfd-stream: interrupted\n")


def test_a_background_job_stays_deaf_to_ctrl_c(tmp_path: Path) -> None:
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); from acfd_stream.cli.signals import STOP;"
        "STOP.listen(); signal.raise_signal(signal.SIGINT); signal.raise_signal(signal.SIGTERM)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "acfd_stream.cli.signals.Terminated: terminated"
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
