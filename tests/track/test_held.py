"""Frames that show the drawing of the frame before: what was seen is seen again, and nothing moves."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from acfd_stream.config import TrackConfig
from acfd_stream.track import FaceTracker
from acfd_stream.types import Detections, FaceState
from tests.track.drawn_motion import Scene, Tracks, flickering, idf1, lengths, scene_of, seen, walk

LEFT = [0, 0, 50, 50]
NONE = Detections.empty()


def at(x: float, score: float = 0.9) -> Detections:
    return seen([x, 0, x + 50, 50], score=score)


def track_drawings(
    drawings: Sequence[Detections], hold: int, *, reuses: bool = True, config: TrackConfig | None = None
) -> Tracks:
    """Faces of every frame; each drawing is shown ``hold`` times and looked at once, or every time."""
    tracker = FaceTracker(config)
    faces: Tracks = []
    for drawing in drawings:
        for repeat in range(hold):
            faces += tracker.push(drawing, is_new_shot=False, is_held=reuses and repeat > 0)
    return faces + tracker.flush()


def lefts(faces: Tracks) -> list[float]:
    return [frame[0].box_xyxy[0] for frame in faces]


def test_what_was_seen_is_seen_again() -> None:
    faces = track_drawings([at(0), at(10, score=0.7), at(20)], hold=3)
    assert lefts(faces) == [0, 0, 0, 10, 10, 10, 20, 20, 20]
    assert [frame[0].score for frame in faces[3:6]] == [pytest.approx(0.7)] * 3
    assert {frame[0].state for frame in faces} == {FaceState.DETECTED}
    assert lengths(faces) == {1: 9}


@pytest.mark.parametrize("given", [at(0), NONE, at(300)])
def test_the_detections_of_a_held_frame_are_those_of_its_drawing(given: Detections) -> None:
    tracker = FaceTracker()
    faces = tracker.push(at(0), is_new_shot=False)
    for _ in range(5):
        faces += tracker.push(given, is_new_shot=False, is_held=True)
    assert lefts(faces + tracker.flush()) == [0] * 6


@pytest.mark.parametrize(("shown", "expected"), [(3, {}), (4, {1: 4}), (48, {1: 48})])
def test_a_drawing_that_stands_still_confirms_its_faces(shown: int, expected: dict[int, int]) -> None:
    assert lengths(track_drawings([at(0)], hold=shown)) == expected
    assert lengths(track_drawings([at(0)], hold=shown, reuses=False)) == expected


def test_a_filled_face_stands_still_while_the_drawing_does() -> None:
    faces = track_drawings([at(0), NONE, NONE, at(30)], hold=2)
    assert lefts(faces) == pytest.approx([0, 0, 10, 10, 20, 20, 30, 30])
    assert [frame[0].state is FaceState.FILLED for frame in faces] == [False] * 2 + [True] * 4 + [False] * 2


@pytest.mark.parametrize(("frames", "expected"), [(12, {1: 38}), (13, {1: 13, 2: 13})])
def test_gaps_are_counted_in_frames(frames: int, expected: dict[int, int]) -> None:
    tracker = FaceTracker()
    faces: Tracks = []
    for drawing, shown in ((at(0), 13), (NONE, frames), (at(0), 13)):
        for repeat in range(shown):
            faces += tracker.push(drawing, is_new_shot=False, is_held=repeat > 0)
    assert lengths(faces + tracker.flush()) == expected


def test_motion_is_that_of_a_drawing() -> None:
    ones, twos = FaceTracker(), FaceTracker()
    for x in range(0, 200, 12):
        ones.push(at(x), is_new_shot=False)
        twos.push(at(x), is_new_shot=False)
        twos.push(at(x), is_new_shot=False, is_held=True)
    assert twos.state()["motion"] == ones.state()["motion"]


def test_motion_is_that_of_a_drawing_where_nobody_says_that_it_is_held() -> None:
    told, untold = FaceTracker(), FaceTracker()
    for x in range(0, 200, 12):
        for repeat in range(3):
            told.push(at(x), is_new_shot=False, is_held=repeat > 0)
            untold.push(at(x), is_new_shot=False)
    assert untold.state()["motion"] == told.state()["motion"]


def test_a_face_that_is_not_seen_moves_with_every_drawing_that_is_due() -> None:
    tracker = FaceTracker()
    for x in range(0, 300, 30):
        for _ in range(2):
            tracker.push(at(x), is_new_shot=False)
    centres = []
    for _ in range(4):
        tracker.push(NONE, is_new_shot=False)
        centres.append(tracker.state()["motion"]["value"][0][0])
    assert centres[0] == centres[1] == pytest.approx(300 + 25, abs=5)
    assert centres[2] == centres[3] == pytest.approx(330 + 25, abs=8)


def test_a_shot_that_begins_with_a_held_frame_ends_the_tracks() -> None:
    tracker = FaceTracker()
    faces: Tracks = []
    for index in range(12):
        faces += tracker.push(seen(LEFT), is_new_shot=index == 6, is_held=index > 0)
    assert lengths(faces + tracker.flush()) == {1: 6, 2: 6}


def test_a_first_frame_is_looked_at_whatever_is_said_of_it() -> None:
    tracker = FaceTracker()
    faces = [f for _ in range(5) for f in tracker.push(seen(LEFT), is_new_shot=False, is_held=True)]
    assert lengths(faces + tracker.flush()) == {1: 5}


def test_prompt_tracks_repeat_at_once() -> None:
    faces = track_drawings([at(0), at(10), NONE, at(30)], hold=2, config=TrackConfig(fills_gaps=False))
    assert [[face.box_xyxy[0] for face in frame] for frame in faces] == [[], [], [], [10], [], [], [30], [30]]


def test_a_restored_tracker_goes_on_the_same_from_every_frame() -> None:
    drawings = flickering(scene_of([walk(100, 7, 200, 90, 20, 1)]), np.random.default_rng(3))
    pushes = [(drawing, repeat > 0) for drawing in drawings for repeat in range(3)]
    whole = track_drawings(drawings, hold=3)
    for split in range(len(pushes) + 1):
        first, second = FaceTracker(), FaceTracker()
        faces = [f for d, held in pushes[:split] for f in first.push(d, is_new_shot=False, is_held=held)]
        second.restore(json.loads(json.dumps(first.state())))
        faces += [f for d, held in pushes[split:] for f in second.push(d, is_new_shot=False, is_held=held)]
        assert faces + second.flush() == whole


def drawn(hold: int) -> Scene:
    """A drawing an entry; together they play for eight seconds."""
    count, speed = 192 // hold, 3.0 * hold
    walks = [walk(100 + 180 * i, (-1) ** i * speed, 120 + 90 * i, 100, count, 1) for i in range(6)]
    return scene_of(walks)


@pytest.mark.parametrize("hold", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_looking_once_a_drawing_is_as_good_as_looking_at_every_frame(hold: int, seed: int) -> None:
    drawings = flickering(drawn(hold), np.random.default_rng(seed))
    scene = [faces for faces in drawn(hold) for _ in range(hold)]
    once, always = (idf1(scene, track_drawings(drawings, hold, reuses=reuses)) for reuses in (True, False))
    assert once >= always - 0.005
