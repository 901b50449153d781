"""A video with another name: its results go with it, it is not tracked again, and nothing of the old name is left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from acfd_stream.archive.manifest import Manifest
from acfd_stream.archive.records import Episode
from acfd_stream.cli import main
from tests.clips import encode
from tests.pipeline.conftest import SIZE, draw

OUTPUTS = "vtt,thumbnails,report"


class Shows:
    """A folder of videos and the archive of it."""

    def __init__(self, folder: Path, model: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self.out, self._model, self._capture = folder / "shows", folder / "out", model, capture

    def film(self, name: str, first: int = 0) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return encode(path, (draw(first + index) for index in range(12)), SIZE)

    def run(self, *more: str, outputs: str = OUTPUTS) -> dict[str, float | None]:
        """The videos that a run finished, each with the speed at which it tracked: None where it did not."""
        settings = ["--model", str(self._model), "--size", "64", "--threads", "1", "--log-json"]
        call = ["archive", "run", str(self.folder), "--out", str(self.out), "--outputs", outputs, *settings, *more]
        assert main(call) == 0
        events = map(json.loads, self._capture.readouterr().out.splitlines())
        return {each["name"]: each["fps"] for each in events if each["event"] == "episode"}

    def files(self) -> set[str]:
        files = [path for path in self.out.rglob("*") if path.is_file() and ".acfd" not in path.parts]
        return {str(path.relative_to(self.out)) for path in files}

    def episodes(self) -> dict[str, Episode]:
        with Manifest(self.out) as manifest:
            return {episode.name: episode for episode in manifest.episodes()}

    def verify(self) -> int:
        return main(["archive", "verify", str(self.out), "--quiet"])


@pytest.fixture
def shows(tmp_path: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]) -> Shows:
    return Shows(tmp_path, tiny_model, capfd)


def test_results_follow_a_video_that_is_renamed(shows: Shows, tmp_path: Path) -> None:
    shows.film("one.mkv")
    assert all(shows.run("--report").values())
    before, lines = shows.episodes()["one.mkv"], (shows.out / "one.mkv.jsonl").read_bytes()
    names = shows.files()
    (shows.folder / "season 1").mkdir()
    new = (shows.folder / "one.mkv").rename(shows.folder / "season 1" / "two.mkv")
    assert shows.run("--report") == {"season 1/two.mkv": None}
    assert shows.files() == {name.replace("one.mkv", "season 1/two.mkv") for name in names}
    assert shows.verify() == 0
    assert list((shows.out / ".acfd" / "parts").iterdir()) == []
    (after,) = shows.episodes().values()
    assert (after.name, after.speed, after.frames, after.tracks) == (
        *("season 1/two.mkv", before.speed, before.frames, before.tracks),
    )
    index = (shows.out / "index.html").read_text()
    assert "one.mkv" not in index
    assert "two.mkv" in index
    header, rest = (shows.out / "season 1/two.mkv.jsonl").read_bytes().split(b"\n", 1)
    assert json.loads(header)["source"] == str(new)
    assert rest == lines.split(b"\n", 1)[1]
    place = tmp_path / "tracked.jsonl"
    call = ["track", str(new), "-q", "-o", str(place), "--model", str(shows._model), "--size", "64"]
    assert main(call) == 0
    assert place.read_bytes() == header + b"\n" + rest
    assert shows.run("--report") == {}


def test_two_videos_of_one_content_stay_two(shows: Shows) -> None:
    film = shows.film("a.mkv")
    assert shows.run().keys() == {"a.mkv"}
    names = shows.files()
    shutil.copy(film, shows.folder / "b.mkv")
    assert shows.run() == {"b.mkv": None}
    assert shows.files() == names | {name.replace("a.mkv", "b.mkv") for name in names}
    assert {name: each.state.value for name, each in shows.episodes().items()} == {"a.mkv": "done", "b.mkv": "done"}


def test_videos_that_change_names_have_each_the_results_of_its_content(shows: Shows) -> None:
    one, two = shows.film("a.mkv"), shows.film("b.mkv", first=30)
    shows.run()
    lines = [(shows.out / f"{name}.mkv.jsonl").read_bytes().split(b"\n", 1)[1] for name in "ab"]
    one.rename(shows.folder / "c.mkv")
    two.rename(shows.folder / "a.mkv")
    done = shows.run()
    assert done.keys() == {"a.mkv", "c.mkv"}
    after = [(shows.out / f"{name}.mkv.jsonl").read_bytes().split(b"\n", 1)[1] for name in "ca"]
    assert after == lines
    assert shows.episodes().keys() == {"a.mkv", "c.mkv"}
    assert shows.verify() == 0


@pytest.mark.parametrize("names", [("2", "3", "4"), ("3", "1", "2")])
def test_episodes_that_are_numbered_anew_are_not_tracked_again(shows: Shows, names: tuple[str, ...]) -> None:
    films = [shows.film(f"{number}.mkv", first=30 * number) for number in (1, 2, 3)]
    shows.run()
    lines = [(shows.out / f"{film.name}.jsonl").read_bytes().split(b"\n", 1)[1] for film in films]
    left = shows.out / ".acfd" / "parts" / f"{shows.episodes()['1.mkv'].key}.kept"  # by a run that was killed
    left.hardlink_to(shows.out / "1.mkv.jsonl")
    for film in films:
        film.rename(film.with_suffix(".old"))
    for film, name in zip(films, names, strict=True):
        film.with_suffix(".old").rename(shows.folder / f"{name}.mkv")
    assert shows.run() == dict.fromkeys((f"{name}.mkv" for name in names), None)
    assert [(shows.out / f"{name}.mkv.jsonl").read_bytes().split(b"\n", 1)[1] for name in names] == lines
    assert list((shows.out / ".acfd" / "parts").iterdir()) == []
    assert shows.verify() == 0
    assert shows.run() == {}


def test_pages_follow_a_folder_that_is_moved(shows: Shows, tmp_path: Path) -> None:
    shows.film("a.mkv")
    speed = shows.run("--report")["a.mkv"]
    lines = (shows.out / "a.mkv.jsonl").read_bytes()
    shows.folder = shows.folder.rename(tmp_path / "moved")
    assert shows.run("--report") == {"a.mkv": None}
    assert '"url":"../moved/a.mkv"' in (shows.out / "a.mkv.report.html").read_text()
    assert (shows.out / "a.mkv.jsonl").read_bytes() == lines
    assert shows.episodes()["a.mkv"].frames_per_second == pytest.approx(speed, abs=0.1)
    assert shows.verify() == 0
    assert shows.run("--report") == {}


def test_results_that_somebody_changed_are_neither_taken_nor_removed(shows: Shows) -> None:
    film = shows.film("a.mkv")
    shows.run()
    for name in ("a.mkv.jsonl", "a.mkv.vtt"):
        edited = shows.out / name
        edited.write_bytes(edited.read_bytes().replace(b"face", b"FACE"))
    film.rename(shows.folder / "b.mkv")
    assert all(shows.run().values())
    left = {name for name in shows.files() if name.startswith("a.mkv")}
    assert left == {"a.mkv.jsonl", "a.mkv.vtt"}
    assert b'"face"' not in (shows.out / "a.mkv.jsonl").read_bytes()


def test_results_of_a_video_that_is_deleted_or_elsewhere_stay(
    shows: Shows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shows.film("a.mkv").rename(tmp_path / "a.mkv")
    shows.folder = Path("shows")
    monkeypatch.chdir(tmp_path)
    shows.film("b.mkv")
    shows.run()
    shutil.copytree("shows", "copies")
    (tmp_path / "copies" / "b.mkv").rename(tmp_path / "copies" / "c.mkv")
    monkeypatch.chdir(tmp_path / "copies")
    shows.folder = Path(".")
    assert shows.run() == {"c.mkv": None}  # shows/b.mkv, which is relative to another folder, is there
    assert shows.episodes().keys() == {"b.mkv", "c.mkv"}
    (tmp_path / "shows" / "b.mkv").unlink()
    (tmp_path / "copies" / "c.mkv").write_bytes((tmp_path / "a.mkv").read_bytes() + bytes(100))
    assert all(shows.run().values())
    assert shows.episodes().keys() == {"b.mkv", "c.mkv"}


def test_an_overlay_whose_video_moved_is_no_video(shows: Shows) -> None:
    shows.out = shows.folder
    film = shows.film("a.mkv")
    shows.run(outputs="overlay")
    film.rename(shows.folder / "b.mkv")
    assert shows.run(outputs="overlay") == {"b.mkv": None}
    assert shows.files() == {"b.mkv", "b.mkv.jsonl", "b.mkv.overlay.mp4", "b.mkv.views.ndjson"}
