"""What each caller holds, against its limits: calls, streams, bytes received and faulty calls.

A caller is known by its token, else by its address. What jobs hold is in the job store.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import unquote

import grpc
from google.rpc import error_details_pb2

from acfd_stream.errors import OverloadedError
from acfd_stream.places import NEWCOMERS, has_place
from acfd_stream.service.access.permits import caller_name
from acfd_stream.service.access.token_file import Grant
from acfd_stream.service.settings.callers import CallerLimits
from acfd_stream.service.status import StatusError

RETRY_SECONDS = 5.0
"""Retry delay of a caller over its limit."""
UNIX_CALLER = "unix:"
"""All callers over a socket in the file system."""
_IPV6_NETWORK = 64  # bits that a provider gives to one customer at least
_BURST_SECONDS = 0.25  # of the rate that a caller may send at once
_FAULT_BURST_SECONDS = 5.0  # of the rate of faults that a caller may make at once; one call counts for no more
_FAULTY_BYTES_PER_SECOND = 4 * 2**20  # of a caller with faults: a broken video costs others no burst of work


class Held(Enum):
    """What a caller holds for a while; the value is the name of its limit, if it has one."""

    CALLS = "calls"
    SHORT_CALLS = "short_calls"  # those with one response
    STREAMS = "streams"
    UPLOADS = "uploads"
    RESULT_STREAMS = "result_streams"


_NAMES = {
    "calls": "concurrent calls",
    "short_calls": "concurrent calls with one response",
    "streams": "concurrent streams",
    "uploads": "concurrent uploads",
    "result_streams": "concurrent streams of results",
    "queued_jobs": "waiting jobs",
}


def address_caller(peer: str) -> str:
    """The name of the caller at a gRPC ``peer``: ``ip:ADDRESS``, ``ip:NETWORK/64`` of IPv6, or ``unix:``.

    A token's name has no colon, so that it is never one of these.
    """
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return UNIX_CALLER
    host = unquote(rest).rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"ip:{host[:64]}"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return f"ip:{ipaddress.ip_network((address, _IPV6_NETWORK), strict=False)}"
        address = address.ipv4_mapped
    return f"ip:{address}"


def caller_at(peer: str) -> str:
    """The caller of the current call, which comes from the gRPC ``peer``: the name of its token, else its address."""
    return caller_name() or address_caller(peer)


def over_limit(caller: str, limit: str, most: int) -> StatusError:
    """The error of a caller that has reached its limit ``limit``, a field of ``CallerLimits``."""
    is_token = ":" not in caller
    who = f"token {caller}" if is_token else f"the caller {caller.removeprefix('ip:') or 'of this socket'}"
    message = f"{who} has its maximum of {most} {_NAMES[limit]} ({limit}); end one, or try again later"
    violation = error_details_pb2.QuotaFailure.Violation(
        subject=f"token:{caller}" if is_token else caller, description=message
    )
    code, quota = grpc.StatusCode.RESOURCE_EXHAUSTED, error_details_pb2.QuotaFailure(violations=[violation])
    more: dict[str, Any] = {"retry_seconds": RETRY_SECONDS, "metadata": {"limit": limit}, "details": [quota]}
    if is_token:
        return StatusError(code, "TOKEN_QUOTA", message, **more)
    return StatusError(code, "CALLER_QUOTA", message, **more)


@dataclass(slots=True)
class _Pace:
    """How far a caller is ahead of a rate."""

    seconds: float = 0.0  # at ``noted_at``: time until it is within the rate
    noted_at: float = 0.0

    def at(self, now: float) -> float:
        return self.seconds - (now - self.noted_at)

    def add(self, seconds: float, now: float) -> float:
        """How far it is ahead after ``seconds`` more; negative ones take back what was added."""
        self.seconds, self.noted_at = max(0.0, max(0.0, self.at(now)) + seconds), now
        return self.seconds


@dataclass(slots=True)
class _Account:
    held: Counter[Held]
    bytes: _Pace = field(default_factory=_Pace)
    faults: _Pace = field(default_factory=_Pace)
    received_bytes: int = 0  # while it held something

    def is_idle(self, now: float) -> bool:
        return not self.held and self.bytes.at(now) <= 0 and self.faults.at(now) <= 0


class Callers:
    """Accounts of the callers that hold something; thread-safe.

    Args:
        limits_of: the limits of a caller.
        totals: places for all callers together, by kind; a kind that is missing has no limit of its own.
        newcomers: see ``has_place``.
        on_refusal: called for each refusal by a caller's own limit.
        clock: seconds that never decrease.
    """

    def __init__(
        self,
        limits_of: Callable[[str], CallerLimits],
        totals: Mapping[Held, int] | None = None,
        newcomers: float = NEWCOMERS,
        on_refusal: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits_of, self._totals, self._newcomers = limits_of, dict(totals or {}), newcomers
        self._on_refusal, self._clock = on_refusal, clock
        self._lock = threading.Lock()
        self._accounts: dict[str, _Account] = {}
        self._used: Counter[Held] = Counter()

    def hold(self, caller: str, kind: Held) -> Callable[[], None]:
        """One more of ``kind`` for ``caller``; the function that gives it back, which may be called twice.

        Raises:
            StatusError: RESOURCE_EXHAUSTED, the caller has its maximum.
            OverloadedError: all callers together have the maximum, and this one holds its part of it.
        """
        most, total = getattr(self.limits_of(caller), kind.value, 0), self._totals.get(kind)
        with self._lock:
            account = self._accounts.get(caller)
            own, used = 0 if account is None else account.held[kind], self._used[kind]
            is_over = bool(most) and own >= most
            if not is_over and (total is None or has_place(total, used, own, self._newcomers)):
                account = account or self._opened(caller)
                account.held[kind] += 1
                self._used[kind] += 1
                return _Release(lambda: self._release(caller, kind))
        if is_over:
            self._on_refusal()
            raise over_limit(caller, kind.value, most)
        name = _NAMES[kind.value].removeprefix("concurrent ")
        raise OverloadedError(f"{used} {name} are open, the maximum; try again later")

    def receive(self, caller: str, byte_count: int) -> float:
        """Note received bytes; seconds to wait before more are read, so that the caller keeps its rate.

        A caller whose faults exceed its rate of faults is read slowly.
        """
        rate = self.limits_of(caller).bytes_per_second
        with self._lock:
            now = self._clock()
            account = self._accounts.get(caller) or self._opened(caller)
            account.received_bytes += byte_count
            if account.faults.at(now) > 0:
                rate = min(rate or _FAULTY_BYTES_PER_SECOND, _FAULTY_BYTES_PER_SECOND)
            if not rate:
                return 0.0
            return max(0.0, account.bytes.add(byte_count / rate, now) - _BURST_SECONDS)

    def turn(self, caller: str) -> tuple[float, Callable[[float], None]]:
        """Seconds that a call of ``caller`` waits before it begins, and what to call at its end with its faults.

        Only a caller above its rate of faults waits. Then each of its calls has a turn of its own, at that rate.
        """
        rate = self.limits_of(caller).faults_per_second
        if not rate:
            return 0.0, lambda faults: None
        with self._lock:
            now, account = self._clock(), self._accounts.get(caller)
            has_turn, seconds = False, 0.0
            if account is not None and account.faults.at(now) + 1 / rate > _FAULT_BURST_SECONDS:
                has_turn, seconds = True, account.faults.add(1 / rate, now) - _FAULT_BURST_SECONDS

        def end(faults: float) -> None:
            more = min(faults / rate, _FAULT_BURST_SECONDS) - has_turn / rate
            if more:
                with self._lock:
                    now = self._clock()
                    (self._accounts.get(caller) or self._opened(caller)).faults.add(more, now)

        return seconds, end

    def has_faults(self, caller: str) -> bool:
        """Whether the faults of ``caller`` exceed its rate: its videos are decoded behind all others."""
        with self._lock:
            account = self._accounts.get(caller)
            return account is not None and account.faults.at(self._clock()) > 0

    def held(self) -> dict[str, dict[str, int]]:
        """Caller → what it holds by kind, and the bytes received since it began to hold something."""
        with self._lock:
            self._forget_idle()
            return {
                caller: {kind.value: count for kind, count in account.held.items()}
                | {"received_bytes": account.received_bytes}
                for caller, account in self._accounts.items()
            }

    def _opened(self, caller: str) -> _Account:
        self._forget_idle()
        return self._accounts.setdefault(caller, _Account(Counter()))

    def _forget_idle(self) -> None:
        now = self._clock()
        for caller in [caller for caller, account in self._accounts.items() if account.is_idle(now)]:
            del self._accounts[caller]

    def _release(self, caller: str, kind: Held) -> None:
        with self._lock:
            account = self._accounts[caller]
            account.held[kind] -= 1
            account.held += Counter()  # drops zeros
            self._used[kind] -= 1
            if account.is_idle(self._clock()):
                del self._accounts[caller]


class _Release:
    """Calls ``release`` once."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            release, self._release = self._release, None
        if release is not None:
            release()


class LimitTable:
    """The limits of each caller: those of its token, and else ``defaults``; thread-safe.

    Args:
        defaults: of every caller.
        grants: returns the grants of the token file: the same object until the file changes.
    """

    def __init__(self, defaults: CallerLimits, grants: Callable[[], tuple[Grant, ...]] = lambda: ()) -> None:
        self._defaults, self._grants = defaults, grants
        self._known: tuple[tuple[Grant, ...], dict[str, CallerLimits]] = (), {}

    def __call__(self, caller: str) -> CallerLimits:
        """The limits of ``caller``."""
        grants, (seen, limits) = self._grants(), self._known
        if grants is not seen:
            limits = {grant.name: grant.limits(self._defaults) for grant in grants}
            self._known = grants, limits
        return limits.get(caller, self._defaults)


_caller: ContextVar[str] = ContextVar("acfd_caller", default=UNIX_CALLER)


def enter_caller(caller: str) -> None:
    """Make ``caller`` the one of the current call."""
    _caller.set(caller)


def current_caller() -> str:
    """The caller of the current call: the name of its token, else its address."""
    return _caller.get()
