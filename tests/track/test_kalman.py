"""Motion of the bank's tracks, against arithmetic done by hand and against the full matrices."""

from __future__ import annotations

import numpy as np
import pytest

from acfd_stream.track import kalman
from acfd_stream.track.kalman import KalmanBank, to_center, to_corners

EVERY = np.array([0])


def test_corners_and_centres_are_two_spellings() -> None:
    corners = np.array([[10.0, 20, 40, 80]])
    assert to_center(corners).tolist() == [[25, 50, 30, 60]]
    assert to_corners(to_center(corners)).tolist() == corners.tolist()


def test_a_new_track_rests() -> None:
    bank = KalmanBank()
    bank.add(np.array([[0.0, 0, 10, 10]]))
    bank.predict(EVERY)
    assert bank.boxes_xyxy.tolist() == [[0, 0, 10, 10]]


def test_one_step_is_the_one_of_the_full_matrices() -> None:
    size, decay = 10.0, kalman.VELOCITY_DECAY
    position, velocity = (kalman.POSITION_NOISE * size) ** 2, (kalman.VELOCITY_NOISE * size) ** 2
    motion = np.array([[1, 1], [0, decay]])
    covariance = np.diag([4 * position, (kalman.FIRST_VELOCITY_NOISE * size) ** 2])
    covariance = motion @ covariance @ motion.T + np.diag([position, velocity])
    gain = covariance[:, 0] / (covariance[0, 0] + position)
    expected = gain * 3.0  # the centre is seen 3 px further right

    bank = KalmanBank()
    bank.add(np.array([[0.0, 0, 10, 10]]))
    bank.predict(EVERY)
    bank.update(np.array([0]), np.array([[3.0, 0, 13, 10]]))
    assert to_center(bank.boxes_xyxy)[0, 0] == pytest.approx(5 + expected[0])
    assert bank.velocities[0, 0] == pytest.approx(expected[1])
    assert bank.velocities[0, 1:].tolist() == [0, 0, 0]


def test_steady_motion_is_learnt_up_to_the_decay() -> None:
    bank = KalmanBank()
    bank.add(np.array([[0.0, 0, 50, 50]]))
    for frame in range(1, 40):
        bank.predict(EVERY)
        bank.update(np.array([0]), np.array([[4.0 * frame, 0, 50 + 4.0 * frame, 50]]))
    assert 0.8 * 4.0 < bank.velocities[0, 0] < 4.0
    bank.predict(EVERY)
    assert bank.boxes_xyxy[0, 0] == pytest.approx(160, abs=0.05 * 50)


def test_rows_do_not_know_each_other() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [100, 100, 180, 160]])
    both, alone = KalmanBank(), KalmanBank()
    both.add(boxes)
    alone.add(boxes[1:])
    for bank, row in ((both, 1), (alone, 0)):
        bank.predict(np.arange(len(bank)))
        bank.update(np.array([row]), np.array([[104.0, 99, 185, 158]]))
    both.keep(np.array([False, True]))
    assert both.state() == alone.state()


def test_a_box_never_turns_inside_out() -> None:
    bank = KalmanBank()
    bank.add(np.array([[0.0, 0, 100, 100]]))
    for side in (60.0, 30, 8, 1):
        bank.predict(EVERY)
        bank.update(np.array([0]), np.array([[0.0, 0, side, side]]))
    for _ in range(30):
        bank.predict(EVERY)
    box = bank.boxes_xyxy[0]
    assert box[2] >= box[0] + 1
    assert box[3] >= box[1] + 1
