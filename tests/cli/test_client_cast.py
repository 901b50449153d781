"""A server with a cast: the names of ``track --cast``, whichever way the video takes; and a cast that changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acfd_stream.cli import main
from acfd_stream.identity.cast.cast import Cast
from acfd_stream.service.access import file_watch
from acfd_stream.service.server import Server
from acfd_stream.service.settings import SourceSettings
from tests.cli.test_client_characters import SHOT_FRAMES, clip, here, to
from tests.identity.made_up import write_views
from tests.service.rig import calling, frames_of, plain_results, sending, serving
from tests.service.test_resume import EAGER, read_until
from tests.service.test_resume_characters import FILE, LIVE, configured

__all__ = ["clip", "here"]
Track = Callable[..., bytes]


@pytest.fixture(scope="module")
def cast(here: Track, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cast of the clip, with a name for everybody."""
    folder = tmp_path_factory.mktemp("cast")
    here(folder / "clip.jsonl", "--views", str(folder / "clip.views.ndjson"))
    with Cast.open(folder / "cast.db", is_new=True) as cast:
        cast.build([folder])
        for member in cast.members():
            cast.name(member.number, f"Velma {'I' * member.number}")
    (folder / "clip.views.ndjson").unlink()
    return folder / "cast.db"


@pytest.fixture(scope="module")
def server(tiny_model: Path, clip: Path, cast: Path) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_watch, "CHECK_SECONDS", 0.0)
        with serving(tiny_model, sources=SourceSettings(folders=(clip.parent,)), cast=cast, answers=EAGER) as running:
            yield running


@pytest.mark.parametrize("options", [[], ["--uri"], ["--format", "vtt"], ["--no-characters"]])
def test_a_stream_gives_the_bytes_of_track(
    server: Server, here: Track, clip: Path, cast: Path, tmp_path: Path, options: list[str]
) -> None:
    there = tmp_path / "there"
    assert main(["client", "track", str(clip), *to(server), "-o", str(there), "--quiet", *options]) == 0
    is_named = "--no-characters" not in options
    settings = [*(option for option in options if option != "--uri"), *(["--cast", str(cast)] if is_named else [])]
    assert there.read_bytes() == here(tmp_path / "here", *settings)
    assert (b"Velma I" in there.read_bytes()) == is_named


def test_a_stream_to_stdout_has_the_names_that_are_known(
    server: Server, here: Track, clip: Path, cast: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["client", "track", str(clip), *to(server), "-o", "-", "--quiet"]) == 0
    there = capfdbinary.readouterr().out
    settings = ["--model", server.settings.model, "--size", "128", "--threads", "1", "--quiet"]
    assert main(["track", str(clip), "--cast", str(cast), "-o", "-", *settings]) == 0
    assert there == capfdbinary.readouterr().out
    frames = [json.loads(line) for line in there.splitlines()][1:-1]
    names = {link["id"]: link.get("name", "") for frame in frames for link in frame.get("links", ())}
    assert set(names.values()) & {"Velma I", "Velma II"}
    assert {face["id"]: face.get("name", "") for frame in frames for face in frame["faces"]} == names


@pytest.mark.parametrize(("mode", "cut"), [(FILE, SHOT_FRAMES + 3), (LIVE, SHOT_FRAMES)])
def test_a_stream_that_goes_on_has_the_names_of_a_whole_one(server: Server, clip: Path, mode: int, cut: int) -> None:
    data = clip.read_bytes()
    with calling(server) as stub:
        whole = list(stub.Track(sending(data, configured(mode))))
        before, point = read_until(stub.Track(sending(data, configured(mode))), cut)
        rest = list(stub.Track(sending(data, configured(mode, point.token))))
    assert before + plain_results(rest) == plain_results(whole)
    assert rest[-1].end == whole[-1].end
    assert all(each.name for each in rest[-1].end.characters)
    assert any(link.name for frame in frames_of(whole) for link in frame.links)


def test_a_job_gives_the_bytes_of_track(
    server: Server, here: Track, clip: Path, cast: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["client", "jobs", "submit", str(clip), *to(server)]) == 0
    job_id = capfd.readouterr().out.strip()
    for name in ("while it runs", "when it is done"):
        out = tmp_path / name
        assert main(["client", "jobs", "results", job_id, *to(server), "-o", str(out), "--quiet"]) == 0
        assert out.read_bytes() == here(tmp_path / "here", "--cast", str(cast))


def test_a_cast_that_changes_is_read_again_and_a_damaged_one_is_not(
    server: Server, clip: Path, cast: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def names() -> set[str]:
        out = tmp_path / "out.jsonl"
        assert main(["client", "track", str(clip), *to(server), "-o", str(out), "-q"]) == 0
        return {each.get("name", "") for each in json.loads(out.read_text().splitlines()[-1])["characters"]}

    before, sound = names(), cast.read_bytes()
    with Cast.open(cast) as members:
        members.name(members.find("Velma I"), "Daphne")
    try:
        assert names() == {name.replace("Velma I", "Daphne") if name == "Velma I" else name for name in before}
        cast.write_bytes(b"no cast" * 99)
        assert "Daphne" in names()
        assert "the previous members of the cast stay in use" in caplog.text
    finally:
        cast.write_bytes(sound)
    assert names() == before


def test_a_cast_that_does_not_fit_ends_the_start_in_one_line(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_views(tmp_path / "e1.views.ndjson", [1])
    with Cast.open(tmp_path / "other.db", is_new=True) as cast:
        cast.build([tmp_path])
    (tmp_path / "damaged.db").write_bytes((tmp_path / "other.db").read_bytes()[:5000])
    settings = tmp_path / "serve.toml"
    settings.write_text(f'cast = "{tmp_path / "other.db"}"\n')
    for options, code, said in (
        (["--config", str(settings)], 1, "has embeddings of acfd-id 1 (abababababab)"),
        (["--cast", str(tmp_path / "damaged.db")], 1, "the cast is damaged"),
        (["--cast", str(tmp_path / "none.db")], 2, "there is no such cast"),
    ):
        address = ["--listen", "127.0.0.1:0", "--metrics", "", "--model", str(tiny_model)]
        assert main(["serve", *address, *options]) == code
        error = capfd.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def test_track_says_how_many_characters_got_a_name(
    clip: Path, cast: Path, tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    quick = ["--model", str(tiny_model), "--size", "128", "--threads", "1"]
    assert main(["track", str(clip), "--cast", str(cast), "-o", str(tmp_path / "out.jsonl"), *quick]) == 0
    number = len(json.loads((tmp_path / "out.jsonl").read_text().splitlines()[-1])["characters"])
    said = f"{number} of {number} character{'s' * (number != 1)} got a name from {cast}"
    assert said in capfd.readouterr().err.splitlines()
