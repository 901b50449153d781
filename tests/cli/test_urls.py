"""``track`` of an address: a password is for the server and nobody else, and Ctrl-C is heard while it is silent."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from acfd_stream.cli import main
from tests.detect.tiny_model import write_tiny_model
from tests.pipeline.conftest import write_clip


class _Guarded(BaseHTTPRequestHandler):
    """Gives half a clip, and then hangs up, to whoever knows the password and the token."""

    clip: bytes

    def do_GET(self) -> None:
        is_known = self.headers.get("Authorization") == "Basic dXNlcjpzZWNyZXQ=" and self.path == "/clip.mkv?token=abc"
        self.send_response(200 if is_known else 401)
        self.send_header("WWW-Authenticate", 'Basic realm="clips"')
        self.send_header("Content-Length", str(len(self.clip) * is_known))
        self.end_headers()
        self.wfile.write(self.clip[: len(self.clip) // 2 * is_known])

    def log_message(self, *ignored: object) -> None:
        pass


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    handler = type("_Handler", (_Guarded,), {"clip": write_clip(tmp_path / "clip.mkv").read_bytes()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("user", "said"), [("user:secret@", "breaks off after"), ("user:secrets@", "401")])
def test_what_an_address_hides_is_neither_written_nor_said(
    user: str, said: str, host: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    place = tmp_path / "out.jsonl"
    call = ["track", f"http://{user}{host}/clip.mkv?token=abc", "-o", str(place), "--model", str(model), "--size", "64"]
    assert main([*call, "-q", "--overlay", str(tmp_path / "seen.mp4")]) == 1
    err = capfd.readouterr().err
    assert f"http://{host}/clip.mkv: " in err
    assert said in err
    written = place.read_text() if place.exists() else ""
    assert (f'"source": "http://{host}/clip.mkv"' in written) == (said == "breaks off after")
    assert [secret for secret in ("user", "secret", "token", "abc") if secret in err + written] == []


def test_ctrl_c_is_heard_while_the_server_says_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        call = ["track", f"http://127.0.0.1:{server.getsockname()[1]}/clip.mkv"]
        command = [sys.executable, "-B", "-m", "acfd_stream.cli", *call]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
            connection, _ = server.accept()
            connection.recv(1)
            running.send_signal(signal.SIGINT)
            said = running.communicate(timeout=20)[1]  # without ears it takes 30 seconds
            connection.close()
    assert (running.returncode, said) == (130, "acfd-stream: interrupted\n")
