"""A service gives the lines of ``track``, whatever container the bytes are in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from acfd_stream.cli import main
from acfd_stream.service.server import Server
from acfd_stream.service.settings import SourceSettings
from tests.containers import CONTAINERS, FRAMES, ONLY_FILES, Container
from tests.service.rig import serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def server(tiny_model: Path, folder: Path) -> Iterator[Server]:
    with serving(tiny_model, sources=SourceSettings(folders=(folder,))) as running:
        yield running


def tracked_here(clip: Path, model: Path, *options: str) -> bytes:
    out = clip.with_name(clip.name + ".here")
    settings = ["--model", str(model), "--size", "128", "--threads", "1", "-q", *options]
    assert main(["track", str(clip), "-o", str(out), *settings]) == 0
    return out.read_bytes()


def tracked_there(clip: Path, server: Server, *options: str) -> bytes:
    out = clip.with_name(clip.name + ".there")
    address = ["--to", f"127.0.0.1:{server.port}"]
    assert main(["client", "track", str(clip), *address, "-o", str(out), "-q", *options]) == 0
    return out.read_bytes()


@pytest.mark.parametrize("container", CONTAINERS, ids=str)
def test_bytes_that_are_sent_give_the_lines_of_the_file(
    container: Container, folder: Path, server: Server, tiny_model: Path
) -> None:
    clip = container.write(folder)
    here = tracked_here(clip, tiny_model)
    assert tracked_there(clip, server) == here
    _, *frames, end = map(json.loads, here.splitlines())
    assert len(frames) == end["frames"] == FRAMES
    assert (end["complete"], "warnings" in end) == (True, False)
    assert end["duration"] == pytest.approx(float(FRAMES / container.rate), abs=0.045)


@pytest.mark.parametrize("container", [*CONTAINERS[::6], *ONLY_FILES], ids=str)
def test_a_service_that_reads_the_file_gives_the_same_lines_in_a_stream_and_in_a_job(
    container: Container, folder: Path, server: Server, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = container.write(folder)
    here = tracked_here(clip, tiny_model)
    assert tracked_there(clip, server, "--uri") == here
    address = ["--to", f"127.0.0.1:{server.port}"]
    capfd.readouterr()
    assert main(["client", "jobs", "submit", str(clip), *address]) == 0
    job_id = capfd.readouterr().out.strip()
    assert main(["client", "jobs", "watch", job_id, *address]) == 0  # a reader of a running job gets what is known then
    capfd.readouterr()
    assert main(["client", "jobs", "results", job_id, "-o", "-", "-q", *address]) == 0
    assert capfd.readouterr().out.encode() == here


@pytest.mark.parametrize("container", CONTAINERS[::4], ids=str)
def test_a_range_of_bytes_that_are_sent_is_that_of_the_file(
    container: Container, folder: Path, server: Server, tiny_model: Path
) -> None:
    clip = container.write(folder)
    _, first, *_ = map(json.loads, tracked_here(clip, tiny_model).splitlines())
    limits = ["--start", f"{first['time'] + 0.3:.3f}", "--end", f"{first['time'] + 0.7:.3f}"]
    here = tracked_here(clip, tiny_model, *limits)
    assert tracked_there(clip, server, *limits) == here
    assert 5 < json.loads(here.splitlines()[-1])["frames"] < 15


@pytest.mark.parametrize("container", ONLY_FILES, ids=str)
def test_a_container_that_must_be_sought_is_never_complete_when_it_is_sent(
    container: Container, folder: Path, server: Server, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = container.write(folder)
    assert json.loads(tracked_here(clip, tiny_model).splitlines()[-1])["complete"] is True
    out = folder / "out.jsonl"
    assert main(["client", "track", str(clip), "--to", f"127.0.0.1:{server.port}", "-o", str(out), "-q"]) == 1
    assert capfd.readouterr().err.startswith("acfd-stream: ")
    assert b'"complete": true' not in (out.read_bytes() if out.exists() else b"")
