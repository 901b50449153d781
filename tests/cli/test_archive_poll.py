"""``archive watch``: videos that come while it waits, and how it ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from acfd_stream.archive.manifest import Manifest
from acfd_stream.archive.records import EpisodeStatus
from acfd_stream.cli import main
from tests.cli.test_archive import PATIENCE, Archive, events, film, started, until

EVERY = "0.3"


def watch(archive: Archive) -> list[str]:
    return ["archive", "watch", *archive.arguments("--every", EVERY, "--log-json")[2:]]


def come(archive: Archive, name: str, first: int = 0) -> None:
    """A whole film that was written elsewhere, some time ago."""
    path = film(archive.library.parent / name, 12, first)
    os.utime(path, (1e9, 1e9))
    path.rename(archive.library / name)


def is_done(archive: Archive, *names: str) -> Callable[[], bool]:
    """Whether the archive has these videos, all done, and no others."""

    def holds() -> bool:
        if not (archive.out / ".acfd" / "manifest.sqlite3").exists():
            return False
        with Manifest(archive.out) as manifest:
            states = {episode.name: episode.state for episode in manifest.episodes()}
        return states == dict.fromkeys(names, EpisodeStatus.DONE)

    return holds


def test_videos_are_tracked_as_they_come_until_a_signal(tmp_path: Path, tiny_model: Path) -> None:
    archive = Archive(tmp_path / "library", tmp_path / "out", tiny_model)
    archive.library.mkdir()
    process = started(watch(archive))
    try:
        come(archive, "one.mkv")
        until(is_done(archive, "one.mkv"), process)
        come(archive, "two.mkv", first=30)
        until(is_done(archive, "one.mkv", "two.mkv"), process)
        (archive.library / "two.mkv").rename(archive.library / "three.mkv")
        until(is_done(archive, "one.mkv", "three.mkv"), process)
    finally:
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, errors
    assert errors.splitlines()[-1] == "acfd-stream: terminated"
    done = [each for each in events(output) if each["event"] == "episode"]
    assert [each["name"] for each in done] == ["one.mkv", "two.mkv", "three.mkv"]
    assert done[-1]["fps"] is None  # known by its content


@pytest.mark.parametrize(
    ("place", "more", "code", "said"),
    [("nowhere", [], 1, "nowhere: no such file or folder"), (".", ["--every", "0"], 2, "--every must be > 0, got 0")],
)
def test_a_call_that_cannot_be_meant_is_refused(
    place: str, more: list[str], code: int, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["archive", "watch", str(tmp_path / place), "--out", str(tmp_path / "out"), *more]) == code
    assert said in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
