"""What the columns and figures of a result are, by hand."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from acfd_stream.outputs import ResultEnd, read_results
from acfd_stream.outputs.report import read_summary, summary_of_results, write_episode_report
from acfd_stream.outputs.report.gather import gather, strip
from acfd_stream.outputs.report.summary import EpisodeSummary
from acfd_stream.types import Face, FaceState
from tests.outputs.report.drawn import IRREGULAR, STEADY, Times, frame_of, result_of_square, square, write_result

BOX = (10.0, 10.0, 50.0, 50.0)


def test_tracks_stand_in_the_order_of_their_first_frame(tmp_path: Path) -> None:
    frames = [
        frame_of(STEADY, 0, [Face(7, BOX, 0.5)]),
        frame_of(STEADY, 1, [Face(2, BOX, 0.25), Face(7, BOX, 1.0, FaceState.FILLED)]),
        frame_of(STEADY, 2),
        frame_of(STEADY, 3, [Face(7, (0.0, 0.0, 90.0, 90.0), 0.75)]),
    ]
    columns = gather(read_results(write_result(tmp_path / "a.jsonl", frames, STEADY.time_base)))
    seven, two = columns.tracks
    assert (seven.id, seven.spans, seven.frames, seven.filled, seven.seconds) == (7, ((0, 1), (3, 3)), 3, 1, 0.375)
    assert (seven.size, seven.score, seven.best_score) == (40.0, 0.75, 1.0)
    assert (two.id, two.spans, two.seconds) == (2, ((1, 1),), 0.125)
    assert columns.counts.tolist() == [1, 2, 0, 1]
    assert columns.track.tolist() == [0, 1, 0, 0]
    assert columns.first_face.tolist() == [0, 1, 3, 3, 4]


def test_a_frame_stands_until_the_next_one_and_the_last_as_long_as_the_duration_says(tmp_path: Path) -> None:
    columns = gather(read_results(result_of_square(tmp_path / "a.jsonl", IRREGULAR)))
    assert columns.shown_seconds[:4].round(3).tolist() == [0.09, 0.04, 0.3, 0.125]
    assert columns.shown_seconds[-1] == pytest.approx(0.125)
    assert columns.shots == (0, 10, 20)


@pytest.mark.parametrize("frames", [0, 1])
def test_results_with_next_to_no_frames_are_no_error(frames: int, tmp_path: Path) -> None:
    path = write_result(tmp_path / "a.jsonl", [frame_of(STEADY, 0)][:frames], frame_rate=None)
    summary = summary_of_results(path)
    assert (summary.frames, summary.tracks, summary.face_share, sum(summary.strip)) == (frames, 0, 0.0, 0.0)
    assert write_episode_report(path, None, tmp_path / "a.html") == summary


def summary(folder: Path) -> EpisodeSummary:
    times = Times((0, 1000, 2000, 7000), Fraction(1, 1000))
    faces = [square(1, 0), square(2, 1)]
    frames = [frame_of(times, index, faces[:count], reused=index == 1) for index, count in enumerate((1, 2, 0, 1))]
    end = ResultEnd(2, False, "broke <b>", ("odd & old",))
    path = write_result(folder / "a.jsonl", frames, end=end, frame_rate=Fraction(1))
    columns = gather(read_results(path))
    assert strip(columns, 4) == [1.5, 0.0, 0.0, 0.5]
    return summary_of_results(path)


def test_the_figures_of_an_episode(tmp_path: Path) -> None:
    found = summary(tmp_path)
    assert (found.duration_seconds, found.face_seconds, found.track_seconds) == (8.0, 3.0, 4.0)
    assert (found.most_faces, found.reused, found.face_share) == (2, 1, 0.375)
    assert found.length_counts == (0, 1, 1, 0, 0, 0)  # a second is no longer under a second
    assert found.length_seconds == (0.0, 1.0, 3.0, 0.0, 0.0, 0.0)
    assert [(track.id, track.begin_seconds, track.seconds) for track in found.longest] == [(1, 0.0, 3.0), (2, 1.0, 1.0)]
    assert (found.is_complete, found.error, found.warnings) == (False, "broke <b>", ("odd & old",))


def test_a_report_gives_its_figures_back(tmp_path: Path) -> None:
    found = summary(tmp_path)
    write_episode_report(tmp_path / "a.jsonl", None, tmp_path / "a.html")
    assert read_summary(tmp_path / "a.html") == found


@pytest.mark.parametrize("content", [None, "", "<html>", '<script type="application/json" id="summary">{"format":2}'])
def test_what_is_no_report_of_ours_has_no_figures(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.html").write_text(content)
    assert read_summary(tmp_path / "a.html") is None


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    result_of_square(tmp_path / "a.jsonl", STEADY)
    for name in ("a", "b"):
        write_episode_report(tmp_path / "a.jsonl", tmp_path / "clip.mp4", tmp_path / f"{name}.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
