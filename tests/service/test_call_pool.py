"""The threads of calls: so many at once, none when idle."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import closing

import pytest

from acfd_stream.service.calls.pool import WAITING, CallPool

PATIENCE = 30.0


def threads_named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


def submitted(pool: CallPool, gate: threading.Event, count: int) -> list[Future[object]]:
    works = [pool.submit(lambda: gate.wait(PATIENCE)) for _ in range(count)]
    return [work for work in works if work is not None]


def test_no_thread_is_left_when_nothing_is_to_be_run() -> None:
    with closing(CallPool(4, "idle-call")) as pool:
        for _ in range(3):
            gate = threading.Event()
            works = submitted(pool, gate, 8)
            threads = threads_named("idle-call")
            assert len(threads) == 4
            gate.set()
            assert [work.result(PATIENCE) for work in works] == [True] * 8
            for thread in threads:
                thread.join(PATIENCE)
            assert threads_named("idle-call") == []


def test_only_so_many_wait_and_one_that_gave_up_makes_room() -> None:
    with closing(CallPool(2, "full-call")) as pool:
        gate = threading.Event()
        most = 2 + 2 * WAITING
        works = submitted(pool, gate, most + 5)
        assert len(works) == most
        assert works[-1].cancel()
        assert len(submitted(pool, gate, 2)) == 1
        gate.set()
        assert all(work.result(PATIENCE) for work in works[:-1])


def test_an_error_goes_to_the_caller_and_the_next_one_is_run() -> None:
    with closing(CallPool(1, "failing-call")) as pool:

        def fail() -> None:
            raise KeyError("x")

        failed, right = pool.submit(fail), pool.submit(lambda: 1)
        assert failed is not None
        assert right is not None
        assert isinstance(failed.exception(PATIENCE), KeyError)
        assert right.result(PATIENCE) == 1


def test_what_waits_is_cancelled_by_a_close() -> None:
    gate, started = threading.Event(), threading.Event()
    pool = CallPool(1, "closed-call")

    def run() -> bool:
        started.set()
        return gate.wait(PATIENCE)

    runs = pool.submit(run)
    assert started.wait(PATIENCE)
    (waits,) = submitted(pool, gate, 1)
    pool.close()
    assert waits.cancelled()
    assert pool.submit(gate.wait) is None
    gate.set()
    assert runs is not None
    assert runs.result(PATIENCE) is True


def test_a_call_is_refused_if_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with closing(CallPool(1, "no-call")) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            assert pool.submit(lambda: 1) is None
        work = pool.submit(lambda: 2)
        assert work is not None
        assert work.result(PATIENCE) == 2
