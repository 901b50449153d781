"""The memory for pictures: what is held never exceeds it, but for one picture that is alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from acfd_stream.errors import ConfigError, OverloadedError
from acfd_stream.picture_budget import PictureBudget

MIB = 2**20


def test_what_leaves_makes_room() -> None:
    changes: list[int] = []
    budget = PictureBudget(10 * MIB, changes.append, wait_seconds=0.0)
    with budget.reserve(6 * MIB) as first:
        assert not budget.has_room(5 * MIB)
        first.shrink(MIB)
        with budget.reserve(9 * MIB):
            assert budget.held_bytes == 10 * MIB
    assert budget.held_bytes == 0
    assert changes == [6 * MIB, -5 * MIB, 9 * MIB, -9 * MIB, -MIB]


def test_a_full_budget_refuses_and_says_its_setting() -> None:
    refused: list[bool] = []
    budget = PictureBudget(4 * MIB, on_refusal=lambda: refused.append(True), wait_seconds=0.0)
    with budget.reserve(3 * MIB), pytest.raises(OverloadedError, match="hold 3 of the 4 MiB for all, picture_bytes"):
        budget.reserve(2 * MIB)
    assert refused == [True]


def test_a_picture_above_the_budget_is_let_in_alone() -> None:
    budget = PictureBudget(MIB, wait_seconds=0.0)
    with budget.reserve(8 * MIB), pytest.raises(OverloadedError):
        budget.reserve(1)
    with budget.reserve(1), pytest.raises(OverloadedError):
        budget.reserve(8 * MIB)


def test_who_waits_gets_what_another_gives_back() -> None:
    budget, waits = PictureBudget(MIB, wait_seconds=30.0), threading.Event()

    def take() -> int:
        waits.set()
        with budget.reserve(MIB):
            return budget.held_bytes

    with ThreadPoolExecutor(1) as pool:
        with budget.reserve(MIB):
            taken = pool.submit(take)
            waits.wait(10)
        assert taken.result(10) == MIB


def test_many_threads_never_hold_more_than_the_budget() -> None:
    budget, most = PictureBudget(10 * MIB, wait_seconds=30.0), []

    def work(number: int) -> None:
        for _ in range(50):
            with budget.reserve((1 + number % 4) * MIB):
                most.append(budget.held_bytes)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert max(most) <= 10 * MIB
    assert budget.held_bytes == 0


def test_a_budget_holds_something() -> None:
    with pytest.raises(ConfigError, match="most_bytes must be >= 1"):
        PictureBudget(0)
