"""Locks: one holder at a time, a file that its holder removes, and file systems without locks."""

from __future__ import annotations

import errno
import fcntl
import threading
from pathlib import Path

import pytest

from acfd_stream.errors import OutputError
from acfd_stream.files import lock_file


def test_a_lock_has_one_holder_and_is_free_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "state" / "a.lock"
    with lock_file(path) as first:
        with lock_file(path) as second:
            assert (first, second) == (True, False)
        with lock_file(path) as third:  # the one that was refused released nothing
            assert not third
    with lock_file(path) as again:
        assert again


def test_a_lock_file_that_its_holder_removed_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with lock_file(path):
        path.unlink()
        with lock_file(path) as other:
            assert other
            assert path.exists()


def test_a_patient_caller_waits(tmp_path: Path) -> None:
    path, got = tmp_path / "a.lock", threading.Event()

    def wait() -> None:
        with lock_file(path, is_patient=True) as is_ours:
            assert is_ours
            got.set()

    with lock_file(path):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not got.wait(0.1)
    waiting.join(20)
    assert got.is_set()


def test_where_there_are_no_locks_only_a_required_one_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with lock_file(tmp_path / "a.lock") as is_ours:
        assert is_ours
    with pytest.raises(OutputError, match="No locks available"), lock_file(tmp_path / "a.lock", is_required=True):
        pass
