"""An archive folder that the version before left behind goes on from where it stood, and ends with the same bytes."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from acfd_stream.cli import main
from tests.fixtures.state import (
    ARCHIVE,
    ARCHIVE_OUTPUTS,
    CLIP,
    FRAMES,
    MIDDLE,
    STATE_FOLDER,
    frames_saved,
    lay_out,
    move_archive,
    unpack,
)

RUN = [*ARCHIVE, "--outputs", ",".join(ARCHIVE_OUTPUTS)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The results of a run of this version that nothing interrupts."""
    folder = lay_out(tmp_path_factory.mktemp("unbroken") / "archive")
    with contextlib.chdir(folder):
        assert main([*RUN, "--quiet"]) == 0
    return contents(folder)


def results(folder: Path) -> list[Path]:
    """The files that a user sees."""
    files = [path for path in (folder / "out").rglob("*") if path.is_file()]
    return [path for path in files if STATE_FOLDER not in path.parts]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder / "out")): path.read_bytes() for path in results(folder)}


def without_boxes(lines: bytes) -> list[dict[str, Any]]:
    """Results without boxes: where two places have the same score, the CPU's rounding decides between them."""
    values = [json.loads(line) for line in lines.splitlines()]
    for each in values:
        for face in each.get("faces", ()):
            del face["box"]
            face["score"] = round(face["score"], 2)
    return values


def times(folder: Path) -> dict[str, int]:
    """When each result was written, by name."""
    return {str(path.relative_to(folder / "out")): path.stat().st_mtime_ns for path in results(folder)}


def noted(folder: Path) -> Mapping[str, object]:
    """What the manifest says of the only episode."""
    with contextlib.closing(sqlite3.connect(folder / "out" / STATE_FOLDER / "manifest.sqlite3")) as database:
        database.row_factory = sqlite3.Row
        (row,) = database.execute("SELECT * FROM episodes").fetchall()
    return dict(row)


@pytest.mark.parametrize("command", ["resume", "run"])
def test_an_episode_that_was_killed_in_mid_file_goes_on(
    command: str, unbroken: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = unpack("archive_killed_in_mid_file", tmp_path / "moved")
    move_archive(folder)
    saved = frames_saved(folder)
    assert MIDDLE[0] <= saved <= MIDDLE[1]
    monkeypatch.chdir(folder)
    assert main(["archive", "resume", "out", "--quiet"] if command == "resume" else [*ARCHIVE, "--quiet"]) == 0
    assert contents(folder) == {f"{CLIP}.jsonl": unbroken[f"{CLIP}.jsonl"]}
    episode = noted(folder)
    assert (episode["state"], episode["frames"], episode["new_frames"]) == ("done", FRAMES, FRAMES - saved)
    assert list((folder / "out" / STATE_FOLDER / "parts").iterdir()) == []


def test_an_episode_that_was_killed_while_an_output_was_made_keeps_what_was_there(
    unbroken: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = unpack("archive_killed_while_an_output_was_made", tmp_path / "moved")
    before = times(folder)
    assert set(before) == {f"{CLIP}.{suffix}" for suffix in ("jsonl", "mot.txt", "vtt")}
    monkeypatch.chdir(folder)
    assert main([*RUN, "--quiet"]) == 0
    assert contents(folder).keys() == unbroken.keys()
    assert all(contents(folder).values())
    assert before.items() <= times(folder).items()  # neither tracked nor written again
    assert list((folder / "out" / STATE_FOLDER / "parts").iterdir()) == []


def test_a_finished_archive_is_skipped(
    unbroken: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = unpack("archive_finished", tmp_path / "moved")
    before, episode = times(folder), noted(folder)
    monkeypatch.chdir(folder)
    assert main([*RUN, "--log-json"]) == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [each["event"] for each in events if each["event"] != "progress"] == ["begin"]
    assert times(folder) == before
    assert noted(folder).items() >= episode.items()
    lines = without_boxes(contents(folder)[f"{CLIP}.jsonl"])
    assert lines == without_boxes(unbroken[f"{CLIP}.jsonl"])


def test_a_finished_archive_gets_another_output_and_its_pages_without_tracking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = unpack("archive_finished", tmp_path / "moved")
    move_archive(folder)
    before = times(folder)
    monkeypatch.chdir(folder)
    assert main([*RUN[:-1], RUN[-1] + ",coco", "--quiet"]) == 0
    assert main(["archive", "report", "out", "--quiet"]) == 0
    after = times(folder)
    assert before.items() <= after.items()
    made = {f"{CLIP}.{suffix}" for suffix in ("coco.json", "poster.jpg", "report.html")}
    assert set(after) - set(before) == made | {"index.html"}
