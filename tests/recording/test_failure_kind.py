"""Whose fault a failure is: a server that is away or hangs up may be back, one that has no such film never has."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from acfd_stream.errors import ConfigError, MediaError, OutputError, OverloadedError, RunnerError
from acfd_stream.recording.episode import record_episode
from acfd_stream.recording.failure_kind import FailureKind, SourceWatch, failure_kind, said_in_one_line
from acfd_stream.recording.task import RecordingState, RecordingTask
from tests.pipeline.conftest import FRAMES, write_clip
from tests.pipeline.square_finder import SquareFinder


class _Films(BaseHTTPRequestHandler):
    """Serves what the path says: a film, half of one, one without end of line, nothing."""

    film: bytes

    def do_GET(self) -> None:
        kind = self.path.strip("/").split(".")[0].split("?")[0]
        status = {"gone": 404, "secret": 403, "ill": 500}.get(kind, 200)
        content = {"junk": b"junk" * 1000, "whole": self.film, "half": self.film}.get(kind, b"")
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if kind == "half" else content)

    def log_message(self, *ignored: object) -> None:
        pass


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    film = write_clip(tmp_path_factory.mktemp("clips") / "clip.mkv").read_bytes()
    with ThreadingHTTPServer(("127.0.0.1", 0), type("_Handler", (_Films,), {"film": film})) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def of_url(tmp_path: Path, url: str) -> tuple[RecordingState, str]:
    outcome = record_episode(RecordingTask("key", url, "film.mkv", tmp_path / "out"), SquareFinder())
    if outcome.state is RecordingState.DONE:
        assert outcome.frames == FRAMES
    else:
        assert not (tmp_path / "out" / "film.mkv.jsonl").exists()
    return outcome.state, outcome.error or ""


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("whole.mkv", RecordingState.DONE),
        ("half.mkv", RecordingState.FAILED),  # the server hung up: no half result stands
        ("ill.mkv", RecordingState.FAILED),
        ("gone.mkv", RecordingState.BROKEN),
        ("secret.mkv", RecordingState.BROKEN),
        ("junk.mkv", RecordingState.BROKEN),
    ],
)
def test_what_a_server_says_decides(host: str, tmp_path: Path, name: str, state: RecordingState) -> None:
    found, error = of_url(tmp_path, f"http://user:word@{host}/{name}?token=abc")
    assert found is state, error
    assert [secret for secret in ("user", "word", "token", "abc") if secret in error] == []


def test_a_server_that_is_away_may_come_back(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    state, error = of_url(tmp_path, f"http://127.0.0.1:{port}/film.mkv")
    assert state is RecordingState.FAILED
    assert "connection refused" in error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConfigError("no such setting"), FailureKind.REQUEST),
        (MediaError("film: holds no frame"), FailureKind.MEDIA),
        (OutputError("cannot write film: no space left on device"), FailureKind.OUTPUT),
        (OverloadedError("s3://bucket/film: slow down"), FailureKind.TRANSIENT),
        (RunnerError("model acfd-n: out of memory"), FailureKind.REQUEST),
        (MemoryError(), FailureKind.TRANSIENT),
        (KeyError("a defect of the program"), FailureKind.PROGRAM),
    ],
)
def test_an_error_has_a_kind(error: Exception, kind: FailureKind) -> None:
    assert failure_kind(error, "film.mkv") is kind


@pytest.mark.parametrize(
    ("cause", "kind"),
    [(OSError(5, "I/O"), FailureKind.TRANSIENT), (OSError(40, "too many links"), FailureKind.MEDIA)],
)
def test_a_disk_that_fails_to_open_a_file_is_tried_again(cause: OSError, kind: FailureKind) -> None:
    error = MediaError("film.mkv: cannot be opened")
    error.__cause__ = cause
    assert failure_kind(error, "film.mkv") is kind


def test_a_break_is_the_files_unless_the_file_has_gone(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    film.write_bytes(b"film")
    watch = SourceWatch(str(film))
    assert not watch.is_break_transient("breaks off after 1.000 s: input/output error")
    film.unlink()
    assert watch.is_break_transient("breaks off after 1.000 s: input/output error")
    with pytest.raises(OverloadedError, match="changed while it was read"):
        watch.require_unchanged()


def test_a_fault_is_one_line_without_secrets() -> None:
    url = "http://user:word@host/film.mkv?token=abc"
    said = said_in_one_line(MediaError(f"{url}: went\n away"), url)
    assert said == "http://host/film.mkv: went away"
    assert said_in_one_line(KeyError("x"), url) == "KeyError: 'x'"
