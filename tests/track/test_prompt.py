"""Prompt mode: every frame is settled when it is pushed."""

from __future__ import annotations

import json

import pytest

from acfd_stream.config import TrackConfig
from acfd_stream.track import FaceTracker
from acfd_stream.types import Detections, FaceState
from tests.track.drawn_motion import seen

PROMPT = TrackConfig(fills_gaps=False)
LEFT = [0, 0, 50, 50]
NONE = Detections.empty()


def ids(frames: list[Detections], cuts: tuple[int, ...] = (), tracker: FaceTracker | None = None) -> list[list[int]]:
    """Track ids frame by frame; every push must give exactly its own frame."""
    tracker = tracker or FaceTracker(PROMPT)
    found = []
    for index, detections in enumerate(frames):
        (faces,) = tracker.push(detections, is_new_shot=index in cuts)
        assert all(face.state is FaceState.DETECTED for face in faces)
        found.append([face.track_id for face in faces])
    assert tracker.flush() == []
    return found


def test_a_track_is_shown_from_the_frame_that_confirms_it() -> None:
    assert ids([seen(LEFT)] * 6) == [[], [], [], [1], [1], [1]]


@pytest.mark.parametrize(("gap", "after"), [(12, 1), (13, None)])
def test_a_track_survives_a_gap_that_stays_empty(gap: int, after: int | None) -> None:
    found = ids([seen(LEFT)] * 4 + [NONE] * gap + [seen(LEFT)] * 4)
    assert found[4 : 4 + gap] == [[]] * gap
    assert found[4 + gap] == ([] if after is None else [after])
    assert found[-1] == [after or 2]


def test_no_track_crosses_a_shot() -> None:
    assert ids([seen(LEFT)] * 10, cuts=(5,)) == [[]] * 3 + [[1]] * 2 + [[]] * 3 + [[2]] * 2


def test_a_restored_tracker_goes_on() -> None:
    first = FaceTracker(PROMPT)
    for _ in range(6):
        first.push(seen(LEFT), is_new_shot=False)
    second = FaceTracker(PROMPT)
    second.restore(json.loads(json.dumps(first.state())))
    assert ids([NONE, seen(LEFT)], tracker=second) == [[], [1]]


def test_default_delays_stay_and_prompt_ones_are_none() -> None:
    assert (TrackConfig().delay_frames, PROMPT.delay_frames) == (12, 0)
    assert PROMPT.tentative_frames == TrackConfig().tentative_frames
