"""Characters of a service: the bytes of ``track``, whichever way the video takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from acfd_stream.cli import main
from acfd_stream.client.client import Client
from acfd_stream.client.stream_progress import StreamOptions
from acfd_stream.identity.views_file import read_views
from acfd_stream.service.server import Server
from acfd_stream.service.settings import SourceSettings
from tests.clips import drawing, encode
from tests.service.rig import serving
from tests.service.small_server import small_server

SIZE, SHOT_FRAMES = (96, 128), 24
CORNERS = ((20, 28), (70, 40), (30, 50), (80, 20))
"""Of the face in each shot."""


def drawn_shots() -> Iterator[np.ndarray]:
    """uint8 [H, W, 3]: one face, which changes its place at every cut."""
    for shot, (left, top) in enumerate(CORNERS):
        for index in range(SHOT_FRAMES):
            yield drawing(SIZE, (left + index % 8, top), is_behind_cut=bool(shot % 2))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clips") / "shots.mkv", drawn_shots(), SIZE)


@pytest.fixture(scope="module")
def server(tiny_model: Path, clip: Path) -> Iterator[Server]:
    with serving(tiny_model, sources=SourceSettings(folders=(clip.parent,))) as running:
        yield running


@pytest.fixture(scope="module")
def here(tiny_model: Path, clip: Path) -> Callable[..., bytes]:
    """What ``track`` writes."""

    def track(out: Path, *options: str) -> bytes:
        settings = ["--model", str(tiny_model), "--size", "128", "--threads", "1", "--quiet"]
        assert main(["track", str(clip), "-o", str(out), *settings, *options]) == 0
        return out.read_bytes()

    return track


def to(server: Server) -> list[str]:
    return ["--to", f"127.0.0.1:{server.port}"]


@pytest.mark.parametrize("options", [[], ["--uri"], ["--format", "vtt"], ["--no-characters"]])
def test_a_stream_gives_the_bytes_of_track(
    server: Server, here: Callable[..., bytes], clip: Path, tmp_path: Path, options: list[str]
) -> None:
    there = tmp_path / "there"
    assert main(["client", "track", str(clip), *to(server), "-o", str(there), "--quiet", *options]) == 0
    result = there.read_bytes()
    assert result == here(tmp_path / "here", *[option for option in options if option != "--uri"])
    assert (b"character" in result) == ("--no-characters" not in options)


def test_a_job_gives_the_bytes_of_track(
    server: Server, here: Callable[..., bytes], clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["client", "jobs", "submit", str(clip), *to(server)]) == 0
    job_id = capfd.readouterr().out.strip()
    for name in ("while it runs", "when it is done"):
        out = tmp_path / name
        assert main(["client", "jobs", "results", job_id, *to(server), "-o", str(out), "--quiet"]) == 0
        assert out.read_bytes() == here(tmp_path / "here")
    assert capfd.readouterr().err == ""


def test_the_views_of_a_job_are_those_of_track(
    server: Server, here: Callable[..., bytes], clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["client", "jobs", "submit", str(clip), *to(server), "--views"]) == 0
    kept = capfd.readouterr().out.strip()
    assert main(["client", "jobs", "watch", kept, *to(server)]) == 0
    out = tmp_path / "there.views.ndjson"
    assert main(["client", "jobs", "views", kept, *to(server), "-o", str(out)]) == 0
    here(tmp_path / "here", "--views", str(tmp_path / "here.views.ndjson"))
    assert out.read_bytes() == (tmp_path / "here.views.ndjson").read_bytes()
    assert len({view.character for view in read_views(out).views} - {0}) >= 1
    main(["client", "jobs", "submit", str(clip), *to(server)])
    other = capfd.readouterr().out.splitlines()[-1]
    assert main(["client", "jobs", "views", other, *to(server), "-o", str(tmp_path / "none")]) != 0
    assert f"job {other} keeps no views" in capfd.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_file_has_the_final_answer_and_a_stream_to_stdout_what_is_known(
    server: Server, clip: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    out = tmp_path / "out.jsonl"
    assert main(["client", "track", str(clip), *to(server), "-o", str(out), "--quiet"]) == 0
    assert main(["client", "track", str(clip), *to(server), "-o", "-", "--quiet"]) == 0
    final, online = (
        [json.loads(line) for line in lines.splitlines()] for lines in (out.read_bytes(), capfdbinary.readouterr().out)
    )
    by_track = {track: each["character"] for each in final[-1]["characters"] for track in each["tracks"]}
    assert final[-1] == online[-1]
    assert {face["id"]: face.get("character", 0) for frame in final[1:-1] for face in frame["faces"]} == by_track
    assert len(by_track) == len(CORNERS)
    assert all("links" not in frame for frame in final)
    assert {link["id"] for frame in online for link in frame.get("links", ())} == set(by_track)


def test_streams_of_the_client_library_say_the_same_from_bytes_and_from_a_file(server: Server, clip: Path) -> None:
    options = StreamOptions(with_characters=True)
    with Client(f"127.0.0.1:{server.port}") as client:
        sent, read, without = client.track(clip, options), client.track_uri(str(clip), options), client.track(clip)
        assert list(sent) == list(read)
        assert all(not result.links for result in without)
    assert sent.end is not None
    assert sent.end == read.end
    assert sent.end.characters
    assert sent.start.character_model is not None
    assert without.end is not None
    assert without.end.characters == ()


def test_a_server_that_knows_no_characters_is_told_in_one_line(
    clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    with small_server() as address:
        for options, warnings in (([], 1), (["--no-characters"], 0)):
            assert main(["client", "track", str(clip), "--to", address, "-o", str(out), "-q", *options]) == 0
            said = capfd.readouterr().err
            assert said.count("\n") == warnings
            assert not said or "does not know characters; the results have none" in said
    assert json.loads(out.read_text().splitlines()[-1])["complete"] is True
