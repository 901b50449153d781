"""Who calls, what each caller holds, and where its limit is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.rpc import error_details_pb2

from acfd_stream.errors import OverloadedError
from acfd_stream.service.access.callers import Callers, Held, LimitTable, address_caller
from acfd_stream.service.access.token_file import Grant
from acfd_stream.service.settings import JobSettings, Limits, ServiceSettings, filled_limits
from acfd_stream.service.settings.callers import CallerLimits
from acfd_stream.service.status import StatusError, status_of
from tests.clock import Clock


def accounts(
    totals: dict[Held, int] | None = None, clock: Callable[[], float] = time.monotonic, **limits: int
) -> Callers:
    return Callers(lambda caller: CallerLimits(**limits), totals, clock=clock)


@pytest.mark.parametrize(
    ("peer", "caller"),
    [
        ("ipv4:192.0.2.7:51000", "ip:192.0.2.7"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D:51000", "ip:2001:db8:1:2::/64"),
        ("ipv6:[2001:db8:1:2:ffff::1]:443", "ip:2001:db8:1:2::/64"),
        ("ipv6:%5Bfe80::1%25eth0%5D:443", "ip:fe80::/64"),
        ("ipv6:%5B::ffff:192.0.2.7%5D:1", "ip:192.0.2.7"),
        ("unix:/run/acfd.sock", "unix:"),
        ("unix:", "unix:"),
        ("ipv4:strange:1", "ip:strange"),
    ],
)
def test_an_address_names_its_caller(peer: str, caller: str) -> None:
    assert address_caller(peer) == caller


def test_a_caller_over_its_limit_is_told_which_one_and_when_to_come_back() -> None:
    callers = accounts(streams=2)
    releases = [callers.hold("studio", Held.STREAMS) for _ in range(2)]
    with pytest.raises(
        StatusError, match=r"token studio has its maximum of 2 concurrent streams \(streams\)"
    ) as caught:
        callers.hold("studio", Held.STREAMS)
    status = status_of(caught.value)
    assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    quota, retry = error_details_pb2.QuotaFailure(), error_details_pb2.RetryInfo()
    assert [detail.Unpack(quota) or detail.Unpack(retry) for detail in status.details].count(True) == 2
    assert (quota.violations[0].subject, retry.retry_delay.seconds) == ("token:studio", 5)
    callers.hold("other", Held.STREAMS)
    releases[0]()
    callers.hold("studio", Held.STREAMS)


def test_what_was_given_back_twice_counts_once() -> None:
    callers = accounts(streams=2)
    first, _ = callers.hold("a", Held.STREAMS), callers.hold("a", Held.STREAMS)
    first()
    first()
    callers.hold("a", Held.STREAMS)
    with pytest.raises(StatusError):
        callers.hold("a", Held.STREAMS)


def test_who_holds_all_places_keeps_no_newcomer_out() -> None:
    callers = accounts({Held.STREAMS: 4})
    for _ in range(4):
        callers.hold("bob", Held.STREAMS)
    with pytest.raises(OverloadedError, match="4 streams are open, the maximum"):
        callers.hold("bob", Held.STREAMS)
    callers.hold("alice", Held.STREAMS)


def test_a_caller_that_holds_nothing_is_forgotten(clock: Clock) -> None:
    callers = accounts(clock=clock, bytes_per_second=2**20)
    release = callers.hold("ip:192.0.2.7", Held.CALLS)
    callers.receive("ip:192.0.2.7", 100)
    assert callers.held() == {"ip:192.0.2.7": {"calls": 1, "received_bytes": 100}}
    clock.now += 1
    release()
    assert callers.held() == {}


def test_bytes_are_read_at_the_rate_of_the_caller_and_not_slower(clock: Clock) -> None:
    callers = accounts(clock=clock, bytes_per_second=1000)
    callers.hold("a", Held.STREAMS)
    waits = 0.0
    for _ in range(100):
        seconds = callers.receive("a", 100)
        clock.now += seconds
        waits += seconds
    assert waits == pytest.approx(10_000 / 1000, abs=0.3)
    assert callers.receive("b", 100) == 0.0


def test_calls_of_who_makes_many_faulty_ones_begin_at_a_rate(clock: Clock) -> None:
    callers = accounts(clock=clock, faults_per_second=10)

    def call(is_faulty: bool) -> float:
        seconds, end = callers.turn("a")
        clock.now += seconds + 0.001
        end(1.0 if is_faulty else 0.0)
        return seconds

    assert [call(False) for _ in range(1000)] == [0.0] * 1000
    assert [call(True) for _ in range(50)] == [0.0] * 50
    begin = clock.now
    for _ in range(200):
        call(True)
    assert clock.now - begin == pytest.approx(200 / 10, rel=0.05)
    assert callers.turn("b")[0] == 0.0
    good = [call(False) for _ in range(20)]
    assert (max(good) > 0, good[-1]) == (True, 0.0)


def test_each_call_that_waits_has_a_turn_of_its_own(clock: Clock) -> None:
    callers = accounts(clock=clock, faults_per_second=10)
    for _ in range(60):
        callers.turn("a")[1](1.0)  # all at the same time
    waits, ends = zip(*(callers.turn("a") for _ in range(4)), strict=True)
    assert waits == pytest.approx([1.1, 1.2, 1.3, 1.4])
    for end in ends:
        end(0.0)
    assert callers.turn("a")[0] == pytest.approx(1.1)
    clock.now += 60
    callers.turn("a")[1](1e6)  # one large call counts for five seconds
    assert callers.turn("a")[0] == pytest.approx(0.1)
    clock.now += 60
    assert callers.held() == {}


def test_bytes_of_who_exceeds_the_rate_of_faults_are_read_slowly(clock: Clock) -> None:
    callers = accounts(clock=clock, faults_per_second=10, bytes_per_second=2**30)
    callers.turn("a")[1](20.0)  # two seconds of faults
    callers.hold("a", Held.STREAMS)
    assert callers.has_faults("a")
    assert callers.receive("a", 4 * 2**20) == pytest.approx(0.75)  # a second's worth; a quarter may come at once
    assert not callers.has_faults("b")
    assert callers.receive("b", 4 * 2**20) == 0.0
    clock.now += 2.5
    assert not callers.has_faults("a")
    assert callers.receive("a", 4 * 2**20) == 0.0


def test_threads_never_exceed_the_limit() -> None:
    callers, inside, most = accounts(calls=3), [0], [0]
    lock = threading.Lock()

    def call(_: int) -> None:
        try:
            release = callers.hold("a", Held.CALLS)
        except StatusError:
            return
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        with lock:
            inside[0] -= 1
        release()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(2000)))
    assert 1 <= most[0] <= 3
    assert callers.held() == {}


def test_a_token_has_its_own_limits_and_the_others_of_the_settings() -> None:
    grants: list[tuple[Grant, ...]] = [(Grant("studio", "0" * 64, streams=4, kept_bytes=10),)]
    table = LimitTable(CallerLimits(streams=2, calls=7), lambda: grants[0])
    assert (table("studio").streams, table("studio").kept_bytes, table("studio").calls) == (4, 10, 7)
    assert table("ip:192.0.2.7").streams == 2
    grants[0] = ()
    assert table("studio").streams == 2


def test_limits_are_shown_as_numbers() -> None:
    settings = ServiceSettings(limits=Limits(streams=9), jobs=JobSettings(open=5, result_streams=3))
    shown = filled_limits(CallerLimits(streams=4), settings)
    assert (shown.streams, shown.uploads, shown.queued_jobs, shown.result_streams) == (4, 4, 5, 3)
