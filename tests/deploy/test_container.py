"""What the image runs, run here: the service with deploy/serve.toml, the health check, and a stop by SIGTERM."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acfd_stream.service.health import Health
from tests.detect.tiny_model import write_tiny_model
from tests.service.small_server import small_server

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROGRAM = [sys.executable, "-m", "acfd_stream.cli"]
TIMEOUT_SECONDS = 60


def command(instruction: str) -> list[str]:
    """Words of an instruction of the Dockerfile, those of the program left out."""
    lists = re.findall(rf"(?m)^\s*{instruction} (\[.*\])$", (DEPLOY / "Dockerfile").read_text())
    words: list[str] = json.loads(lists[-1])
    return words


def health(address: str) -> tuple[int, str]:
    """Exit code and words of the image's health check, asked of ``address``."""
    (check,) = re.findall(r"(?s)HEALTHCHECK .*?CMD (\[.*?\])", (DEPLOY / "Dockerfile").read_text())
    program, *words = json.loads(check)
    assert program == "acfd-stream"
    words[-1] = address
    done = subprocess.run([*PROGRAM, *words], capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    return done.returncode, done.stdout.strip()


@contextmanager
def container(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The service as the image starts it, on free ports; and what it says when it serves."""
    config = folder / "serve.toml"
    config.write_text((DEPLOY / "serve.toml").read_text().replace("/var/lib/acfd", str(folder)))
    words = [str(config) if word == "/etc/acfd/serve.toml" else word for word in command("CMD")]
    words += ["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--device", "cpu"]
    words += ["--model", str(write_tiny_model(folder / "tiny.onnx"))]
    with subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.kill()


def test_the_image_serves_is_healthy_and_stops_when_told(tmp_path: Path) -> None:
    with container(tmp_path) as (process, line):
        grpc, page = re.search(r"serving on (\S+?:\d+)", line), re.search(r"page on (http://\S+)/", line)
        assert grpc is not None
        assert page is not None
        assert health(grpc[1]) == (0, "SERVING")
        with urllib.request.urlopen(f"{page[1]}/metrics", timeout=10) as answer:
            assert b"acfd_engine_info{" in answer.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_SECONDS) == 0


def test_a_service_that_warms_up_is_not_healthy() -> None:
    starting = Health(["acfd_stream.v1.FaceTrackService"])
    with small_server(add=[starting.add_to]) as address:
        assert health(address) == (1, "NOT_SERVING")
        starting.serve()
        assert health(address) == (0, "SERVING")


def test_no_service_is_not_healthy(unused_address: str) -> None:
    code, words = health(unused_address)
    assert (code, words) == (1, "")


@pytest.fixture
def unused_address() -> str:
    """Where a server was a moment ago."""
    with small_server() as address:
        return address
