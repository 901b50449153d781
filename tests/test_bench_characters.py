"""The benchmark of characters: its answers, its figures, and the situations in which characters are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from acfd_stream.characters import Character
from acfd_stream.model.character_scoring import Answer, Matched, matched_faces
from acfd_stream.model.toon import Clip, ClipTruth, FaceTruth, render_episode
from benchmarks import characters
from benchmarks.characters_errors import MERGED, RIGHT, SPLIT, UNKNOWN, by_situation, judged_tracks, worst

BOX = (10.0, 10.0, 60.0, 60.0)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return render_episode(1, 1, 0.2, size=(90, 160))


def track(number: int, who: int, character: int, frames: int) -> list[Matched]:
    face = FaceTruth(number, who, BOX, 1.0)
    return [Matched(index, 0, face, Answer(number, BOX, character)) for index in range(frames)]


def test_a_wrong_track_is_merged_split_or_unknown(clip: Clip) -> None:
    matched = [*track(1, 5, 1, 50), *track(2, 5, 2, 30), *track(3, 6, 1, 40), *track(4, 6, 3, 60), *track(5, 7, 0, 9)]
    judged = {each.track: each for each in judged_tracks(matched, clip)}
    assert {number: each.kind for number, each in judged.items()} == {
        1: RIGHT, 2: SPLIT, 3: MERGED, 4: RIGHT, 5: UNKNOWN,
    }  # fmt: skip
    assert (judged[3].who, judged[3].taken_for) == (6, 5)
    assert (
        worst(list(judged.values())).splitlines()[0].startswith("track 3, shot 0: merged, character 6 taken for 5, 40")
    )


def test_situations_are_counted_by_tracks_and_frames(clip: Clip) -> None:
    small = Matched(0, 0, FaceTruth(9, 1, (0.0, 0.0, 20.0, 20.0), 0.5, yaw=1.4), Answer(9, BOX, 1))
    lines = by_situation(judged_tracks([small, *track(1, 5, 1, 50)], clip)).splitlines()
    counts = {line[:16].strip(): line[16:].split()[:2] for line in lines[1:]}
    assert counts["all"] == ["2", "51"]
    assert counts["look-alike"] == counts["small"] == counts["profile"] == counts["half hidden"] == ["1", "1"]
    assert counts["short"] == ["1", "1"]


def test_the_final_answer_is_that_of_the_tracks_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(characters, "CAST_SEED", 2)
    video, truth = characters.drawn(tmp_path, characters.Episode(3), 0.1)
    said = characters.linked(video)
    assert sorted(said.final) == sorted(said.online) == list(range(144))
    of_track = {number: each.number for each in said.characters for number in each.tracks}
    assert isinstance(said.characters[0], Character)
    faces = [answer for answers in said.final.values() for answer in answers]
    assert {answer.character for answer in faces} == {of_track.get(answer.track, 0) for answer in faces}
    assert len(matched_faces(said.final, truth)) > 50


def test_an_episode_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video, truth = characters.drawn(tmp_path, characters.Episode(3), 0.1)
    monkeypatch.setattr(characters, "write_clip", None)
    again, same = characters.drawn(tmp_path, characters.Episode(3), 0.1)
    assert (again, same.frames) == (video, truth.frames)
    assert isinstance(same, ClipTruth)


def test_the_cost_is_the_ratio_of_both_runs_of_each_round(tmp_path: Path) -> None:
    video, _ = characters.drawn(tmp_path, characters.Episode(3), 0.1)
    (row,) = characters.cost(video, 2.0, rounds=2)
    assert (row["unit"], row["n"], row["parameters"]["frames"]) == ("ratio", 2, 48)
    assert row["median"] > 0
