"""The scores of characters against the truth: what counts, what is matched, and what an unknown face costs."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from acfd_stream.errors import MediaError
from acfd_stream.model.character_scoring import (
    Answer,
    main,
    matched_faces,
    names_of,
    read_answers,
    score_characters,
    score_names,
)  # fmt: skip
from acfd_stream.model.toon import ClipTruth, FaceTruth, FrameTruth

LEFT, RIGHT = (10.0, 10.0, 50.0, 50.0), (100.0, 10.0, 140.0, 50.0)
NEAR_LEFT = (14.0, 10.0, 54.0, 50.0)


def truth_of(*frames: list[FaceTruth]) -> ClipTruth:
    return ClipTruth(
        "episode", 0, (90, 160), Fraction(24),
        [FrameTruth(index, index, 0, tuple(faces)) for index, faces in enumerate(frames)],
    )  # fmt: skip


def two(left: int, right: int) -> list[FaceTruth]:
    return [FaceTruth(1, left, LEFT, 1.0), FaceTruth(2, right, RIGHT, 1.0)]


def test_faces_are_matched_by_overlap_and_not_by_order() -> None:
    answers = {0: [Answer(8, RIGHT, 2), Answer(9, NEAR_LEFT, 1), Answer(10, (60.0, 10.0, 90.0, 50.0), 3)]}
    matched = matched_faces(answers, truth_of(two(5, 6)))
    assert [(each.face.character, each.answer.character) for each in matched] == [(5, 1), (6, 2)]


def test_hidden_and_small_faces_do_not_count_even_if_they_are_found() -> None:
    faces = [FaceTruth(1, 1, LEFT, 0.3), FaceTruth(2, 2, (100.0, 10.0, 108.0, 18.0), 1.0)]
    score = score_characters({0: [Answer(1, LEFT, 1), Answer(2, (100.0, 10.0, 108.0, 18.0), 2)]}, truth_of(faces))
    assert (score.faces, score.expected, score.characters_expected) == (0, 0, 0)


def test_an_unknown_face_is_a_cluster_of_its_own() -> None:
    truth = truth_of(two(1, 2), two(1, 2))
    answers = {0: [Answer(1, LEFT, 1), Answer(2, RIGHT)], 1: [Answer(1, LEFT, 1), Answer(2, RIGHT)]}
    score = score_characters(answers, truth)
    assert (score.unknown, score.characters, score.characters_expected) == (2, 1, 2)
    assert (score.agreement.precision, score.agreement.recall) == (1.0, 0.75)


def test_one_character_twice_in_a_frame_is_counted() -> None:
    answers = {0: [Answer(1, LEFT, 4), Answer(2, RIGHT, 4)], 1: [Answer(1, LEFT), Answer(2, RIGHT)]}
    assert score_characters(answers, truth_of(two(1, 2), two(1, 2))).shared == 1


def test_names_are_those_of_the_majority() -> None:
    truth = truth_of(two(1, 2), two(1, 2), two(2, 3))
    matched = matched_faces({index: [Answer(1, LEFT, 7), Answer(2, RIGHT, 8)] for index in range(3)}, truth)
    assert names_of(matched) == {7: 1, 8: 2}


def test_names_are_right_wrong_or_missing_and_strangers_have_none() -> None:
    truth = truth_of(two(1, 13), two(1, 13), two(2, 13), two(2, 2))
    said = [("A", ""), ("B", "A"), ("", ""), ("B", "B")]
    answers = {index: [Answer(1, LEFT, 1, a), Answer(2, RIGHT, 2, b)] for index, (a, b) in enumerate(said)}
    score = score_names(matched_faces(answers, truth), {1: "A", 2: "B"})
    assert (score.right, score.wrong, score.unnamed) == (3, 1, 1)
    assert (score.right_share, score.strangers_named_share) == (0.6, 1 / 3)


def test_the_command_reads_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth_of(two(1, 2)).save(tmp_path / "truth.json")
    faces = [{"id": 1, "box": LEFT, "character": 3, "name": "A"}, {"id": 2, "box": RIGHT}]
    lines = [{"type": "header"}, {"type": "frame", "index": 0, "faces": faces}, {"type": "end"}]
    (tmp_path / "out.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert read_answers(tmp_path / "out.jsonl") == {0: [Answer(1, LEFT, 3, "A"), Answer(2, RIGHT)]}
    assert main([str(tmp_path / "out.jsonl"), str(tmp_path / "truth.json")]) == 0
    assert "of 2 faces, 1 without a character" in capsys.readouterr().out


def test_a_file_that_is_no_result_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"type": "frame"}')
    with pytest.raises(MediaError, match=r"bad\.jsonl: is not a track result"):
        read_answers(tmp_path / "bad.jsonl")
