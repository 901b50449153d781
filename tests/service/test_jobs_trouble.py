"""What callers hear of a job store in trouble and of results that changed, and a server on a disk that is full."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from acfd_stream.service.jobs import database
from acfd_stream.service.jobs.database import DATABASE
from acfd_stream.v1 import job_pb2
from tests.service import full_disk
from tests.service.rig import failure
from tests.service.test_jobs_calls import LineWork, Service

SUFFIXES = ("start", "results", "end")


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.1)
    opened = Service(LineWork(), folder=tmp_path)
    yield opened
    opened.close()


def results_of(service: Service, job_id: str) -> Path:
    assert [message.WhichOneof("response") for message in service.results(job_id)][-1] == "end"
    folder = service.fixture.results._folder
    assert folder is not None
    return folder / f"{job_id}.jsonl"


def test_a_store_that_is_locked_asks_callers_to_come_back(service: Service, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE)) as other:
        other.execute("BEGIN IMMEDIATE")
        code, text, details = failure(lambda: service.submit("3", "k"))
        assert (code, "locked" in text) == (grpc.StatusCode.UNAVAILABLE, True)
        assert any(isinstance(detail, error_details_pb2.RetryInfo) for detail in details)
    assert service.submit("3", "k").state == job_pb2.JOB_STATE_QUEUED


def test_a_full_disk_asks_callers_to_come_back(service: Service) -> None:
    service.submit("3")
    with service.fixture.store._database.reading() as connection:
        connection.execute("PRAGMA max_page_count = 1")
    code, text, details = failure(lambda: service.submit("3", resume_token=b"x" * 60_000))
    assert (code, "full" in text) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
    assert any(isinstance(detail, error_details_pb2.RetryInfo) for detail in details)
    assert len(service.fixture.store.ids()) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda data: re.sub(rb'"pts": ?(\d+)', lambda found: found[0][:-1] + b"7", data),
        lambda data: re.sub(rb'("index": ?)30,', rb"\g<1>31,", data),
        lambda data: data[: len(data) // 2],
        lambda data: data + data.splitlines(keepends=True)[5],
        lambda data: b"\0" * len(data),
        lambda data: b"",
    ],
    ids=["digits", "a digit", "cut off", "a line more", "zeros", "empty"],
)
def test_results_that_changed_are_data_loss(service: Service, change: Callable[[bytes], bytes]) -> None:
    job_id = service.submit("40").job_id
    path = results_of(service, job_id)
    path.write_bytes(change(path.read_bytes()))
    frames: list[int] = []

    def read() -> None:
        for message in service.results(job_id):
            frames.extend(frame.index for frame in message.results.frames)

    code, text, _ = failure(read)
    assert (code, frames) == (grpc.StatusCode.DATA_LOSS, [])
    assert "submit the video again" in text


@pytest.mark.parametrize("bad", [b"[]\n", b"{}\n", b'{"type":"frame","index":3}\n', b"not json\n"])
def test_damage_in_results_without_digests_is_data_loss_all_the_same(service: Service, bad: bytes) -> None:
    job_id = service.submit("40").job_id
    path = results_of(service, job_id)
    with service.fixture.store._database.writing() as connection:
        connection.execute("DELETE FROM digests")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:20], bad, *lines[20:]]))
    with service.fixture.store._database.writing() as connection:
        connection.execute("UPDATE jobs SET result_bytes = ?", (path.stat().st_size,))
    assert failure(lambda: list(service.results(job_id)))[0] is grpc.StatusCode.DATA_LOSS


def test_results_of_before_there_were_digests_are_read(service: Service) -> None:
    job_id = service.submit("40").job_id
    results_of(service, job_id)
    with service.fixture.store._database.writing() as connection:
        connection.execute("DELETE FROM digests")
    frames = [frame for message in service.results(job_id) for frame in message.results.frames]
    assert len(frames) == 40


@pytest.mark.parametrize("moment", full_disk.MOMENTS)
def test_a_full_disk_costs_no_job(tmp_path: Path, moment: str) -> None:
    """In a mount namespace of its own, with a small disk that fills up at ``moment``."""
    mount = f'mount -t tmpfs -o size={full_disk.DISK_BYTES} tmpfs "{tmp_path}" && exec "$@"'
    command = ["sh", "-c", mount, "sh", sys.executable, "-m", full_disk.__name__, str(tmp_path), moment]
    for namespace in (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"]):
        with suppress(OSError):
            tried = subprocess.run([*namespace, "sh", "-c", mount, "sh", "true"], capture_output=True, check=False)
            if tried.returncode == 0:
                break
    else:
        pytest.skip("no mount namespace may be made here")
    done = subprocess.run([*namespace, *command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "states": ["done", "done"],
        "are_whole": [True, True],
        "waits": 0,
        "tracebacks": 0,
    }
