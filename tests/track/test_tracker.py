"""The rules of the tracker: ids, gaps, shots, order, and a restored state."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acfd_stream.config import TrackConfig
from acfd_stream.errors import ConfigError
from acfd_stream.track import FaceTracker
from acfd_stream.types import Detections, FaceState
from tests.track.drawn_motion import lengths, seen, track

LEFT, RIGHT = [0, 0, 50, 50], [400, 0, 450, 50]
NONE = Detections.empty()


def test_a_face_keeps_its_id_from_its_first_frame() -> None:
    faces = track([seen(LEFT)] * 10)
    assert [[face.track_id for face in frame] for frame in faces] == [[1]] * 10
    assert faces[0][0].box_xyxy == (0, 0, 50, 50)
    assert faces[0][0].score == pytest.approx(0.9)


def test_a_face_that_is_never_confirmed_never_appears() -> None:
    tracker = FaceTracker()
    frames = [seen(LEFT)] * 3 + [NONE] * 20
    faces = [frame for detections in frames for frame in tracker.push(detections, is_new_shot=False)]
    assert faces + tracker.flush() == [()] * 23
    assert tracker.tracks_started == 0


def test_a_gap_of_the_greatest_length_is_filled_and_marked() -> None:
    moved = [12, 0, 62, 50]
    frames = [seen(LEFT)] * 6 + [NONE] * 12 + [seen(moved, score=0.6)] * 6
    faces = track(frames)
    assert lengths(faces) == {1: 24}
    assert [frame[0].state for frame in faces].count(FaceState.FILLED) == 12
    assert faces[11][0].box_xyxy == pytest.approx((12 * 6 / 13, 0, 50 + 12 * 6 / 13, 50))
    assert faces[11][0].score == pytest.approx(0.6)


def test_a_longer_gap_gives_a_new_id() -> None:
    faces = track([seen(LEFT)] * 6 + [NONE] * 13 + [seen(LEFT)] * 6)
    assert lengths(faces) == {1: 6, 2: 6}
    assert faces[6:19] == [()] * 13


def test_a_least_score_starts_tracks_and_lower_ones_continue_them() -> None:
    sure, unsure = seen(LEFT, score=0.85), seen(LEFT, score=0.7)
    config = TrackConfig.of_min_score(0.8)
    assert track([unsure] * 10, config=config) == [()] * 10
    faces = track([unsure] * 3 + [sure] + [unsure] * 6, config=config)
    assert [len(frame) for frame in faces] == [0] * 3 + [1] * 7
    assert len(track([seen(LEFT, score=0.2)] * 10, config=TrackConfig.of_min_score(0.15))[0]) == 1


def test_no_track_crosses_a_shot() -> None:
    faces = track([seen(LEFT)] * 16, cuts=(8,))
    assert [frame[0].track_id for frame in faces] == [1] * 8 + [2] * 8


def test_a_gap_at_the_end_of_a_shot_is_not_filled() -> None:
    faces = track([seen(LEFT)] * 6 + [NONE] * 2 + [seen(LEFT)] * 6, cuts=(8,))
    assert faces[6:8] == [(), ()]


def test_ids_rise_in_order_of_first_appearance() -> None:
    brief = [2000, 0, 2050, 50]
    frames = [seen(brief)] + [seen(LEFT)] * 5 + [seen(LEFT, RIGHT)] * 6
    faces = track(frames)
    assert [face.track_id for face in faces[1]] == [1]
    assert [(face.track_id, face.box_xyxy[0]) for face in faces[6]] == [(1, 0), (2, 400)]


def test_unsure_detections_go_on_with_a_track_and_start_none() -> None:
    assert lengths(track([seen(LEFT)] * 4 + [seen(LEFT, score=0.4)] * 6)) == {1: 10}
    assert lengths(track([seen(LEFT, score=0.4)] * 10)) == {}
    assert lengths(track([seen(LEFT)] * 4 + [seen(LEFT, score=0.1)] * 6)) == {1: 4}


def test_two_boxes_on_one_face_are_one_track() -> None:
    assert lengths(track([seen(LEFT, [5, 5, 45, 45])] * 10)) == {1: 10}


def test_a_small_face_in_front_of_a_large_one_is_a_face() -> None:
    assert lengths(track([seen([0, 0, 200, 200], [80, 80, 130, 130])] * 10)) == {1: 10, 2: 10}


def test_a_drawing_that_jumps_on_threes_is_one_face() -> None:
    steps = np.repeat(np.cumsum([0, 25, 25, 25, 40, 40, 40, 40]), 3).tolist()  # 40 of 50 px: an overlap of 0.11
    assert lengths(track([seen([x, 0, x + 50, 50]) for x in steps])) == {1: 24}


def test_crossing_faces_keep_their_ids() -> None:
    frames = [seen([10.0 * i, 0, 10.0 * i + 60, 60], [300 - 10.0 * i, 20, 360 - 10.0 * i, 80]) for i in range(31)]
    faces = track(frames)
    assert lengths(faces) == {1: 31, 2: 31}
    ends = {face.track_id: face.box_xyxy[0] for face in faces[-1]}
    starts = {face.track_id: face.box_xyxy[0] for face in faces[0]}
    assert {key: starts[key] + ends[key] for key in starts} == {1: 300, 2: 300}


@pytest.mark.parametrize("config", [TrackConfig(), TrackConfig(max_gap_frames=0), TrackConfig(confirm_hits=20)])
def test_a_frame_is_settled_within_the_stated_delay(config: TrackConfig) -> None:
    tracker, settled = FaceTracker(config), 0
    for index in range(80):
        detections = seen(LEFT) if index % 7 < 4 and index % 30 < 20 else NONE
        settled += len(tracker.push(detections, is_new_shot=False))
        assert index + 1 - config.delay_frames <= settled <= index + 1


def test_a_frame_in_which_nothing_is_open_is_settled_at_once() -> None:
    tracker = FaceTracker()
    settled = [len(tracker.push(seen(LEFT), is_new_shot=False)) for _ in range(8)]
    assert settled == [0, 0, 0, 4, 1, 1, 1, 1]


def random_frames(seed: int, count: int) -> tuple[list[Detections], set[int]]:
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(count):
        faces = int(rng.integers(0, 5))
        corners = rng.integers(0, 4, (faces, 2)) * 60 + rng.normal(0, 6, (faces, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(30, 80, (faces, 2))], axis=1).astype(np.float32)
        frames.append(Detections(boxes, rng.uniform(0.05, 1, faces).astype(np.float32)))
    return frames, set(rng.integers(1, count, 2).tolist())


def test_a_restored_tracker_goes_on_the_same_from_every_frame() -> None:
    frames, cuts = random_frames(5, 60)
    whole = track(frames, sorted(cuts))
    for split in range(len(frames) + 1):
        first, second = FaceTracker(), FaceTracker()
        faces = [f for i in range(split) for f in first.push(frames[i], is_new_shot=i in cuts)]
        second.restore(json.loads(json.dumps(first.state())))
        faces += [f for i in range(split, len(frames)) for f in second.push(frames[i], is_new_shot=i in cuts)]
        assert faces + second.flush() == whole
        assert second.tracks_started == max(lengths(whole))


def test_a_state_of_another_config_is_refused() -> None:
    state = FaceTracker(TrackConfig(max_gap_frames=3)).state()
    with pytest.raises(ConfigError, match="same config"):
        FaceTracker().restore(state)
    with pytest.raises(ConfigError, match="format"):
        FaceTracker().restore({**state, "format": 0})


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(3, 60), gap=st.integers(0, 12))
def test_any_stream_gives_whole_frames_in_order_and_no_id_twice(seed: int, count: int, gap: int) -> None:
    frames, cuts = random_frames(seed, count)
    faces = track(frames, sorted(cuts), TrackConfig(max_gap_frames=gap, confirm_hits=2))
    assert len(faces) == count
    last_frame: dict[int, int] = {}
    for index, frame in enumerate(faces):
        ids = [face.track_id for face in frame]
        assert ids == sorted(set(ids))
        for track_id in ids:
            assert last_frame.get(track_id, index - 1) == index - 1  # no holes: gaps are filled
            assert track_id in last_frame or track_id == len(last_frame) + 1
            last_frame[track_id] = index
    assert faces == track(frames, sorted(cuts), TrackConfig(max_gap_frames=gap, confirm_hits=2))


def test_flush_empties() -> None:
    tracker = FaceTracker()
    for _ in range(3):
        tracker.push(seen(LEFT), is_new_shot=False)
    assert len(tracker.flush()) == 3
    assert tracker.flush() == []
