"""A server in its own process, its resources, and whether it is idle."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from acfd_stream.malloc import REST_SECONDS
from benchmarks.abuse.play import channel_to

AT_REST = ("acfd_streams_active", "acfd_queue_depth", "acfd_inflight_bytes")
"""Gauges that are 0 when nobody is served."""
_ANNOUNCED = re.compile(r"serving on (\S+?): .*http://([^/\s]+)")
_SAMPLE = re.compile(r"^(\w+)(\{[^}]*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Usage:
    """Resources of a process."""

    resident_bytes: int
    threads: int
    files: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        """The current resources."""
        process = psutil.Process(pid)
        with process.oneshot():
            return cls(process.memory_info().rss, process.num_threads(), process.num_fds())


@dataclass(frozen=True)
class Arena:
    """A running server; ``pid`` is its process."""

    address: str
    metrics: str  # HOST:PORT
    pid: int

    def gauges(self, names: tuple[str, ...] = AT_REST) -> dict[str, float]:
        """Samples by name and labels, from a scrape."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return {name + labels: float(value) for name, labels, value in _SAMPLE.findall(text) if name in names}

    def busy(self) -> dict[str, float]:
        """Names of what is not idle."""
        return {name: value for name, value in self.gauges().items() if value != 0}

    def await_rest(self, seconds: float = 20.0) -> dict[str, float]:
        """Names of what is still not idle after ``seconds``; empty if all is idle."""
        until(lambda: not self.busy(), seconds)
        return self.busy()

    def usage(self) -> Usage:
        """Current resources of the server."""
        return Usage.of(self.pid)

    def settled_usage(self, seconds: float = 20.0) -> Usage:
        """Resources after the numbers of threads and files have stopped falling."""
        found = self.usage()
        deadline = time.monotonic() + seconds
        quiet = 0
        while quiet < 5 and time.monotonic() < deadline:
            time.sleep(0.2)
            now = self.usage()
            quiet = quiet + 1 if (now.threads, now.files) == (found.threads, found.files) else 0
            found = now
        return found

    def rested_usage(self) -> Usage:
        """Resources after an idle time in which the server has returned memory."""
        self.await_rest()
        time.sleep(2 * REST_SECONDS)
        return self.settled_usage()

    def is_serving(self) -> bool:
        """Whether the health check reports SERVING."""
        with channel_to(self.address) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def until(holds: Callable[[], object], seconds: float) -> bool:
    """Whether ``holds`` becomes true within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def serving(settings: Path, *arguments: str) -> Iterator[tuple[Arena, subprocess.Popen[str]]]:
    """``acfd-stream serve`` with a settings file; killed at the end if it still runs."""
    command = [sys.executable, "-m", "acfd_stream.cli", "serve", "--config", str(settings), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout is not None else ""
            found = _ANNOUNCED.match(line)
            if found is None:
                raise RuntimeError(f"the server did not start; it said {line!r}")
            yield Arena(found[1], found[2], process.pid), process
        finally:
            if process.poll() is None:
                process.kill()
