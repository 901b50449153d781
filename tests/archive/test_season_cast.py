"""One cast for a season: what a run adds to it, whom later runs know by it, and names that come afterwards."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from acfd_stream.archive import season_cast
from acfd_stream.archive.manifest import Manifest
from acfd_stream.archive.run import ArchiveRun
from acfd_stream.archive.run_progress import RunEnd
from acfd_stream.archive.season_cast import Renamed, apply_names, archive_of, grow
from acfd_stream.archive.verify import verify
from acfd_stream.archive.workers import Began, Ended, WorkerEvent
from acfd_stream.characters import CharacterConfig
from acfd_stream.errors import CastError, ConfigError, OutputError
from acfd_stream.files import lock_file
from acfd_stream.identity.cast.cast import Cast
from acfd_stream.outputs import read_results
from acfd_stream.pipeline import session
from acfd_stream.recording.episode import record_episode
from acfd_stream.recording.task import RecordingTask
from tests.archive.scripted import RunFixture, ScriptedWorkers
from tests.pipeline.conftest import write_clip
from tests.pipeline.square_finder import SquareFinder
from tests.recording import scripted_characters
from tests.recording.scripted_characters import EMBEDDER, ScriptedStage


class RealWorkers(ScriptedWorkers):
    """One worker in this process that records each episode, with characters by a script."""

    def events(self, timeout_seconds: float) -> list[WorkerEvent]:
        if (task := self._task) is None:
            return []
        self._task = None
        return [Began(task, "one"), Ended(task, "one", record_episode(task, SquareFinder()))]


class Season:
    """An archive with a cast beside it; in each video the script knows one character, always the same."""

    def __init__(self, folder: Path, model: Path, embedder: Path) -> None:
        self.runs, self.cast, self._embedder = RunFixture(folder, model), folder / "season.db", embedder
        self.out = self.runs.out
        self._clip = write_clip(folder / "clip.mkv")

    def add(self, *names: str) -> None:
        for name in names:
            shutil.copy(self._clip, self.runs.library / name)
            with (self.runs.library / name).open("ab") as file:
                file.write(name.encode())  # each has a content of its own

    def run(self, **changes: Any) -> tuple[RunEnd, list[str]]:
        """Run as the command does; returns what was recorded, too."""
        given: list[RecordingTask] = []

        def start_workers(episodes: int) -> tuple[ScriptedWorkers, int]:
            workers = RealWorkers(lambda task: None)
            workers.given = given
            return workers, 0

        call = self.runs.call(cast=self.cast, characters=CharacterConfig(model=str(self._embedder)), **changes)
        end = ArchiveRun(call, start_workers).run()
        grow(self.cast, self.out)
        return end, [task.name for task in given if not task.is_tracked]

    def apply(self) -> list[Renamed]:
        with Cast.open(self.cast) as cast:
            return list(apply_names(cast, self.out))

    def names(self) -> dict[str, list[str]]:
        paths = sorted(path for path in self.out.glob("*.mkv.jsonl"))
        return {path.name[:2]: [each.name for each in read_results(path).end.characters] for path in paths}

    def wrong_files(self) -> list[str]:
        return [file.path for file in verify(self.out) if file.is_wrong]


@pytest.fixture
def season(tmp_path: Path, tiny_model: Path, tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch) -> Season:
    monkeypatch.setattr(session, "open_characters", session.open_characters)  # put back afterwards
    scripted_characters.install()
    pictures, view = count(), ScriptedStage._view  # no two episodes have the same pictures
    monkeypatch.setattr(ScriptedStage, "_view", lambda *it: replace(view(*it), jpeg=b"%d" % next(pictures)))
    monkeypatch.setattr(season_cast, "digest", lambda path: EMBEDDER.digest)
    season = Season(tmp_path, tiny_model, tiny_embedder)
    season.add("e2.mkv", "e1.mkv")
    return season


def test_a_run_makes_one_cast_of_all_episodes(season: Season) -> None:
    assert season.run()[1] == ["e1.mkv", "e2.mkv"]
    assert season.run()[1] == []
    with Cast.open(season.cast) as cast:
        (member,) = cast.members()
        assert [each.source for each in member.appearances] == ["out/e1.mkv.views.ndjson", "out/e2.mkv.views.ndjson"]
        assert cast.undo() == "add 2 videos"  # the second run has changed nothing
        assert cast.undo() is None
    assert season.names() == {"e1": [""], "e2": [""]}  # those of the script are none of the cast
    assert season.wrong_files() == []


def test_a_named_member_is_known_in_new_episodes(season: Season) -> None:
    season.run(outputs=("vtt",))
    with Cast.open(season.cast) as cast:
        cast.name(1, "Velma")
    season.add("e3.mkv")
    end, recorded = season.run(outputs=("vtt",))
    assert (end.is_all_done, recorded) == (True, ["e3.mkv"])  # a name is no reason to track again
    assert season.names() == {"e1": [""], "e2": [""], "e3": ["Velma"]}
    assert "Velma" in (season.out / "e3.mkv.vtt").read_text()
    assert season.apply() == [
        Renamed("e1.mkv", True, ("vtt",)),
        Renamed("e2.mkv", True, ("vtt",)),
        Renamed("e3.mkv"),
    ]
    assert season.names() == {"e1": ["Velma"], "e2": ["Velma"], "e3": ["Velma"]}
    assert season.wrong_files() == []
    assert season.run(outputs=("vtt",))[1] == []
    assert "Velma" in (season.out / "e1.mkv.vtt").read_text()  # made again of the results
    assert season.wrong_files() == []


def test_what_a_killed_call_renamed_is_noted_by_the_next_one(season: Season, monkeypatch: pytest.MonkeyPatch) -> None:
    season.run()
    with Cast.open(season.cast) as cast:
        cast.name(1, "Velma")

    def killed(*about: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("acfd_stream.archive.manifest.Manifest.renamed", killed)
        with pytest.raises(KeyboardInterrupt):
            season.apply()
    assert season.names() == {"e1": ["Velma"], "e2": [""]}
    assert [each.has_changed for each in season.apply()] == [True, True]
    assert [each.has_changed for each in season.apply()] == [False, False]
    assert season.run()[1] == []
    assert season.wrong_files() == []


def test_episodes_that_are_worked_on_or_changed_keep_their_names(season: Season) -> None:
    season.run()
    with Cast.open(season.cast) as cast:
        cast.name(1, "Velma")
    changed = season.out / "e2.mkv.jsonl"
    changed.write_bytes(changed.read_bytes().replace(b'"reused": false', b'"reused": true ', 1))
    with Manifest(season.out) as manifest:
        episode = manifest.episodes()[0]
    with lock_file(RecordingTask(episode.key, episode.source, episode.name, season.out).lock):
        first, second = season.apply()
    assert "a run is working on it" in first.error
    assert "DATA LOSS" in second.error
    assert season.names() == {"e1": [""], "e2": [""]}


def test_an_episode_of_another_network_does_not_stop_the_others(season: Season) -> None:
    season.run()
    with Cast.open(season.cast) as cast:
        cast.name(1, "Velma")
    views = season.out / "e1.mkv.views.ndjson"
    views.write_bytes(views.read_bytes().replace(EMBEDDER.digest.encode(), b"ef" * 8, 1))
    first, second = season.apply()
    assert "whose embeddings differ" in first.error
    assert (second.has_changed, season.names()) == (True, {"e1": [""], "e2": ["Velma"]})


def test_a_cast_that_does_not_fit_ends_the_run_before_it_begins(
    season: Season, monkeypatch: pytest.MonkeyPatch
) -> None:
    season.run()
    season.add("e3.mkv")
    monkeypatch.setattr(season_cast, "digest", lambda path: "cd" * 8)
    with pytest.raises(CastError, match="and this run uses tiny-id 1"):
        season.run()
    season.cast.write_text("no cast" * 99)
    with pytest.raises(CastError, match="is not a cast"):
        season.run()
    assert sorted(season.names()) == ["e1", "e2"]


def test_a_run_that_fails_leaves_no_new_cast(season: Season, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*about: object) -> list[WorkerEvent]:
        assert not season.cast.exists()
        raise ConfigError("no model")

    with monkeypatch.context() as patched:
        patched.setattr(RealWorkers, "events", fails)
        with pytest.raises(ConfigError, match="no model"):
            season.run()
    assert not season.cast.exists()
    assert season.run()[1] == ["e1.mkv", "e2.mkv"]
    assert season.cast.exists()
    season.cast = season.cast / "none" / "cast.db"
    with pytest.raises(OutputError, match=r"cannot write .*cast\.db"):  # before anything is tracked
        season.run()


def test_the_copy_of_the_cast_is_not_taken_for_the_cast(season: Season) -> None:
    season.run()
    season.cast = season.out.joinpath(*season_cast.SNAPSHOT)
    before = season.cast.read_bytes()
    with pytest.raises(ConfigError, match="own copy of its cast"):
        season.run()
    assert season.cast.read_bytes() == before


def test_the_archive_of_a_file_is_found(season: Season, tmp_path: Path) -> None:
    season.run()
    assert archive_of(season.out / "e1.mkv.jsonl") == season.out
    assert archive_of(season.out) == season.out
    assert archive_of(tmp_path / "e1.jsonl") is None
