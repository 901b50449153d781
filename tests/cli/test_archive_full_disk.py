"""A disk that is full at any moment, also between two kills: the run waits, says so, and ends with the same bytes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.cli.test_archive import Archive, Long, begun, long_film, until

__all__ = ["long_film"]
MOUNT = 'mount -t tmpfs -o size=3m tmpfs "$1" && echo ready && exec sleep 600'


@dataclass(frozen=True)
class Disk:
    """A file system of 3 MiB in a namespace of its own."""

    place: Path  # inside
    outside: Path  # the same, seen from here
    enter: tuple[str, ...]  # what a command begins with

    def started(self, arguments: list[str]) -> subprocess.Popen[str]:
        command = [*self.enter, sys.executable, "-m", "acfd_stream.cli", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True, start_new_session=True, **pipes)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """The disk, as long as the test runs."""
    place = tmp_path / "disk"
    place.mkdir()
    is_root = os.geteuid() == 0
    namespace = ["unshare", "--mount"] if is_root else ["unshare", "--user", "--map-root-user", "--mount"]
    with subprocess.Popen(
        [*namespace, "sh", "-c", MOUNT, "sh", str(place)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as holder:
        try:
            if holder.stdout is None or holder.stdout.readline() != "ready\n":
                pytest.skip("no file system may be mounted here")
            enter = ["nsenter", f"--target={holder.pid}", "--mount", f"--wdns={tmp_path}"]
            enter += [] if is_root else ["--user", "--preserve-credentials"]
            yield Disk(place, Path(f"/proc/{holder.pid}/root{place}"), tuple(enter))
        finally:
            holder.kill()


@pytest.fixture
def archive(long_film: Long, disk: Disk) -> Archive:
    """An archive of the long film whose OUT is on the small disk, as commands name it."""
    return replace(long_film.archive, out=disk.place / "out")


@pytest.fixture
def seen(archive: Archive, disk: Disk) -> Archive:
    """The same, as it is seen from here."""
    return replace(archive, out=disk.outside / "out")


@contextlib.contextmanager
def full(disk: Disk) -> Iterator[None]:
    """Inside, the disk has no room."""
    path = disk.outside / "filled"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        path.unlink()


def paused(run: subprocess.Popen[str]) -> str:
    """Waits for the event of a log that says why the run waits; the reason."""
    assert run.stdout is not None
    for line in run.stdout:
        event = json.loads(line)
        if event["event"] == "paused":
            return str(event["reason"])
    raise AssertionError(run.communicate())


def test_a_run_over_a_full_disk_waits_is_killed_waits_again_and_goes_on(
    archive: Archive, seen: Archive, disk: Disk, long_film: Long
) -> None:
    call = archive.arguments("--log-json", "--outputs", "jsonl,vtt,report")
    run = disk.started(call)
    until(begun(seen), run)
    with full(disk):
        assert "No space left on device" in paused(run)
        status = disk.started(["archive", "status", str(archive.out)])
        assert "the run waits: cannot write" in status.communicate(timeout=60)[0]
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        run = disk.started(call)
        paused(run)
    out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    assert "resumed" in out
    results = seen.results()
    assert results["long.mkv.jsonl"] == long_film.tracked
    assert results.keys() == {"long.mkv.jsonl", "long.mkv.vtt", "long.mkv.report.html", "index.html"}
    assert list((seen.out / ".acfd" / "parts").iterdir()) == []


def test_a_run_that_waits_ends_at_once_on_ctrl_c(archive: Archive, seen: Archive, disk: Disk) -> None:
    run = disk.started(archive.arguments("--log-json"))
    until(begun(seen), run)
    with full(disk):
        paused(run)
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)
        assert run.returncode == 130
    run = disk.started(archive.arguments("--log-json"))
    run.communicate(timeout=300)
    assert run.returncode == 0


def test_a_limit_of_the_wait_ends_the_run(archive: Archive, disk: Disk) -> None:
    with full(disk):
        run = disk.started(archive.arguments("--wait-for-room", "0.5"))
        _, err = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "No space left on device" in err
