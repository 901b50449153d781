"""Live streams against a server: the outcome of their frames, and the CPU time of both sides.

Every stream sends a clip at its frame rate, with a client of its own. Latency is measured on both sides: on the server
from the arrival of a frame's bytes to its result, on the client from sending the bytes to receiving the result.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import Any

from acfd_stream.client.client import Client
from acfd_stream.client.pacing import PacedMedia, schedule
from acfd_stream.client.stream_progress import StreamOptions
from acfd_stream.config import require
from acfd_stream.errors import AcfdError, OverloadedError
from acfd_stream.types import FrameResult, Outcome

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class LoadPlan:
    """Settings of each stream."""

    clip: Path
    """The video to send."""
    fps: float = 24.0
    """Frames per second, > 0."""
    objective_seconds: float = 0.05
    """Latency objective, > 0."""
    seconds: float = 10.0
    """Length of the streams, > warmup_seconds."""
    warmup_seconds: float = 1.0
    """Frames sent before this are not counted, >= 0."""
    drop_policy: str = "drop_oldest"
    """Drop policy if the server is too slow."""
    every_frame: bool = False
    """Run detection also on frames that repeat the previous drawing."""

    def __post_init__(self) -> None:
        require(self.fps > 0, "fps", self.fps, "> 0")
        require(self.objective_seconds > 0, "objective", self.objective_seconds, "> 0")
        require(self.warmup_seconds >= 0, "warmup", self.warmup_seconds, ">= 0")
        require(self.seconds > self.warmup_seconds, "seconds", self.seconds, f"> {self.warmup_seconds}, the warm-up")


@dataclass
class LoadRow:
    """The result of one number of streams."""

    streams: int
    admitted: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)  # errors of streams that failed
    outcomes: Counter[str] = field(default_factory=Counter)  # frames by outcome
    drops: Counter[str] = field(default_factory=Counter)  # dropped frames by reason
    causes: Counter[str] = field(default_factory=Counter)  # late frames by slowest stage
    server_seconds: list[float] = field(default_factory=list)  # latency of each answered frame
    client_seconds: list[float] = field(default_factory=list)
    refusal_seconds: list[float] = field(default_factory=list)  # from the request to the refusal
    server_cpu_seconds: float | None = None  # None: unknown
    client_cpu_seconds: float = 0.0
    answered: int = 0  # frames, including the warm-up

    @property
    def frames(self) -> int:
        """Counted frames."""
        return self.outcomes.total()

    @property
    def goodput(self) -> float:
        """Share of them that the server answered within the objective."""
        return self.outcomes[Outcome.OK.value] / max(1, self.frames)

    def keeps(self, objective_seconds: float) -> bool:
        """Whether every stream was admitted, none failed, and 95 % of all frames were answered within the objective.

        Dropped and failed frames count as not answered.
        """
        if self.refused or self.failures or not self.frames:
            return False
        in_time = sum(seconds <= objective_seconds for seconds in self.server_seconds)
        return in_time >= 0.95 * self.frames

    def values(self) -> dict[str, Any]:
        """The entry of the JSON file; times in seconds."""
        answered = max(1, self.answered)
        server_cpu = None if self.server_cpu_seconds is None else round(self.server_cpu_seconds / answered, 6)
        return {
            "streams": self.streams,
            "admitted": self.admitted,
            "refused": self.refused,
            "broken": len(self.failures),
            "frames": self.frames,
            "goodput": round(self.goodput, 5),
            "outcomes": dict(sorted(self.outcomes.items())),
            "drops": dict(sorted(self.drops.items())),
            "late_because_of": dict(sorted(self.causes.items())),
            "latency": percentiles(self.server_seconds),
            "client_latency": percentiles(self.client_seconds),
            "refusal": percentiles(self.refusal_seconds),
            "server_cpu_per_frame": server_cpu,
            "client_cpu_per_frame": round(self.client_cpu_seconds / answered, 6),
            "failures": sorted(set(self.failures)),
        }


def percentiles(seconds: Sequence[float]) -> dict[str, float] | None:
    """p50, p95, p99 and the maximum; None without times."""
    if not seconds:
        return None
    cuts = quantiles(list(seconds) * (2 if len(seconds) == 1 else 1), n=100, method="inclusive")
    found = {f"p{share}": round(cuts[share - 1], 6) for share in PERCENTILES}
    return found | {"longest": round(max(seconds), 6)}


class Load:
    """Runs a plan against one server."""

    def __init__(
        self, connect: Callable[[], Client], plan: LoadPlan, server_cpu: Callable[[], float | None] = lambda: None
    ) -> None:
        """Prepare ``plan``.

        Args:
            connect: opens a client, which must not retry.
            plan: settings of each stream.
            server_cpu: returns the CPU seconds of the server so far; None: unknown.

        Raises:
            MediaError: the clip cannot be read, or is shorter than the plan.
        """
        self._connect = connect
        self._plan = plan
        self._server_cpu = server_cpu
        self._layout, self._dues = schedule(plan.clip, plan.fps)
        self._seconds = min(plan.seconds, len(self._dues) / plan.fps)
        require(self._seconds > plan.warmup_seconds, "clip", f"{self._seconds:g} s", "longer than the warm-up")

    def run(self, streams: int) -> LoadRow:
        """Run ``streams`` streams at once, with their frames spread evenly over the frame interval."""
        row = LoadRow(streams)
        lock, ready = threading.Lock(), threading.Barrier(streams + 1)
        begin = [0.0]
        threads = [
            threading.Thread(target=self._stream, args=(row, lock, ready, begin, number / streams), daemon=True)
            for number in range(streams)
        ]
        for thread in threads:
            thread.start()
        server_before, client_before = self._server_cpu(), time.process_time()
        begin[0] = time.perf_counter() + 0.05
        ready.wait()
        for thread in threads:
            thread.join()
        row.client_cpu_seconds = time.process_time() - client_before
        server_after = self._server_cpu()
        if server_before is not None and server_after is not None:
            row.server_cpu_seconds = server_after - server_before
        return row

    def _stream(
        self, row: LoadRow, lock: threading.Lock, ready: threading.Barrier, begin: list[float], phase: float
    ) -> None:
        """Run one stream and add its result to ``row``."""
        plan, requested_at = self._plan, 0.0
        results: list[tuple[FrameResult, float]] = []
        failure: AcfdError | None = None
        media: PacedMedia | None = None
        with self._connect() as client:
            try:
                client.health()  # connects first, so that a refusal is timed from the request
            except AcfdError as error:
                failure = error
            ready.wait()
            try:
                if failure is None:
                    start_at = begin[0] + phase / plan.fps
                    media = PacedMedia(self._layout, self._dues, longest_seconds=self._seconds, begin_at=start_at)
                    requested_at = time.perf_counter()
                    with client.track(media, self._options()) as stream:
                        results.extend((result, time.perf_counter()) for result in stream)
            except AcfdError as error:
                failure = error
        ended = time.perf_counter()
        with lock:
            if failure is not None and isinstance(failure, OverloadedError) and not results:
                row.refused += 1
                row.refusal_seconds.append(ended - requested_at)
            elif failure is not None:
                row.failures.append(str(failure))
            row.admitted += bool(results)
            if media is not None:
                self._enter(row, results, media, begin[0] + plan.warmup_seconds)

    def _options(self) -> StreamOptions:
        plan = self._plan
        return StreamOptions(
            mode="live",
            drop_policy=plan.drop_policy,
            declared_fps=plan.fps,
            objective_seconds=plan.objective_seconds,
            name="bench",
            every_frame=plan.every_frame,
        )

    @staticmethod
    def _enter(row: LoadRow, results: list[tuple[FrameResult, float]], media: PacedMedia, counts_from: float) -> None:
        row.answered += len(results)
        for result, came_at in results:
            sent_at = media.sent_at.get(result.pts)
            if sent_at is not None and sent_at < counts_from:
                continue
            verdict = result.verdict
            row.outcomes[verdict.outcome.value] += 1
            if verdict.drop_reason is not None:
                row.drops[verdict.drop_reason.value] += 1
            if verdict.outcome in (Outcome.OK, Outcome.LATE):
                if verdict.latency_seconds is not None:
                    row.server_seconds.append(verdict.latency_seconds)
                if sent_at is not None:
                    row.client_seconds.append(came_at - sent_at)
            if verdict.outcome is Outcome.LATE and verdict.cause is not None:
                row.causes[str(verdict.cause)] += 1


def sweep(
    run: Callable[[int], LoadRow], counts: Sequence[int], objective_seconds: float, on_row: Callable[[LoadRow], None]
) -> tuple[list[LoadRow], int]:
    """The rows, and the largest number of streams that keeps the objective; 0: none does.

    Tries ``counts`` in rising order until one fails, then bisects between that and the last one that passed.
    """
    rows: dict[int, LoadRow] = {}

    def keeps(count: int) -> bool:
        if count not in rows:
            rows[count] = run(count)
            on_row(rows[count])
        return rows[count].keeps(objective_seconds)

    good, bad = 0, None
    for count in sorted(set(counts)):
        if not keeps(count):
            bad = count
            break
        good = count
    while bad is not None and bad - good > 1:
        middle = (good + bad) // 2
        if keeps(middle):
            good = middle
        else:
            bad = middle
    return [rows[count] for count in sorted(rows)], good


def most_loads(counts: Sequence[int]) -> int:
    """The largest number of loads that ``sweep`` runs: those of ``counts``, and those that bisect the widest step."""
    steps = pairwise([0, *sorted(set(counts))])
    return max(number + (count - before - 1).bit_length() for number, (before, count) in enumerate(steps, 1))
