"""``serve`` as a process: its first line, its signals, its end; and the faults that keep it from serving."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acfd_stream.cli import main
from acfd_stream.client.client import Client
from acfd_stream.errors import AccessError
from acfd_stream.service.access.token_file import TokenFile, digest, read_grants
from acfd_stream.types import FrameResult
from tests.detect.tiny_model import write_tiny_model
from tests.service.rig import PATIENCE, eventually, write_clip
from tests.service.small_server import Held


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


def serve_command(model: Path, *options: str) -> list[str]:
    quick = ["--model", str(model), "--size", "128", "--threads", "1", "--metrics", "", "--listen", "127.0.0.1:0"]
    return [sys.executable, "-m", "acfd_stream.cli", "serve", *quick, *options]


class Running:
    """A service in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], line: str, errors: Path) -> None:
        self.process, self.line, self.errors = process, line, errors
        found = re.search(r"serving on (\S+):(\d+): ", line)
        assert found, (line, errors.read_text())
        self.address = f"127.0.0.1:{found[2]}"

    def said(self) -> str:
        return self.errors.read_text()


@contextmanager
def running(model: Path, folder: Path, *options: str) -> Iterator[Running]:
    errors = folder / "stderr"
    with errors.open("w") as log:
        process = subprocess.Popen(
            serve_command(model, *options), stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder
        )
    try:
        assert process.stdout is not None
        yield Running(process, process.stdout.readline(), errors)
    finally:
        process.kill()
        process.communicate()


def test_one_line_says_what_serves_where(model: Path, tmp_path: Path) -> None:
    with running(model, tmp_path, "--log-format", "json") as service:
        assert re.fullmatch(
            r"serving on 127\.0\.0\.1:\d+: tiny 1, openvino \S+, cpu, \S+, 1 thread; "
            r"has (no )?room for live 1280×720 at 24 fps within 50 ms\n",
            service.line,
        )
        with Client(service.address) as client:
            assert client.health() == "SERVING"
    lines = [json.loads(line) for line in service.said().splitlines()]
    assert any(entry["message"].startswith("serving on 127.0.0.1:") for entry in lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_files_finish_and_ends_with_0(model: Path, tmp_path: Path, number: signal.Signals) -> None:
    data, held = write_clip(tmp_path / "clip.mkv").read_bytes(), threading.Event()

    def media() -> Iterator[bytes]:
        yield data[:5000]
        held.wait(PATIENCE)
        yield data[5000:]

    with running(model, tmp_path) as service, Client(service.address) as client:
        results: list[FrameResult] = []
        stream = client.track(media)
        reader = threading.Thread(target=lambda: results.extend(stream))
        reader.start()
        assert eventually(lambda: len(client.stream_stats()) == 1)
        service.process.send_signal(number)
        assert eventually(lambda: "draining: 1 stream may" in service.said())
        held.set()
        reader.join(PATIENCE)
        assert len(results) == 60
        assert stream.end is not None
        assert service.process.wait(PATIENCE) == 0


def test_a_hangup_has_the_tokens_read_again(model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.touch()
    with running(model, tmp_path, "--tokens", str(tokens)) as service:
        assert main(["serve", "token", "studio", "--file", str(tokens), "--expires", "1h", "--streams", "2"]) == 0
        token = capfd.readouterr().out.strip()
        service.process.send_signal(signal.SIGHUP)
        with Client(service.address, token=token) as client:
            assert eventually(lambda: is_let_in(client))
        with Client(service.address) as client, pytest.raises(AccessError):
            client.models()
        assert token not in service.said()


def is_let_in(client: Client) -> bool:
    try:
        return bool(client.models())
    except AccessError:
        return False


def test_a_second_signal_does_not_wait(model: Path, tmp_path: Path) -> None:
    clip, held = write_clip(tmp_path / "clip.mkv"), Held()
    with running(model, tmp_path) as service, Client(service.address, patience_seconds=0.0) as client:
        stream = client.track(held)
        reader = threading.Thread(target=lambda: [*_until_broken(stream)])
        reader.start()
        assert eventually(lambda: len(client.stream_stats()) == 1)
        service.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: "draining: 1 stream may" in service.said())
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(PATIENCE) == 130
        held.let_go()
        reader.join(PATIENCE)
    assert clip.exists()


def _until_broken(stream: Iterator[object]) -> Iterator[object]:
    from acfd_stream.errors import AcfdError

    try:
        yield from stream
    except AcfdError:
        return


def refused(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capfd.readouterr()
    code = main(["serve", *arguments])
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("acfd-stream: ")]
    assert len(lines) == 1
    return code, lines[0]


def test_what_keeps_it_from_serving_is_one_line_and_exits_2(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad, here = tmp_path / "bad.toml", ["--listen", "127.0.0.1:0", "--metrics", "", "--model", str(model)]
    bad.write_text("[limits]\nstream = 4\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for words, arguments in [
            ("has no setting stream", ["--config", str(bad)]),
            ("cannot read", ["--config", str(tmp_path / "none.toml")]),
            ("cannot listen on", [*here, "--listen", f"127.0.0.1:{port}"]),
            ("listen must be", [*here, "--listen", "here"]),
            ("bad.toml has no PEM", [*here, "--tls-cert", str(bad), "--tls-key", str(bad)]),
            ("both a certificate and a key", [*here, "--tls-cert", str(bad)]),
            ("may hold [[token]] tables", [*here, "--tokens", str(bad)]),
            ("cannot read resume key", [*here, "--resume-key", str(tmp_path / "none")]),
            ("does not exist", [*here, "--model", "absent.onnx"]),
            ("streams must be", [*here, "--streams", "0"]),
        ]:
            code, line = refused(capfd, *arguments)
            assert (code, words in line) == (2, True), line


def test_a_token_is_printed_once_and_kept_as_a_hash(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tokens, config = tmp_path / "tokens.toml", tmp_path / "serve.toml"
    config.write_text(f'[access]\ntokens = "{tokens}"\n')
    assert main(["serve", "token", "studio", "--config", str(config), "--rights", "track, detect"]) == 0
    token = capfd.readouterr().out.strip()
    [grant] = read_grants(tokens)
    assert grant.sha256 == digest(token)
    assert grant.rights == ("track", "detect")
    assert grant.expires is not None
    assert main(["serve", "token", "robot", "--file", str(tokens), "--expires", "never"]) == 0
    assert TokenFile(tokens).find(capfd.readouterr().out.strip()) == read_grants(tokens)[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["a", "--file", "t", "--expires", "soon"], "as 30d"),
        (["a b", "--file", "t"], "token name must be"),
        (["a", "--file", "t", "--rights", "all"], "a list of track"),
        (["a", "--file", "t", "--rights", ""], "--rights must be some of track"),
        (["a", "--file", "t", "--rights", " , "], "--rights must be some of track"),
        (["a", "--file", "t", "--expires", "999999w"], "at most"),
        (["a", "--file", "t", "--expires", "0d"], "more than 0"),
        (["a", "--file", "t", "--streams", "0"], "streams of token a must be"),
        (["a"], "no token file: give --file"),
        (["a", "--file", "absent/t"], "cannot write token file"),
        ([], "Missing argument"),
    ],
)
def test_a_token_that_cannot_be_made_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, line = refused(capfd, "token", *options)
    assert (code, words in line) == (2, True), line
    assert list(tmp_path.iterdir()) == []
