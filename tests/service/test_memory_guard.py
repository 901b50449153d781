"""The guard on memory: what it reads, when it refuses, and what goes on meanwhile."""

from __future__ import annotations

import logging
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from prometheus_client import CollectorRegistry

from acfd_stream.client.client import Client
from acfd_stream.memory import used_memory
from acfd_stream.metrics import Metrics
from acfd_stream.service import memory_guard
from acfd_stream.service.memory_guard import MemoryGuard
from acfd_stream.service.server import Server
from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc, job_pb2, job_pb2_grpc
from tests.service.rig import failure, sending, serving

GIB = 2**30
FORMS = {
    "version 2": ("0::/a/b\n", "a/b", "memory.max", "memory.current", "inactive_file"),
    "version 1": ("4:cpu,memory:/a/b\n1:cpu:/\n", "memory/a/b", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),  # noqa: E501
}  # fmt: skip


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A machine with 16 GiB, of which 6 are available. This process and a child have 1 GiB each, others the rest."""
    folder = tmp_path / "proc"
    for name, child in (("self", "7"), ("7", "")):
        (folder / name / "task" / "1").mkdir(parents=True)
        (folder / name / "task" / "1" / "children").write_text(child)
        (folder / name / "statm").write_text(f"999999 {GIB // resource.getpagesize()} 5 1 0 9 0\n")
    (folder / "meminfo").write_text(f"MemTotal: {16 * 2**20} kB\nMemFree: 1 kB\nMemAvailable: {6 * 2**20} kB\n")
    return folder


@pytest.fixture
def read(tmp_path: Path, proc: Path) -> Callable[[], float]:
    return lambda: used_memory(proc, tmp_path / "fs")


def test_without_a_cgroup_what_the_process_and_its_children_use_of_what_is_left_counts(
    read: Callable[[], float],
) -> None:
    assert read() == 0.25


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("level", ["itself", "above"])
def test_a_cgroup_counts_without_what_the_kernel_can_drop(
    tmp_path: Path, read: Callable[[], float], form: str, level: str
) -> None:
    groups, folder, limit, used, dropped = FORMS[form]
    (tmp_path / "proc" / "self" / "cgroup").write_text(groups)
    place = tmp_path / "fs" / folder if level == "itself" else (tmp_path / "fs" / folder).parent
    place.mkdir(parents=True)
    (place / limit).write_text(f"{2 * GIB}\n")
    (place / used).write_text(f"{GIB + 2**29}\n")
    (place / "memory.stat").write_text(f"anon 1\n{dropped} {2**29}\n")
    assert read() == 0.5


@pytest.mark.parametrize("limit", ["max", str(2**63 - 4096), "0", ""])
def test_a_cgroup_without_a_limit_does_not_count(tmp_path: Path, read: Callable[[], float], limit: str) -> None:
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/\n")
    (tmp_path / "fs").mkdir()
    (tmp_path / "fs" / "memory.max").write_text(limit)
    (tmp_path / "fs" / "memory.current").write_text(str(7 * GIB))
    assert read() == 0.25


def test_a_system_that_says_nothing_refuses_nothing(tmp_path: Path) -> None:
    assert used_memory(tmp_path / "none", tmp_path / "none") == 0.0


def test_this_process_counts_on_this_machine() -> None:
    assert 0 < used_memory() <= 1


def test_the_guard_says_once_that_memory_is_short_and_that_it_is_not_any_more(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_guard, "_READ_SECONDS", 0.0)
    registry, parts = CollectorRegistry(), iter([0.5, 0.81, 0.79, 0.9, 0.75, 0.79])
    guard = MemoryGuard(0.8, Metrics(registry), lambda: next(parts))
    with caplog.at_level(logging.INFO, "acfd_stream"):
        assert [guard.update() for _ in range(6)] == [False, True, True, True, False, False]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert registry.get_sample_value("acfd_memory_used_ratio") == 0.79


def test_a_share_of_1_refuses_nothing() -> None:
    guard = MemoryGuard(1.0, Metrics(CollectorRegistry()), lambda: 1.0)
    guard.update()
    assert not guard.is_short


def use_memory(server: Server, part: float) -> None:
    """Let the guard of ``server`` read ``part`` now."""
    server.memory._used = lambda: part
    server.memory._read_at = float("-inf")
    server.memory.update()


def test_while_memory_is_short_new_work_is_refused_and_the_rest_goes_on(tiny_model: Path, clip: Path) -> None:
    data = clip.read_bytes()
    with (
        serving(tiny_model, memory_share=0.8) as server,
        Client(server.address) as client,
        grpc.insecure_channel(server.address) as channel,
    ):
        use_memory(server, 0.5)
        stub, jobs = face_track_pb2_grpc.FaceTrackServiceStub(channel), job_pb2_grpc.JobServiceStub(channel)
        running = stub.Track(sending(data))
        assert next(running).start.stream_id
        use_memory(server, 0.9)
        calls: dict[str, Callable[[], Any]] = {
            "Track": lambda: list(stub.Track(sending(data))),
            "TrackUri": lambda: list(stub.TrackUri(face_track_pb2.TrackUriRequest(uri="x"))),
            "Detect": lambda: stub.Detect(face_track_pb2.DetectRequest()),
            "SubmitJob": lambda: jobs.SubmitJob(job_pb2.SubmitJobRequest(uri="x")),
        }
        for call in calls.values():
            code, message, details = failure(call)
            assert (code, "memory" in message) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
            assert [d.reason for d in details if isinstance(d, error_details_pb2.ErrorInfo)] == ["MEMORY"]
            assert any(isinstance(d, error_details_pb2.RetryInfo) for d in details)
        assert client.health() == "SERVING"
        assert client.models()
        assert [message for message in running if message.HasField("end")]
        use_memory(server, 0.5)
        assert list(stub.Track(sending(data)))[-1].end.is_complete
        assert server.metrics.registry.get_sample_value("acfd_admission_rejected_total", {"reason": "memory"}) == 4
