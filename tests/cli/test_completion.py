"""Shell completion: the script for bash, and what it offers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from acfd_stream.cli import main

COMPLETE = "_ACFD_STREAM_COMPLETE"


def offered(words: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """What bash is offered for the last of ``words``."""
    monkeypatch.setenv(COMPLETE, "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    assert main([]) == 0
    return capfd.readouterr().out.split()


@pytest.mark.parametrize(
    ("words", "among"),
    [
        ("acfd-stream ", {"track", "detect", "archive", "client", "train", "doctor"}),
        ("acfd-stream tr", {"track", "train"}),
        ("acfd-stream archive re", {"resume", "report"}),
        ("acfd-stream track --re", {"--report", "--report-proxy"}),
        ("acfd-stream track a.mkv --format ", {"jsonl", "parquet", "vtt"}),
        ("acfd-stream client jobs ", {"submit", "watch"}),
    ],
)
def test_commands_options_and_values_are_offered(
    words: str, among: set[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    found = offered(words, monkeypatch, capfd)
    assert among <= set(found)
    assert all(name.startswith(words.split(" ")[-1]) for name in found)


def test_a_file_is_left_to_bash(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    assert offered("acfd-stream track ep", monkeypatch, capfd) == []


def test_bash_takes_the_script(tmp_path: Path) -> None:
    program = tmp_path / "acfd-stream"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m acfd_stream.cli "$@"\n')
    program.chmod(0o755)
    script = subprocess.run(
        [program, "--show-completion", "bash"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )
    assert (script.returncode, script.stderr) == (0, "")
    asks = "COMP_WORDS=(acfd-stream arch); COMP_CWORD=1; _acfd_stream_completion acfd-stream; echo ${COMPREPLY[@]}"
    call = ["bash", "--norc", "-c", f'PATH="{tmp_path}:$PATH"; {script.stdout}\n{asks}']
    done = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert done.stdout == "archive\n"
