"""OUT/.acfd is used only if this program made it, and holds no link to a file of somebody's."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from acfd_stream.archive.manifest import Manifest
from acfd_stream.archive.state_folder import MARKER, require_state_folder
from acfd_stream.errors import ConfigError, ForeignFileError
from acfd_stream.recording.task import STATE_FOLDER


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the state folder would be; OUT is there."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / STATE_FOLDER


def test_a_new_archive_is_marked_and_known_again(state: Path) -> None:
    Manifest(state.parent, is_new=True).close()
    assert json.loads((state / MARKER).read_text())["program"] == "acfd_stream"
    for is_new in (True, False):
        Manifest(state.parent, is_new=is_new).close()
    (state / MARKER).unlink()  # as of a version without markers
    Manifest(state.parent).close()
    assert (state / MARKER).exists()


@pytest.mark.parametrize("harm", ["file", "database", "other marker", "text for a database"])
def test_a_folder_of_somebody_s_is_refused_and_stays(state: Path, harm: str) -> None:
    state.mkdir()
    if harm == "file":
        (state / "diary.txt").write_text("mine")
    elif harm == "database":
        with sqlite3.connect(state / "manifest.sqlite3") as database:
            database.execute("CREATE TABLE recipes (name TEXT)")
    elif harm == "other marker":
        (state / MARKER).write_text('{"program": "another"}')
    else:
        (state / "manifest.sqlite3").write_text("mine" * 1000)
    before = {path.name: path.read_bytes() for path in state.iterdir()}
    for is_new in (True, False):
        with pytest.raises(ConfigError, match=r"\.acfd was not made by this program; choose another --out"):
            Manifest(state.parent, is_new=is_new)
    assert {path.name: path.read_bytes() for path in state.iterdir()} == before


def test_a_kill_before_the_marker_is_no_harm(state: Path) -> None:
    (state / "parts").mkdir(parents=True)
    (state / f"{MARKER}.17.part").write_text("{")
    require_state_folder(state.parent, is_new=True)
    assert (state / MARKER).exists()


@pytest.mark.parametrize("link", ["", "parts", "manifest.sqlite3", "manifest.sqlite3-wal"])
def test_a_link_is_refused(state: Path, link: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    if link:
        Manifest(state.parent, is_new=True).close()
    place = state / link if link else state
    if link == "parts":
        place.rmdir()
    elif link == "manifest.sqlite3":
        place.rename(home / "mine")
    place.symlink_to(home if link in ("", "parts") else home / "mine")
    before = sorted(path.name for path in home.iterdir())
    with pytest.raises(ForeignFileError, match="is a link"):
        Manifest(state.parent, is_new=True)
    assert sorted(path.name for path in home.iterdir()) == before


def test_no_archive_is_said_and_nothing_is_made(tmp_path: Path) -> None:
    for out in (tmp_path, tmp_path / "none"):
        with pytest.raises(ConfigError, match="holds no archive"):
            Manifest(out)
    assert list(tmp_path.iterdir()) == []
