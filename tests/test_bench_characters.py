"""The benchmark of characters: its answers, its figures, and the situations in which characters are wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from acfd_stream.model.character_scoring import Answer, Matched, matched_faces, score_names
from acfd_stream.model.toon import Clip, ClipTruth, FaceTruth, FrameTruth, render_episode
from benchmarks import characters, characters_suite
from benchmarks.characters_errors import MERGED, RIGHT, SPLIT, UNKNOWN, by_situation, judged_tracks, worst
from benchmarks.characters_suite import Episode, Show, without_hats
from benchmarks.characters_table import characters_tables

BOX = (10.0, 10.0, 60.0, 60.0)
EPISODE = Episode(3)


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


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Show:
    return Show(tmp_path_factory.mktemp("show"), minutes=0.1)


def test_an_episode_is_drawn_and_tracked_once(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    video, truth = show.drawn(EPISODE)
    said = show.tracked(EPISODE)
    monkeypatch.setattr(characters_suite, "write_clip", None)
    monkeypatch.setattr(characters_suite, "tracked", None)
    assert show.drawn(EPISODE) == (video, truth)
    assert show.tracked(EPISODE) is said
    assert sorted(said.final) == sorted(said.online) == list(range(144))
    assert len(matched_faces(said.final, truth)) > 50
    assert said.views.exists()


def test_every_figure_of_linking_is_in_the_table(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(characters, "EPISODES", (EPISODE,))
    rows = list(characters.linking(show, explain=False))
    figures = {(each["name"], each["parameters"]["answer"]): each["median"] for each in rows}
    assert 0 < figures["characters_f1", "final"] <= 1
    assert figures["characters_shared", "final"] == figures["characters_shared", "online"] == 0
    lines = characters_tables(rows).splitlines()
    assert [line.split(" | ")[:2] for line in lines if line.startswith("| 3")] == [
        ["| 3", "online"],
        ["| 3", "in the end"],
    ]


def test_names_of_a_cast_are_compared_with_the_truth() -> None:
    matched = [*track(1, 5, 1, 6), *track(2, 6, 2, 2), *track(3, 13, 3, 4), *track(4, 14, 4, 4)]
    named = characters.with_names(matched, {1: characters.NAMES[5], 2: characters.NAMES[5], 3: characters.NAMES[1]})
    rows = characters.name_rows(score_names(named, characters.NAMES), Episode(4, 2))
    assert {each["name"].rpartition("_")[2]: each["median"] for each in rows} == {
        "right": 0.75, "wrong": 0.25, "none": 0.0, "strangers": 0.5,
    }  # fmt: skip
    assert "| 4 | 75.0% | 25.0% | 0.0% | 50.0% |" in characters_tables(rows)


def test_faces_under_unusual_hats_can_be_left_out() -> None:
    clip = render_episode(1, 1, 0.3, size=(90, 160))
    casts = [[replace(who, hair=replace(who.hair, hat="none")) for who in cast] for cast in clip.script.casts]
    clip.script = replace(clip.script, casts=casts)
    faces = (FaceTruth(1, 5, BOX, 1.0), FaceTruth(2, 6, BOX, 1.0))
    truth = ClipTruth("episode", 1, (90, 160), clip.fps, [FrameTruth(0, 0, 0, faces)])
    assert without_hats(truth, clip) == truth
    casts[0][4] = replace(casts[0][4], hair=replace(casts[0][4].hair, hat="cap"))
    assert without_hats(truth, clip).frames[0].faces == faces[1:]


def test_labels_are_truths_of_the_clips() -> None:
    labels = {path.stem: ClipTruth.load(path) for path in characters.LABELS.glob("*.json")}
    who = {name: {face.character for frame in truth.frames for face in frame.faces} for name, truth in labels.items()}
    assert who["bbb_720p_24s"] == {1, 2, 3, 4}
    assert who["pennychip_rpi"] == {1, 2}


def test_the_cost_is_the_ratio_of_both_runs_of_each_round(show: Show) -> None:
    row = characters.cost(show.drawn(EPISODE)[0], 2.0, rounds=2)
    assert (row["unit"], row["n"], row["parameters"]["frames"]) == ("ratio", 2, 48)
    assert row["median"] > 0
