"""``bench service --spawn`` where the service that it starts does not come up."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from acfd_stream.cli import main


@pytest.mark.parametrize(
    ("script", "wait", "words"),
    [
        ("exec sleep 60", "0.5", "is not ready after 0.5 s; run 'acfd-stream serve' to see why"),
        ("trap '' TERM; printf 'serving on'; while :; do sleep 0.1; done", "0.5", "is not ready after 0.5 s"),
        ("echo hello; exec sleep 60", "60", "must print its address, got 'hello'"),
        ("exit 3", "60", "did not start (exit code 3)"),
        ("exec >&-; exec sleep 60", "60", "did not start (it closed its stdout)"),
    ],
)
def test_it_is_not_waited_for_without_end(
    script: str,
    wait: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr("acfd_stream.cli.bench.sys.executable", str(program))
    monkeypatch.setattr("acfd_stream.cli.bench._STOP_SECONDS", 0.5)
    begin = time.monotonic()
    assert main(["bench", "service", "--spawn", "--wait", wait, "-o", str(tmp_path / "out.json")]) == 1
    assert time.monotonic() - begin < 20
    [line] = capfd.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("wait", ["0", "nan", "inf"])
def test_a_wait_must_be_one(wait: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "service", "--spawn", "--wait", wait, "-o", str(tmp_path / "out.json")]) == 2
    assert "--wait must be in 0 … 86400 s, got" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["out.json", "out.png"])
def test_a_file_that_is_no_report_is_kept(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text("mine")
    call = ["bench", "service", "--to", "127.0.0.1:1", "-o", str(tmp_path / "out.json")]
    assert main(call) == 2
    assert f"{name}, which is no result of this program; choose another path, or add --overwrite" in (
        capfd.readouterr().err
    )
    assert main([*call, "--overwrite"]) == 1  # nobody answers there
    assert (tmp_path / name).read_text() == "mine"
