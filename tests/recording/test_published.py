"""Final names: what a name holds is replaced or removed only if it was published and nobody has changed it since."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from acfd_stream.errors import ForeignFileError, OutputError
from acfd_stream.recording.published import FinalNames, Journal, PublishedFile

NAME = "show/ep\n1.mkv.vtt"
FOLDER = "show/ep.mkv.thumbnails"


class Place:
    """An OUT, files that wait for their names, and what was noted."""

    def __init__(self, folder: Path) -> None:
        self.out, self.fresh = folder / "out", folder / "fresh"
        self.noted: list[PublishedFile] = []
        self.out.mkdir()

    def names(self) -> FinalNames:
        return FinalNames(self.out, self.noted, self.noted.extend)

    def publish(self, text: str, path: str = NAME) -> None:
        self.fresh.write_text(text)
        self.names().publish(self.fresh, path)

    def publish_folder(self, *pictures: str) -> None:
        self.fresh.mkdir()
        for picture in pictures:
            (self.fresh / picture).write_text(f"picture {picture}")
        self.names().publish(self.fresh, FOLDER)

    def files(self) -> dict[str, str]:
        files = (path for path in self.out.rglob("*") if path.is_file())
        return {str(path.relative_to(self.out)): path.read_text() for path in files}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_was_published_is_replaced(place: Place) -> None:
    place.publish("one")
    place.publish("two")
    assert place.files() == {NAME: "two"}
    place.names().withdraw(NAME)
    assert place.files() == {}
    place.publish("three")
    assert place.names().files() == (place.noted[-1],)


def test_what_somebody_changed_stays(place: Place) -> None:
    place.publish("one")
    (place.out / NAME).write_text("ONE")
    with pytest.raises(ForeignFileError, match="was changed after this program wrote it; it is kept"):
        place.publish("two")
    place.names().withdraw(NAME)
    assert place.files() == {NAME: "ONE"}


def test_what_somebody_made_stays_unless_it_is_the_same(place: Place) -> None:
    (place.out / "show").mkdir()
    (place.out / NAME).write_text("mine")
    with pytest.raises(ForeignFileError, match="is not a file of this archive; it is kept; move it away"):
        place.publish("other")
    with pytest.raises(ForeignFileError):
        place.names().require_free(NAME)
    place.names().require_free(NAME, lambda path: True)
    place.names().withdraw(NAME)
    assert place.files() == {NAME: "mine"}
    place.publish("mine")
    place.publish("other")
    assert place.files() == {NAME: "other"}


def test_the_digest_is_noted_before_the_file_has_its_name(place: Place) -> None:
    def refuse(files: Sequence[PublishedFile]) -> None:
        assert not (place.out / NAME).exists()
        raise OutputError("no room")

    place.fresh.write_text("one")
    with pytest.raises(OutputError, match="no room"):
        FinalNames(place.out, (), refuse).publish(place.fresh, NAME)
    assert (place.files(), place.fresh.read_text()) == ({}, "one")


@pytest.mark.parametrize("leads_to", ["file", "folder", "nothing"])
def test_a_link_with_the_name_of_a_result_stays(place: Place, leads_to: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "file").write_text("precious")
    (home / "folder").mkdir()
    (place.out / "show").mkdir()
    (place.out / NAME).symlink_to(home / leads_to)
    with pytest.raises(ForeignFileError, match="is a link; it is kept"):
        place.publish("one")
    assert (place.out / NAME).is_symlink()
    assert (home / "file").read_text() == "precious"
    assert sorted(os.listdir(home)) == ["file", "folder"]


@pytest.mark.parametrize("is_published_before", [False, True])
def test_a_folder_that_is_a_link_is_not_entered(place: Place, tmp_path: Path, is_published_before: bool) -> None:
    if is_published_before:
        place.publish("one")
    home = tmp_path / "home"
    if (place.out / "show").exists():
        (place.out / "show").rename(home)
    else:
        home.mkdir()
    before = os.listdir(home)
    (place.out / "show").symlink_to(home)
    for act in (lambda: place.publish("two"), lambda: place.names().withdraw(NAME)):
        with pytest.raises(ForeignFileError, match="show is a link where results need a folder"):
            act()
    assert os.listdir(home) == before


def test_out_itself_may_be_a_link(place: Place, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(place.out)
    place.fresh.write_text("one")
    FinalNames(tmp_path / "link", (), place.noted.extend).publish(place.fresh, NAME)
    assert place.files() == {NAME: "one"}


def test_another_name_of_a_published_file_keeps_its_content(place: Place, tmp_path: Path) -> None:
    place.publish("one")
    (tmp_path / "copy").hardlink_to(place.out / NAME)
    place.publish("two")
    assert (tmp_path / "copy").read_text() == "one"


def test_a_folder_is_replaced_as_a_whole(place: Place) -> None:
    place.publish_folder("1.jpg", "2.jpg")
    place.publish_folder("2.jpg", "3.jpg")
    assert sorted(place.files()) == [f"{FOLDER}/2.jpg", f"{FOLDER}/3.jpg"]
    assert place.names().has(FOLDER)
    place.names().withdraw(FOLDER)
    assert not place.names().has(FOLDER)
    place.publish_folder()
    assert place.names().has(FOLDER)


@pytest.mark.parametrize("added", ["mine.psd", "9.jpg", "more/mine.psd", "link.jpg"])
def test_a_folder_with_anything_of_somebody_s_stays(place: Place, added: str) -> None:
    place.publish_folder("1.jpg")
    (place.out / FOLDER / added).parent.mkdir(exist_ok=True)
    if added.startswith("link"):
        (place.out / FOLDER / added).symlink_to("1.jpg")
    else:
        (place.out / FOLDER / added).write_text("mine")
    before = place.files()
    with pytest.raises(ForeignFileError):
        place.publish_folder("1.jpg", "2.jpg")
    place.names().withdraw(FOLDER)
    assert place.files() == before


def test_a_file_without_a_digest_is_known_by_its_time(place: Place) -> None:
    place.publish("one")
    found = (place.out / NAME).stat()
    place.noted = [PublishedFile(NAME, 3, "", found.st_mtime_ns)]
    assert place.names().is_unchanged(NAME)
    place.noted = [replace(place.noted[0], mtime_ns=found.st_mtime_ns + 1)]
    assert not place.names().is_unchanged(NAME)


def test_the_journal_forgets_only_a_line_that_a_kill_cut_off(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.published")
    files = [PublishedFile("a\udcff.vtt", 3, "aa"), PublishedFile("b/", 0), PublishedFile("c", 1, "cc", 5)]
    journal.note(files[:1])
    with open(tmp_path / "a.published", "ab") as file:
        file.write(b'{"path": "half')
    journal.note(files[1:])
    assert journal.read() == files
    assert Journal(tmp_path / "none").read() == []


def test_a_journal_that_is_a_link_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    for make in (Path.symlink_to, Path.hardlink_to):
        make(tmp_path / "a.published", tmp_path / "mine")
        with pytest.raises(ForeignFileError, match="link"):
            Journal(tmp_path / "a.published").note([PublishedFile("a")])
        (tmp_path / "a.published").unlink()
    assert (tmp_path / "mine").read_text() == "mine"
