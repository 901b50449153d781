"""Whose fault a failure is: a server that is away or hangs up may be back, one that has no such film never has."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from acfd_stream.errors import ConfigError, MediaError, OutputError, OverloadedError, RunnerError
from acfd_stream.recording.episode import work_on
from acfd_stream.recording.failure_kind import Reading, is_passing, said_in_one_line
from acfd_stream.recording.task import EpisodeState, EpisodeTask
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


def of_url(tmp_path: Path, url: str) -> tuple[EpisodeState, str]:
    outcome = work_on(EpisodeTask("key", url, "film.mkv", tmp_path / "out"), SquareFinder())
    if outcome.state is EpisodeState.DONE:
        assert outcome.frames == FRAMES
    else:
        assert not (tmp_path / "out" / "film.mkv.jsonl").exists()
    return outcome.state, outcome.error or ""


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("whole.mkv", EpisodeState.DONE),
        ("half.mkv", EpisodeState.FAILED_PASSING),  # the server hung up: no half result stands
        ("ill.mkv", EpisodeState.FAILED_PASSING),
        ("gone.mkv", EpisodeState.BROKEN),
        ("secret.mkv", EpisodeState.BROKEN),
        ("junk.mkv", EpisodeState.BROKEN),
    ],
)
def test_what_a_server_says_decides(host: str, tmp_path: Path, name: str, state: EpisodeState) -> None:
    found, error = of_url(tmp_path, f"http://user:word@{host}/{name}?token=abc")
    assert found is state, error
    assert [secret for secret in ("user", "word", "token", "abc") if secret in error] == []


def test_a_server_that_is_away_may_come_back(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    state, error = of_url(tmp_path, f"http://127.0.0.1:{port}/film.mkv")
    assert state is EpisodeState.FAILED_PASSING
    assert "connection refused" in error


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (ConfigError("no such setting"), False),
        (MediaError("film: holds no frame"), False),
        (OutputError("cannot write film: no space left on device"), True),
        (OverloadedError("s3://bucket/film: slow down"), True),
        (RunnerError("model acfd-n: out of memory"), True),
        (MemoryError(), True),
        (KeyError("a fault of the program"), True),
    ],
)
def test_what_is_not_the_videos_fault_is_tried_again(error: Exception, is_so: bool) -> None:
    assert is_passing(error, "film.mkv") is is_so


@pytest.mark.parametrize(("cause", "is_so"), [(OSError(5, "I/O"), True), (OSError(40, "too many links"), False)])
def test_a_disk_that_fails_to_open_a_file_is_tried_again(cause: OSError, is_so: bool) -> None:
    error = MediaError("film.mkv: cannot be opened")
    error.__cause__ = cause
    assert is_passing(error, "film.mkv") is is_so


def test_a_break_is_the_files_unless_the_file_has_gone(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    film.write_bytes(b"film")
    reading = Reading("film.mkv", str(film))
    assert not reading.is_break_passing("breaks off after 1.000 s: input/output error")
    film.unlink()
    assert reading.is_break_passing("breaks off after 1.000 s: input/output error")
    with pytest.raises(OverloadedError, match="changed while it was read"):
        reading.require_unchanged()


def test_a_fault_is_one_line_without_secrets() -> None:
    url = "http://user:word@host/film.mkv?token=abc"
    said = said_in_one_line(MediaError(f"{url}: went\n away"), url)
    assert said == "http://host/film.mkv: went away"
    assert said_in_one_line(KeyError("x"), url) == "KeyError: 'x'"
