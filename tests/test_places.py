"""Places are shared so that whoever came first cannot keep the others out."""

from __future__ import annotations

import pytest

from acfd_stream.places import has_place, most_places


def filled(most: int, callers: int, newcomers: float = 0.25) -> list[int]:
    """Places of callers who come one after the other and each take all that they can."""
    held: list[int] = []
    for _ in range(callers):
        own = 0
        while has_place(most, sum(held) + own, own, newcomers):
            own += 1
        held.append(own)
    return held


@pytest.mark.parametrize("most", [1, 2, 3, 4, 8, 64, 1000])
def test_one_caller_alone_gets_what_the_limit_says(most: int) -> None:
    assert filled(most, 1) == [most]


@pytest.mark.parametrize("most", [1, 2, 4, 8, 64])
def test_a_caller_who_holds_everything_keeps_no_newcomer_out(most: int) -> None:
    assert filled(most, 2)[1] >= 1


def test_many_newcomers_get_a_part_of_what_is_left_and_all_together_no_more_than_there_is() -> None:
    assert filled(64, 5) == [64, 8, 4, 2, 1]
    assert sum(filled(64, 100)) <= most_places(64) == 80


def test_without_places_for_newcomers_the_limit_is_the_limit() -> None:
    assert filled(4, 2, newcomers=0.0) == [4, 0]
    assert most_places(4, 0.0) == 4


def test_who_holds_much_gets_no_place_back_while_others_hold_those_beside() -> None:
    assert not has_place(64, used=65, own=63)
    assert has_place(64, used=65, own=2)


def test_no_places_are_none_for_anybody() -> None:
    assert filled(0, 2) == [0, 0]
