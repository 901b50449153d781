"""Several callers share the machine: none can take all of it where others may come."""

from __future__ import annotations

from dataclasses import replace

import pytest

from acfd_stream.config import CapacityConfig, DetectConfig
from acfd_stream.errors import OverloadedError
from acfd_stream.metrics import Refusal
from acfd_stream.pipeline.capacity import Capacity, Reservation
from acfd_stream.pipeline.costs import Costs
from acfd_stream.pipeline.demand import Demand

SIZE = (96, 128)
LIVE, FILE = Demand(SIZE, 10.0, 10.0, caller="bob"), Demand(SIZE, caller="bob")
"""A live frame takes 10 ms: such a stream takes a tenth of the machine."""


def capacity(load_share: float = 1.0) -> Capacity:
    costs = Costs(DetectConfig(size=128), {((96, 128),): 0.01})
    config = CapacityConfig(cores=1, frame_seconds=1e-9, decode_seconds=1e-9, load_limit=0.85)
    return Capacity(costs, config, load_share=lambda: load_share)


def fill(room: Capacity, demand: Demand) -> tuple[list[Reservation], str]:
    """As many such streams as are let in, and why one more is not."""
    inside = []
    while True:
        try:
            inside.append(room.reserve(demand))
        except OverloadedError as error:
            return inside, str(error)


def test_live_streams_of_one_caller_leave_a_share_to_the_others() -> None:
    room = capacity(load_share=0.6)
    inside, reason = fill(room, LIVE)
    assert len(inside) == 5
    assert "5 live streams of this caller" in reason
    assert "share of 51%" in reason
    answers = {who: room.ask(SIZE, 10.0, 10.0, who) for who in ("bob", "alice")}
    assert (answers["bob"].refusal, answers["bob"].may_fit_later) == (Refusal.QUOTA, True)
    assert answers["alice"].fits
    assert len(fill(room, replace(LIVE, caller="alice"))[0]) == 3


def test_the_share_holds_for_frames_that_come_at_once() -> None:
    prompt = replace(LIVE, objective_seconds=0.05)
    full, room = capacity(), capacity(load_share=0.75)
    most = len(fill(full, prompt)[0])
    assert not full.ask(SIZE, 10.0, 0.05, "alice").fits
    inside, reason = fill(room, prompt)
    assert len(inside) == most - 1
    assert reason.endswith("of the 37.5 ms that their objective leaves to one caller")
    assert room.ask(SIZE, 10.0, 0.05, "alice").fits


def test_a_first_stream_may_take_more_than_the_share() -> None:
    room = capacity(load_share=0.5)
    room.reserve(replace(LIVE, frame_rate=70.0))
    assert not room.ask(SIZE, 10.0, 10.0, "bob").fits
    assert room.ask(SIZE, 10.0, 10.0, "alice").fits


def test_without_a_share_one_caller_may_fill_the_machine() -> None:
    inside, reason = fill(capacity(), LIVE)
    assert len(inside) == 8
    assert "caller" not in reason


def test_file_streams_and_jobs_of_one_caller_leave_a_place_for_another() -> None:
    room = capacity()
    assert len(fill(room, FILE)[0]) == 4
    assert room.spare(FILE) is None
    assert room.spare(replace(FILE, caller="alice")) is not None


def test_who_was_refused_for_lack_of_room_is_remembered_but_not_who_is_above_its_share() -> None:
    room = capacity(load_share=0.6)
    fill(room, LIVE)
    assert room.refused_at == float("-inf")
    fill(room, FILE)
    assert room.refused_at > 0


def test_a_measured_rate_that_does_not_fit_changes_nothing() -> None:
    room = capacity()
    first, second = room.reserve(LIVE), room.reserve(LIVE)
    assert not first.adjust(replace(LIVE, frame_rate=90.0))
    assert first.adjust(replace(LIVE, frame_rate=70.0))
    assert room.headroom == pytest.approx(1 - 0.8 / 0.85, abs=0.01)
    second.release()
    assert not second.adjust(LIVE)
