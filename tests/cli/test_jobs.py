"""``client jobs`` against a real service over the hand-made network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acfd_stream.cli import main
from acfd_stream.service.server import Server
from acfd_stream.service.settings import SourceSettings
from tests.service.rig import serving, write_clip
from tests.service.test_jobs_calls import LineWork, Service
from tests.video.containers import write_film


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mkv")


@pytest.fixture(scope="module")
def server(tiny_model: Path, clip: Path) -> Iterator[Server]:
    with serving(tiny_model, sources=SourceSettings(folders=(clip.parent,))) as running:
        yield running


@pytest.fixture
def jobs(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs ``client jobs``: exit code, stdout, stderr."""

    def run(at: Any, *arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        address = at if isinstance(at, str) else f"127.0.0.1:{at.port}"
        code = main(["client", "jobs", *arguments, "--to", address])
        return (code, *capfd.readouterr())

    return run


def said(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("acfd-stream: ")]


def test_results_are_those_of_track_byte_for_byte(
    server: Server, jobs: Any, tiny_model: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    limits = ["--start", "0.5", "--end", "1.75", "--min-score", "0.6"]
    code, out, err = jobs(server, "submit", str(clip), *limits, "--idempotency-key", "k")
    job_id = out.strip()
    assert (code, out, said(err)) == (0, f"{job_id}\n", [])
    assert jobs(server, "submit", str(clip), *limits, "--idempotency-key", "k")[1] == out
    code, out, err = jobs(server, "results", job_id)
    assert (code, out, f"{job_id}.jsonl" in err) == (0, "", True)
    settings = ["--model", str(tiny_model), "--size", "128", "--threads", "1", "--quiet"]
    assert main(["track", str(clip), "-o", "here", *settings, *limits]) == 0
    assert (tmp_path / f"{job_id}.jsonl").read_bytes() == (tmp_path / "here").read_bytes()
    assert main(["track", str(clip), "-o", "here.txt", "--format", "mot", *settings, *limits]) == 0
    assert jobs(server, "results", job_id, "-o", "-", "--format", "mot", "-q")[1] == (tmp_path / "here.txt").read_text()


@pytest.mark.parametrize("name", ["dropped.avi", "shuffled.avi", "repeats.ogv"])
def test_results_of_a_film_last_as_long_as_those_of_track(
    server: Server, jobs: Any, tiny_model: Path, clip: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    film, expected = write_film(clip.parent / name)
    job_id = jobs(server, "submit", str(film))[1].strip()
    assert jobs(server, "results", job_id, "-o", "there", "--format", "jsonl")[0] == 0
    settings = ["--model", str(tiny_model), "--size", "128", "--threads", "1", "--quiet"]
    assert main(["track", str(film), "-o", "here", "--format", "jsonl", *settings]) == 0
    lines = (tmp_path / "here").read_bytes()
    assert (tmp_path / "there").read_bytes() == lines
    assert json.loads(lines.splitlines()[-1])["duration"] == expected


def test_a_watch_ends_with_the_job_and_a_list_shows_it(server: Server, jobs: Any, clip: Path) -> None:
    job_id = jobs(server, "submit", str(clip))[1].strip()
    code, out, err = jobs(server, "watch", job_id)
    assert (code, said(err)) == (0, [])
    last = json.loads(out.splitlines()[-1])
    assert (last["job_id"], last["state"], last["uri"], last["frames"]) == (job_id, "done", str(clip), 60)
    assert last["created"] <= last["started"] <= last["ended"]
    listed = [json.loads(line) for line in jobs(server, "list", "--state", "done", "--most", "1")[1].splitlines()]
    assert listed == [last]
    assert jobs(server, "list", "--state", "failed", "--state", "queued") == (0, "", "")


def test_a_cancelled_and_a_failed_job_are_told_and_end_with_1(jobs: Any, tmp_path: Path) -> None:
    service = Service(LineWork(held=10))
    try:
        job_id = jobs(service.address, "submit", "40")[1].strip()
        assert json.loads(jobs(service.address, "cancel", job_id)[1])["job_id"] == job_id
        code, out, err = jobs(service.address, "watch", job_id)
        assert (code, json.loads(out.splitlines()[-1])["state"]) == (1, "cancelled")
        assert said(err) == [f"acfd-stream: job {job_id} was cancelled; its results so far are kept"]
        job_id = jobs(service.address, "submit", "broken")[1].strip()
        code, out, err = jobs(service.address, "watch", job_id)
        assert (code, json.loads(out.splitlines()[-1])["error"]) == (1, "broken: is no video")
        [line] = said(err)
        assert line.startswith(f"acfd-stream: broken: broken: is no video; job {job_id} failed")
        code, _, err = jobs(service.address, "results", job_id, "-o", str(tmp_path / "out.jsonl"))
        assert code == 1
        assert len(said(err)) == 1
        assert "the job failed: broken: is no video" in said(err)[0]
        assert not (tmp_path / "out.jsonl").exists()
    finally:
        service.close()


def test_ctrl_c_ends_a_watch_and_not_the_job(tmp_path: Path) -> None:
    service = Service(LineWork(held=10))
    try:
        job_id = service.submit("40").job_id
        command = [sys.executable, "-m", "acfd_stream.cli", "client", "jobs", "watch", job_id, "--to", service.address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            assert watching.stderr is not None
            assert json.loads(watching.stdout.readline())["job_id"] == job_id
            watching.send_signal(2)
            assert (watching.wait(20), watching.stderr.read()) == (130, "acfd-stream: interrupted\n")
        service.work.gate.release(30)
        assert len(list(service.results(job_id))) >= 2
    finally:
        service.close()


@pytest.mark.parametrize(
    ("code", "words", "arguments"),
    [
        (2, "no job 'nobody'", ["watch", "nobody"]),
        (2, "no job 'nobody'", ["cancel", "nobody"]),
        (2, "no job 'nobody'", ["results", "nobody"]),
        (2, "'xml' is not one of 'jsonl', 'parquet'", ["results", "nobody", "--format", "xml"]),
        (2, "--state must be one of queued, running", ["list", "--state", "lost"]),
        (2, "--most must be >= 1, got 0", ["list", "--most", "0"]),
        (2, "refuses", ["submit", "/etc/hostname"]),
        (2, "refuses", ["submit", "http://localhost:1/a.mp4"]),
        (2, "'--start': nan is not a time", ["submit", "a", "--start", "nan"]),
        (2, "Missing argument 'ID'", ["watch"]),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    server: Server, jobs: Any, code: int, words: str, arguments: list[str]
) -> None:
    found, out, err = jobs(server, *arguments)
    assert (found, out, len(said(err))) == (code, "", 1)
    assert words in err


def test_where_nobody_serves_is_one_line_and_1(jobs: Any) -> None:
    for command in (["submit", "a"], ["list"], ["cancel", "j"], ["watch", "j", "--patience", "0"], ["results", "j"]):
        code, out, err = jobs("127.0.0.1:1", *command)
        assert (code, out, len(said(err))) == (1, "", 1)
        assert "cannot be reached" in err


def test_a_watch_says_at_once_that_nobody_serves(jobs: Any) -> None:
    code, out, err = jobs("127.0.0.1:1", "watch", "j", "--patience", "0.5")
    warning, last = said(err)
    assert (code, out, "cannot be reached" in last) == (1, "", True)
    assert warning.startswith("acfd-stream: warning: 127.0.0.1:1 cannot be reached")
    assert warning.endswith("; retrying for up to 0.5 s")
