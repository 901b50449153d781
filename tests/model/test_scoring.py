from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from acfd_stream.errors import MediaError
from acfd_stream.model.scoring import Rules, TrackedFrame, main, overlaps, read_tracks, score_tracks, table
from acfd_stream.model.toon import Change, ClipTruth, FaceTruth, FrameTruth

LEFT = (10.0, 10.0, 50.0, 50.0)
RIGHT = (110.0, 10.0, 150.0, 50.0)
AWAY = (210.0, 10.0, 250.0, 50.0)


def truth_of(
    *frames: dict[int, tuple[float, ...]], visible: float = 1.0, changes: list[Change] | None = None
) -> ClipTruth:
    """A clip from {id: box} a frame."""
    made = [
        FrameTruth(index, index, 0, tuple(FaceTruth(name, name, box, visible) for name, box in faces.items()))  # type: ignore[arg-type]
        for index, faces in enumerate(frames)
    ]
    return ClipTruth("by hand", 0, (100, 300), Fraction(24), made, changes or [])


def result_of(*frames: dict[int, tuple[float, ...]], shots: list[int] | None = None) -> dict[int, TrackedFrame]:
    """Frames of a result from {track: box} a frame."""
    return {
        index: TrackedFrame(
            list(faces), np.array(list(faces.values()), float).reshape(-1, 4), shots[index] if shots else 0
        )
        for index, faces in enumerate(frames)
    }


def test_overlap_of_boxes_is_intersection_over_union() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]], float)
    assert overlaps(boxes[:1], boxes)[0] == pytest.approx([1.0, 50 / 150, 0.0, 0.0])


def test_a_perfect_result_scores_one() -> None:
    faces = {1: LEFT, 2: RIGHT}
    score = score_tracks(result_of(*[{7: LEFT, 8: RIGHT}] * 5), truth_of(*[faces] * 5))
    assert (score.recall, score.precision, score.idf1, score.switches, score.fragments) == (1.0, 1.0, 1.0, 0, 0)
    assert (score.hits, score.tracks, score.identities) == (10, 2, 2)


def test_an_empty_result_of_an_empty_clip_scores_one_and_of_a_full_one_zero() -> None:
    assert score_tracks({}, truth_of({}, {})).idf1 == 1.0
    full = score_tracks({}, truth_of({1: LEFT}, {1: LEFT}))
    assert (full.recall, full.precision, full.idf1, full.misses) == (0.0, 1.0, 0.0, 2)


def test_a_box_on_no_face_costs_precision_and_idf1() -> None:
    score = score_tracks(result_of({7: LEFT, 9: AWAY}, {7: LEFT}), truth_of({1: LEFT}, {1: LEFT}))
    assert score.precision == pytest.approx(2 / 3)
    assert score.idf1 == pytest.approx(2 * 2 / (2 + 3))
    assert score.tracks == 2


def test_a_track_that_changes_its_number_is_a_switch_and_half_the_idf1() -> None:
    score = score_tracks(result_of({7: LEFT}, {7: LEFT}, {8: LEFT}, {8: LEFT}), truth_of(*[{1: LEFT}] * 4))
    assert (score.recall, score.switches, score.fragments) == (1.0, 1, 0)
    assert score.idf1 == pytest.approx(2 * 2 / (4 + 4))


def test_two_tracks_that_trade_faces_are_two_switches() -> None:
    frames = [{7: LEFT, 8: RIGHT}, {7: LEFT, 8: RIGHT}, {7: RIGHT, 8: LEFT}]
    score = score_tracks(result_of(*frames), truth_of(*[{1: LEFT, 2: RIGHT}] * 3))
    assert score.switches == 2
    assert score.idf1 == pytest.approx(2 * 4 / 12)


def test_a_gap_in_a_track_is_a_fragment_and_misses() -> None:
    score = score_tracks(result_of({7: LEFT}, {}, {}, {7: LEFT}), truth_of(*[{1: LEFT}] * 4))
    assert (score.fragments, score.switches, score.misses) == (1, 0, 2)
    assert score.idf1 == pytest.approx(2 * 2 / (4 + 2))


@pytest.mark.parametrize(("right", "is_hit"), [(30.0, True), (29.9, False)])
def test_half_an_overlap_is_just_enough(right: float, is_hit: bool) -> None:
    score = score_tracks(result_of({7: (10, 10, right, 50)}), truth_of({1: LEFT}))
    assert score.hits == int(is_hit)
    assert score.misses == score.false_boxes == int(not is_hit)


def test_the_partner_of_the_last_frame_is_kept_though_another_box_fits_better() -> None:
    near = (12.0, 10.0, 52.0, 50.0)
    score = score_tracks(result_of({7: LEFT}, {7: near, 8: LEFT}), truth_of({1: LEFT}, {1: LEFT}))
    assert (score.switches, score.hits, score.false_boxes) == (0, 2, 1)


@pytest.mark.parametrize("found", [True, False])
def test_hidden_faces_neither_cost_nor_help(found: bool) -> None:
    result = result_of({7: LEFT} if found else {}, {7: (20, 20, 40, 40)} if found else {})
    score = score_tracks(result, truth_of({1: LEFT}, {1: LEFT}, visible=0.39))
    assert (score.hits, score.misses, score.false_boxes) == (0, 0, 0)
    assert score.ignored == (2 if found else 0)
    assert score.idf1 == 1.0


def test_small_faces_are_ignored_below_the_stated_side() -> None:
    small = (10.0, 10.0, 21.0, 60.0)
    assert score_tracks({}, truth_of({1: small})).misses == 0
    assert score_tracks({}, truth_of({1: small}), Rules(least_side=11)).misses == 1


def test_a_counted_face_wins_over_an_ignored_one_at_the_same_place() -> None:
    clip = truth_of({1: LEFT})
    hidden = FaceTruth(2, 2, LEFT, 0.1)  # type: ignore[arg-type]
    clip.frames[0] = FrameTruth(0, 0, 0, (clip.frames[0].faces[0], hidden))
    score = score_tracks(result_of({7: LEFT}), clip)
    assert (score.hits, score.ignored) == (1, 0)


def test_identity_is_one_appearance_or_the_character() -> None:
    frames = [FrameTruth(i, i, 0, (FaceTruth(1 + i // 2, 1, LEFT, 1.0),)) for i in range(4)]  # type: ignore[arg-type]
    clip = ClipTruth("by hand", 0, (100, 300), Fraction(24), frames)
    result = result_of({7: LEFT}, {7: LEFT}, {8: LEFT}, {8: LEFT})
    assert score_tracks(result, clip).idf1 == 1.0
    assert score_tracks(result, clip, Rules(by_character=True)).idf1 == pytest.approx(0.5)


def test_shot_changes_are_right_on_a_cut_and_within_a_fade() -> None:
    changes = [Change("cut", 2, 2, 2), Change("fade_black", 5, 8, 7), Change("flash_white", 10, 10)]
    clip = truth_of(*[{}] * 12, changes=changes)
    exact = score_tracks(result_of(*[{}] * 12, shots=[0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]), clip)
    assert (exact.shots_expected, exact.shots_found, exact.shots_false) == (2, 2, 0)
    wrong = score_tracks(result_of(*[{}] * 12, shots=[0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2]), clip)
    assert (wrong.shots_found, wrong.shots_false) == (1, 1)


def test_a_result_of_a_longer_clip_is_refused() -> None:
    with pytest.raises(MediaError, match="do not belong together"):
        score_tracks(result_of({}, {}, {}), truth_of({}, {}))


def written(folder: Path, tracks: list[dict[int, tuple[float, ...]]], *, is_finished: bool = True) -> list[str]:
    """Paths of a result with these tracks and of the truth {1: LEFT} in every frame."""
    lines = [{"type": "header", "version": 1}]
    for index, faces in enumerate(tracks):
        boxes = [{"id": name, "box": list(box), "score": 0.9, "state": "detected"} for name, box in faces.items()]
        lines.append({"type": "frame", "index": index, "shot": 0, "faces": boxes})
    if is_finished:
        lines.append({"type": "end", "frames": len(tracks), "complete": True})
    result, truth = folder / "result.jsonl", folder / "truth.json"
    result.write_text("".join(json.dumps(line) + "\n" for line in lines))
    truth_of(*[{1: LEFT}] * len(tracks)).save(truth)
    return [str(result), str(truth)]


@pytest.mark.parametrize(("limits", "code"), [([], 0), (["--least-recall", "0.5"], 0), (["--least-idf1", "0.9"], 1)])
def test_the_command_prints_a_table_and_holds_the_limits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], limits: list[str], code: int
) -> None:
    assert main([*written(tmp_path, [{7: LEFT}, {}]), *limits]) == code
    said = capsys.readouterr()
    assert "recall          0.5000  1 of 2 faces" in said.out
    assert said.err.count("\n") == code


@pytest.mark.parametrize("broken", ["missing", "unfinished", "half", "other"])
def test_a_result_that_cannot_be_scored_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    paths = written(tmp_path, [{7: LEFT}], is_finished=broken != "unfinished")
    result = Path(paths[0])
    if broken == "missing":
        result.unlink()
    elif broken == "half":
        result.write_text(result.read_text()[:60])
    elif broken == "other":
        result.write_text('{"type": "frame", "faces": 3}\n')
    assert main(paths) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "result.jsonl" in said.err


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    frames = read_tracks(written(tmp_path, [{7: LEFT, 9: RIGHT}, {}])[0])
    assert frames[0].ids == [7, 9]
    assert frames[0].boxes_xyxy.tolist() == [list(LEFT), list(RIGHT)]
    assert frames[1].boxes_xyxy.shape == (0, 4)
    assert table(score_tracks(frames, truth_of({1: LEFT, 2: RIGHT}, {}))).count("\n") == 6
