"""Which faces of a drawing are embedded: the first, then fewer and fewer, and better ones at once."""

from __future__ import annotations

import json

import numpy as np

from acfd_stream.identity.schedule import ViewSchedule

FACE = [100.0, 100.0, 140.0, 140.0]
OTHER = [300.0, 100.0, 340.0, 140.0]


def choose(schedule: ViewSchedule, boxes: list[list[float]], quality: float = 0.5, *, cut: bool = False) -> list[int]:
    qualities = np.full(len(boxes), quality, np.float32)
    return schedule.choose(np.array(boxes, np.float32).reshape(-1, 4), qualities, may_begin_shot=cut)


def test_a_face_is_viewed_at_powers_of_three_and_no_more_than_that() -> None:
    schedule = ViewSchedule(views=4)
    viewed = [drawing for drawing in range(1, 200) if choose(schedule, [FACE])]
    assert viewed == [1, 3, 9, 27]


def test_a_face_that_moves_is_followed_and_one_elsewhere_is_new() -> None:
    schedule = ViewSchedule(views=4)
    moving = [[100.0 + 8 * step, 100.0, 140.0 + 8 * step, 140.0] for step in range(3)]
    assert [choose(schedule, [box]) for box in moving] == [[0], [], [0]]
    assert choose(schedule, [moving[2], OTHER]) == [1]


def test_a_cut_begins_every_face_anew() -> None:
    schedule = ViewSchedule(views=4)
    assert choose(schedule, [FACE]) == [0]
    assert choose(schedule, [FACE]) == []
    assert choose(schedule, [FACE], cut=True) == [0]


def test_a_face_that_was_gone_for_long_is_new() -> None:
    schedule = ViewSchedule(views=4)
    for gone, expected in ((6, []), (7, [0])):
        choose(schedule, [FACE], cut=True)
        for _ in range(gone - 1):
            choose(schedule, [])
        assert choose(schedule, [FACE]) == expected


def test_a_better_view_is_taken_at_once_and_a_slightly_better_one_is_not() -> None:
    schedule = ViewSchedule(views=5)
    qualities = [0.2, 0.25, 0.24, 0.27, 0.6, 0.61]
    assert [choose(schedule, [FACE], quality) for quality in qualities] == [[0], [], [0], [], [0], []]


def test_of_a_crowd_the_best_come_first_and_the_others_next() -> None:
    schedule = ViewSchedule(views=1)
    boxes = np.array([[60.0 * i, 0.0, 60.0 * i + 40, 40.0] for i in range(6)], np.float32)
    qualities = np.array([0.1, 0.6, 0.2, 0.5, 0.4, 0.3], np.float32)
    assert schedule.choose(boxes, qualities, may_begin_shot=False) == [1, 3, 4, 5]
    assert schedule.choose(boxes, qualities, may_begin_shot=False) == [0, 2]


def test_a_restored_schedule_goes_on() -> None:
    schedule, other = ViewSchedule(views=4), ViewSchedule(views=4)
    for _ in range(7):
        choose(schedule, [FACE, OTHER])
    other.restore(json.loads(json.dumps(schedule.state())))
    assert [choose(schedule, [FACE, OTHER]) for _ in range(25)] == [choose(other, [FACE, OTHER]) for _ in range(25)]
