"""What callers hear of a job store in trouble, and a server on a disk that is full."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
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


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.1)
    opened = Service(LineWork(), folder=tmp_path)
    yield opened
    opened.close()


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
