"""An archive beside the files of somebody: it adds its own, keeps theirs, says so, and knows its own again."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from acfd_stream.cli import main
from acfd_stream.recording.episode import record_episode
from acfd_stream.recording.task import RecordingState, RecordingTask
from tests.clips import encode
from tests.pipeline.conftest import SIZE, draw
from tests.pipeline.square_finder import SquareFinder

EVERYTHING = "jsonl,mot,coco,vtt,overlay,thumbnails,report"
FRAMES = 12


@dataclass(frozen=True)
class Shows:
    """A folder of videos that is its own OUT."""

    folder: Path
    model: Path
    capture: pytest.CaptureFixture[str]

    def film(self, name: str, first: int = 0) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        encode(self.folder / name, (draw(first + index) for index in range(FRAMES)), SIZE)

    def run(self, outputs: str = "vtt", *more: str, size: int = 64) -> tuple[int, str]:
        """Exit code and what was said on stderr."""
        settings = ("--model", str(self.model), "--size", str(size), "--threads", "1", "--quiet")
        out = ("--out", str(self.folder), "--outputs", outputs)
        code = main(["archive", "run", str(self.folder), *out, *settings, *more])
        return code, self.capture.readouterr().err

    def verify(self, *more: str) -> tuple[int, list[str]]:
        """Exit code and what was said on stdout."""
        code = main(["archive", "verify", str(self.folder), *more])
        return code, self.capture.readouterr().out.splitlines()

    def own(self, name: str, text: str) -> Path:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)
        return self.folder / name

    def files(self) -> dict[str, bytes]:
        files = [path for path in self.folder.rglob("*") if path.is_file() and ".acfd" not in path.parts]
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files if path.suffix != ".mkv"}


@pytest.fixture
def shows(tmp_path: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]) -> Shows:
    shows = Shows(tmp_path / "shows", tiny_model, capfd)
    shows.film("a.mkv")
    return shows


MINE = {
    "a.mkv.vtt": "WEBVTT\n\n00:00.000 --> 00:01.000\nmine\n",
    "a.mkv.mot.txt": "mine\n",
    "a.mkv.coco.json": "{}",
    "a.mkv.overlay.mp4": "mine",
    "a.mkv.thumbnails/mine.psd": "mine",
    "a.mkv.report.html": "<html>mine</html>",
    "index.html": "<html>mine</html>",
}


def test_no_file_of_somebody_is_lost_and_all_else_is_done(shows: Shows) -> None:
    shows.film("b.mkv", 20)
    for name, text in MINE.items():
        shows.own(name, text)
    code, said = shows.run(EVERYTHING)
    assert code == 1
    assert "a.mkv.vtt is not a file of this archive; it is kept; move it away, then run again" in said
    assert {name: shows.files()[name] for name in MINE} == {name: text.encode() for name, text in MINE.items()}
    made = {name for name in shows.files() if name.startswith("b.mkv")}
    suffixes = (".jsonl", ".mot.txt", ".coco.json", ".vtt", ".overlay.mp4", ".report.html")
    assert {f"b.mkv{suffix}" for suffix in suffixes} <= made
    assert "a.mkv.jsonl" in shows.files()
    for name in MINE:
        (shows.folder / name).unlink()
    (shows.folder / "a.mkv.thumbnails").rmdir()
    assert shows.run(EVERYTHING) == (0, "")
    assert {f"a.mkv{suffix}" for suffix in suffixes} | {"index.html"} <= shows.files().keys()
    assert shows.verify("--quiet") == (0, [])


def test_lines_of_somebody_s_stop_the_video_before_it_is_tracked(shows: Shows) -> None:
    shows.film("b.mkv", 20)
    notes = shows.own("a.mkv.jsonl", '{"my": "own notes"}\n')
    code, said = shows.run()
    assert (code, notes.read_text()) == (1, '{"my": "own notes"}\n')
    assert "a.mkv.jsonl is not a file of this archive" in said
    assert shows.files().keys() == {"a.mkv.jsonl", "b.mkv.jsonl", "b.mkv.views.ndjson", "b.mkv.vtt"}


def test_what_somebody_edited_is_kept_and_said(shows: Shows) -> None:
    assert shows.run("vtt,mot")[0] == 0
    vtt = shows.own("a.mkv.vtt", "WEBVTT\n\nedited\n")
    assert shows.run("vtt,mot") == (0, "")  # nothing is to be done
    assert shows.verify("--quiet") == (1, ["changed: a.mkv.vtt"])
    before = shows.files()["a.mkv.mot.txt"], shows.files()["a.mkv.jsonl"]
    code, said = shows.run("vtt,mot", size=96)
    assert (code, vtt.read_text()) == (1, "WEBVTT\n\nedited\n")
    assert "a.mkv.vtt was changed after this program wrote it; it is kept" in said
    assert shows.files()["a.mkv.jsonl"] != before[1]
    vtt.unlink()
    assert shows.run("vtt,mot", size=96) == (0, "")
    assert shows.verify("--quiet") == (0, [])


def test_lines_that_somebody_edited_are_never_taken_for_ours(shows: Shows) -> None:
    assert shows.run("jsonl")[0] == 0
    lines = shows.folder / "a.mkv.jsonl"
    edited = lines.read_bytes() + b'{"type": "mine"}\n'
    lines.write_bytes(edited)
    for size in (64, 96, 96):
        code, said = shows.run("vtt", size=size)
        assert (code, lines.read_bytes()) == (1, edited)
        assert "a.mkv.jsonl was changed after this program wrote it; it is kept" in said
        assert not (shows.folder / "a.mkv.vtt").exists()
    lines.rename(shows.folder / "mine")
    assert shows.run("vtt", size=96) == (0, "")
    assert shows.verify("--quiet") == (0, [])


def test_another_film_of_the_name_replaces_our_results(shows: Shows) -> None:
    assert shows.run("vtt,thumbnails")[0] == 0
    before = shows.files()
    shows.film("a.mkv", 30)
    assert shows.run("vtt,thumbnails") == (0, "")
    assert shows.files()["a.mkv.jsonl"] != before["a.mkv.jsonl"]
    assert shows.verify("--quiet") == (0, [])


def test_results_whose_manifest_is_gone_are_known_by_their_bytes(shows: Shows) -> None:
    assert shows.run(EVERYTHING)[0] == 0
    before = shows.files()
    for path in sorted((shows.folder / ".acfd").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    code, said = shows.run("jsonl,mot,coco,vtt,overlay,thumbnails")
    assert (code, said) == (0, "")
    assert shows.files() == before
    code, said = shows.run("vtt", size=96)
    assert code == 0


def test_an_archive_of_a_version_without_digests_is_adopted_as_it_is(shows: Shows) -> None:
    assert shows.run(EVERYTHING)[0] == 0
    with sqlite3.connect(shows.folder / ".acfd" / "manifest.sqlite3") as database:
        database.execute("DROP TABLE published")
    database.close()
    (shows.folder / ".acfd" / "archive.json").unlink()
    code, lines = shows.verify("--json")
    assert (code, {json.loads(line)["state"] for line in lines}) == (0, {"good", "no digest"})  # good: the folder
    with sqlite3.connect(shows.folder / ".acfd" / "manifest.sqlite3") as database:
        database.execute("DROP TABLE published")
    database.close()
    vtt = shows.own("a.mkv.vtt", (shows.folder / "a.mkv.vtt").read_text() + "\nmine\n")
    os.utime(vtt, (4e9, 4e9))
    before = shows.files()
    code, said = shows.run(EVERYTHING, size=96)
    assert (code, said.count("it is kept")) == (1, 1)
    after = shows.files()
    assert after["a.mkv.vtt"] == before["a.mkv.vtt"]
    assert all(after[f"a.mkv.{name}"] != before[f"a.mkv.{name}"] for name in ("jsonl", "coco.json", "report.html"))


def test_lines_that_were_changed_are_data_loss_for_what_is_made_of_them(shows: Shows) -> None:
    assert shows.run("jsonl")[0] == 0
    lines = shows.folder / "a.mkv.jsonl"
    lines.write_bytes(lines.read_bytes().replace(b'"pts": 0', b'"pts": 9', 1))
    assert shows.run("jsonl") == (0, "")
    code, said = shows.run("vtt")
    assert code == 1
    assert "DATA LOSS" in said
    assert main(["archive", "report", str(shows.folder), "--quiet"]) in (0, 1)
    assert not (shows.folder / "a.mkv.report.html").exists()
    assert shows.verify("--quiet") == (1, ["changed: a.mkv.jsonl"])


@pytest.mark.parametrize("harm", ["missing", "changed", "foreign", "link"])
def test_verify_says_what_is_wrong(shows: Shows, harm: str) -> None:
    shows.film("b\x1b[31m\n.mkv", 20)
    assert shows.run()[0] == 0
    assert shows.verify() == (0, [])
    vtt = shows.folder / "a.mkv.vtt"
    if harm == "missing":
        vtt.unlink()
    elif harm == "changed":
        vtt.write_bytes(vtt.read_bytes().replace(b"face", b"FACE"))
    elif harm == "foreign":
        vtt = shows.own("a.mkv.mot.txt", "mine")
    else:
        vtt.rename(shows.folder / "elsewhere")
        vtt.symlink_to(shows.folder / "elsewhere")
        harm = "changed"
    assert shows.verify() == (1, [f"{harm}: {vtt.name}"])
    code, lines = shows.verify("--json")
    found = {values["path"]: values["state"] for values in map(json.loads, lines)}
    assert (code, found[vtt.name], found["a.mkv.jsonl"]) == (1, harm, "good")
    assert found["b\x1b[31m\n.mkv.vtt"] == "good"


def test_a_folder_of_results_alone_holds_nothing_else(shows: Shows, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call = ["archive", "run", str(shows.folder), "--model", str(shows.model), "--size", "64", "--quiet"]
    assert main([*call, "--out", str(out)]) == 0
    (out / "strange.jsonl").write_text("{}")
    assert main(["archive", "verify", str(out)]) == 1
    assert "foreign: strange.jsonl\n" in shows.capture.readouterr().out


def test_an_archive_below_a_link_and_on_a_link(shows: Shows, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for out in (tmp_path / "link", tmp_path / "link" / "below"):
        call = ["archive", "run", str(shows.folder), "--model", str(shows.model), "--size", "64", "--quiet"]
        assert main([*call, "--out", str(out)]) == 0
        assert (tmp_path / "real" / out.relative_to(tmp_path / "link") / "a.mkv.jsonl").exists()


def test_a_file_is_no_folder_for_results(shows: Shows, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    call = ["archive", "run", str(shows.folder), "--model", str(shows.model), "--size", "64", "--quiet"]
    assert main([*call, "--out", str(tmp_path / "mine")]) == 1
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("name", ["show", "show.mkv.vtt"])
def test_a_stranger_s_links_lead_nowhere(shows: Shows, tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "precious").write_text("precious")
    out = tmp_path / "out"
    out.mkdir()
    (shows.folder / "a.mkv").rename(shows.folder / "show.mkv")
    shows.film("show/b.mkv", 20)
    (out / name).symlink_to(home if name == "show" else home / "precious")
    call = ["archive", "run", str(shows.folder), "--model", str(shows.model), "--size", "64", "--quiet"]
    assert main([*call, "--out", str(out), "--outputs", "vtt"]) == 1
    assert "is a link" in shows.capture.readouterr().err
    assert {path.name: path.read_text() for path in home.iterdir()} == {"precious": "precious"}
    other = "show.mkv.vtt" if name == "show" else "show/b.mkv.vtt"
    assert (out / other).is_file()


@pytest.mark.parametrize("make", [Path.symlink_to, Path.hardlink_to])
def test_a_planted_unfinished_file_is_not_written(
    shows: Shows, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    assert shows.run("jsonl")[0] == 0
    (tmp_path / "precious").write_text("precious")
    task = RecordingTask("otherkey", str(shows.folder / "a.mkv"), "a.mkv", shows.folder)
    task.part.parent.mkdir(exist_ok=True)
    make(task.part, tmp_path / "precious")
    outcome = record_episode(task, SquareFinder())
    assert outcome.state is RecordingState.REFUSED
    assert (tmp_path / "precious").read_text() == "precious"
    assert os.path.lexists(task.part)
