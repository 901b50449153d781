"""The database of the jobs: what it refuses at the start, and what it stands while it is open."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from acfd_stream.errors import ConfigError
from acfd_stream.metrics import JobWait
from acfd_stream.service.jobs import database
from acfd_stream.service.jobs.database import DATABASE, LOCK
from acfd_stream.service.jobs.store import JobStore
from acfd_stream.service.jobs.waiting import StoreTrouble


def submitted(store: JobStore, request: bytes = b"a") -> str:
    return store.submit("ann", "", request, most_open=1000)[0].job_id


def test_a_lock_that_is_short_is_not_noticed(tmp_path: Path) -> None:
    with JobStore(tmp_path) as store, closing(sqlite3.connect(tmp_path / DATABASE, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.5, other.rollback)
        timer.start()
        assert submitted(store) in store.ids()
        timer.join()


def test_readers_are_quick_while_a_writer_waits(tmp_path: Path) -> None:
    with JobStore(tmp_path) as store, closing(sqlite3.connect(tmp_path / DATABASE, check_same_thread=False)) as other:
        job_id = submitted(store)
        other.execute("BEGIN IMMEDIATE")
        writer = threading.Thread(target=submitted, args=(store,))
        writer.start()
        for _ in range(3):
            began_at = time.monotonic()
            store.get(job_id)
            assert time.monotonic() - began_at < database.PATIENCE_SECONDS / 2
        other.rollback()
        writer.join(20)
        assert len(store.ids()) == 2


def test_a_store_that_is_locked_altogether_cannot_be_read_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.1)
    with JobStore(tmp_path) as before:
        job_id = submitted(before)
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with JobStore(tmp_path) as store:  # opens when it can
            with pytest.raises(StoreTrouble, match="locked"):
                store.get(job_id)
            other.close()
            assert store.get(job_id).job_id == job_id


def test_a_full_database_changes_nothing(tmp_path: Path) -> None:
    with JobStore(tmp_path) as store:
        submitted(store)
        with store._database.reading() as connection:
            connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(StoreTrouble, match=r"no space is left .* full") as caught:
            submitted(store, b"x" * 100_000)
        assert (caught.value.reason, len(store.ids())) == (JobWait.NO_ROOM, 1)


def test_a_database_that_is_removed_takes_nothing_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    with JobStore(tmp_path) as store:
        job_id = submitted(store)
        os.rename(tmp_path / DATABASE, tmp_path / "away")
        with pytest.raises(StoreTrouble, match="was removed or replaced") as caught:
            submitted(store)
        assert caught.value.reason is JobWait.STORAGE
        assert not (tmp_path / DATABASE).exists()
        os.rename(tmp_path / "away", tmp_path / DATABASE)
        assert store.ids() == {job_id}


@pytest.mark.parametrize("damage", ["no database", "a page of zeros", "cut off"])
def test_a_damaged_database_is_refused_and_stays_as_it_is(tmp_path: Path, damage: str) -> None:
    with JobStore(tmp_path) as before:
        for _ in range(200):
            submitted(before, b"x" * 1000)
    path = tmp_path / DATABASE
    whole = path.read_bytes()
    bad = {
        "no database": b"some other file of a user, which is long enough" * 1000,
        "a page of zeros": whole[:8192] + bytes(8192) + whole[16384:],
        "cut off": whole[: len(whole) // 2],
    }[damage]
    path.write_bytes(bad)
    with pytest.raises(ConfigError, match="state_dir must be a folder of this server"):
        JobStore(tmp_path)
    assert path.read_bytes() == bad
    path.write_bytes(whole)
    with JobStore(tmp_path) as again:  # the lock of the folder was given back
        assert len(again.ids()) == 200


def test_a_store_of_a_newer_program_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE)) as newer:
        newer.execute("CREATE TABLE jobs (anything)")
        newer.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match=r"format 99.*reads format 1"):
        JobStore(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as newer:
        assert newer.execute("SELECT sql FROM sqlite_schema").fetchall() == [("CREATE TABLE jobs (anything)",)]


@pytest.mark.parametrize("name", [LOCK, DATABASE])
def test_a_folder_where_a_file_should_be_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match="state_dir must be"):
        JobStore(tmp_path)


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"mine")
    with pytest.raises(ConfigError, match="state_dir must be"):
        JobStore(tmp_path / "state")
    assert (tmp_path / "state").read_bytes() == b"mine"


def test_a_closed_store_takes_nothing(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    store.close()
    with pytest.raises(StoreTrouble, match="closed"):
        submitted(store)
    shutil.rmtree(tmp_path)
    store.close()
