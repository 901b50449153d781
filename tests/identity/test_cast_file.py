"""The file of a cast: whatever is wrong with it is said in one line, and nothing is lost."""

from __future__ import annotations

import base64
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from acfd_stream.cli import main
from acfd_stream.cli.cast_names import apply_names_file
from acfd_stream.errors import AcfdError, CastError, ConfigError, MediaError, OutputError
from acfd_stream.identity.cast import database
from acfd_stream.identity.cast.cast import Cast
from acfd_stream.identity.cast.database import CastDatabase
from acfd_stream.service.access.file_watch import FileWatch
from acfd_stream.types import FloatArray
from tests.identity.made_up import HEADER, crop_of, looks, write_views

OUT_OF_RANGE = ("time = 9e999", "time = -1e300", "quality = 9e999", "quality = 1.5", "frame = -1", "track = -1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_views(tmp_path / "e1.views.ndjson", [1, 2, 3])
    with Cast.open(tmp_path / "cast.db", is_new=True) as cast:
        cast.build([tmp_path])
        cast.name(1, "Velma")
    return tmp_path / "cast.db"


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as sqlite, sqlite:
        for statement in statements:
            sqlite.execute(statement)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x99" * (len(content) - 4096)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damage, "the cast is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "the cast is damaged"),
        (lambda path: path.write_bytes(b'{"type": "header"}\n' * 99), "is not a cast; name another file"),
        (lambda path: execute(path, "PRAGMA application_id = 7"), "is not a cast; name another file"),
        (lambda path: execute(path, "PRAGMA user_version = 2"), "is a cast of format 2, and this program reads 1"),
        (lambda path: execute(path, "DROP TABLE together"), "the cast is damaged .it has other tables."),
        (lambda path: execute(path, "CREATE TRIGGER t INSERT ON views BEGIN SELECT 1; END"), ".*it has other tables"),
        *(
            (lambda path, statement=statement: execute(path, statement), rf"the cast is damaged .{reason}.*")
            for statement, reason in (
                ("UPDATE views SET embedding = 'text' WHERE id = 2", "a value in views is of"),
                ("UPDATE views SET embedding = x'0000' WHERE id = 2", "an embedding has another length"),
                (
                    "UPDATE views SET embedding = CAST(printf('%128s', '~~') AS BLOB) WHERE id = 2",
                    "an embedding is not finite",
                ),
                *((f"UPDATE views SET {value}", "a value in views is out of range") for value in OUT_OF_RANGE),
                ("UPDATE appearances SET tracks = -1 << 60", "a value in appearances is out of range"),
                ("UPDATE members SET name = hex(zeroblob(51)) WHERE id = 1", "a value in members is out of range"),
                ("UPDATE members SET name = x'ff' WHERE id = 2", "a value in members is of another type"),
                ("UPDATE members SET name = CAST(x'ff' AS TEXT) WHERE id = 2", "Could not decode to UTF-8"),
                ("UPDATE steps SET statement = x'ff'", "a value in steps is of another type"),
                ("UPDATE meta SET value = 'abc' WHERE key = 'link_similarity'", "it does not say what network"),
                ("UPDATE meta SET value = 'nan' WHERE key = 'link_similarity'", "it does not say what network"),
                ("DELETE FROM meta WHERE key = 'digest'", "it does not say what network"),
                ("DELETE FROM meta", "an embedding has another length"),
            )
        ),
    ],
)
def test_a_file_that_is_no_sound_cast_is_refused(path: Path, change: Callable[[Path], object], message: str) -> None:
    change(path)
    before = path.read_bytes()
    for is_new in (False, True):
        with pytest.raises(CastError, match=rf"cast\.db: {message}"):
            Cast.open(path, is_new=is_new)
    assert path.read_bytes() == before


def test_a_service_keeps_the_members_of_a_cast_that_becomes_damaged(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = FileWatch("members of the cast", [path], lambda: Cast.matcher_for(path, HEADER.digest, "acfd-id 1"))
    before = watch.value
    execute(path, "UPDATE views SET embedding = x'0000'")
    assert not watch.reload()
    assert watch.value is before
    assert "cast.db: the cast is damaged (an embedding has another length)" in caplog.text


def test_a_missing_file_is_made_only_on_request(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such cast; 'acfd-stream cast build RESULTS --to"):
        Cast.open(tmp_path / "cast.db")
    assert os.listdir(tmp_path) == []
    with pytest.raises(OutputError, match="cannot be opened"):
        Cast.open(tmp_path / "none" / "cast.db", is_new=True)


def test_a_build_that_fails_leaves_no_new_cast(path: Path, tmp_path: Path) -> None:
    new, deep = tmp_path / "new.db", tmp_path / "deep.views.ndjson"
    deep.write_bytes(b"[")
    before = path.read_bytes()
    for results in ("missing.jsonl", str(deep)):
        for to in (new, path):
            assert main(["cast", "build", results, "--to", str(to)]) != 0
    assert sorted(os.listdir(tmp_path)) == ["cast.db", "deep.views.ndjson", "e1.views.ndjson"]
    assert path.read_bytes() == before


def test_embeddings_of_another_network_are_refused(path: Path, tmp_path: Path) -> None:
    other = write_views(
        tmp_path / "new/e2.views.ndjson", [1], header=replace(HEADER, model_version="2", digest="cd" * 32)
    )
    with Cast.open(path) as cast:
        for call in (lambda: cast.build([other]), lambda: cast.names(other)):
            with pytest.raises(
                CastError,
                match=r"has embeddings of acfd-id 1 \(abababababab\), and \S+ has those of acfd-id 2 \(cdcd.*rebuild",
            ):
                call()
        assert cast.undo() == "name member 1 'Velma'"  # the refused change is none
    with pytest.raises(CastError, match="and this run uses acfd-id 2"):
        Cast.matcher_for(path, "cd" * 32, "acfd-id 2")
    assert len(Cast.matcher_for(path, HEADER.digest, "acfd-id 1").prototypes) == 3


def test_a_views_file_of_another_length_or_of_deep_lines_is_named(path: Path, tmp_path: Path) -> None:
    other, deep = tmp_path / "new/e2.views.ndjson", tmp_path / "new/deep.views.ndjson"
    lines = write_views(other, [1]).read_bytes().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows[1:-1]:
        row["embedding"] = base64.b64encode(np.ones(8, "<f2").tobytes()).decode()
    other.write_text("".join(json.dumps(row) + "\n" for row in rows))
    deep.write_bytes(lines[0] + b"\n" + b"[" * 200_000)
    with Cast.open(path) as cast:
        for file, message in (
            (other, r"e2\.views\.ndjson: its embeddings have a length of 8, and those of the cast 64"),
            (deep, r"deep\.views\.ndjson: is not a views file of version 1"),
        ):
            for call in (lambda file=file: cast.build([file]), lambda file=file: cast.names(file)):
                with pytest.raises(MediaError, match=message):
                    call()
        assert cast.undo() == "name member 1 'Velma'"


def test_a_names_file_of_deep_lists_is_named(path: Path, tmp_path: Path) -> None:
    deep = tmp_path / "deep.json"
    deep.write_bytes(b"[" * 200_000)
    with Cast.open(path) as cast, pytest.raises(MediaError, match=r"deep\.json: is no file of names"):
        apply_names_file(cast, deep, None)


class Network:
    """An embedding network that sees the mean colour."""

    name, version, digest, link_similarity = "acfd-id", "2", "cd" * 32, 0.25

    def embed(self, crops: NDArray[np.uint8]) -> FloatArray:
        assert crops.shape[1:] == (144, 144, 3)
        colors = crops.mean(axis=(1, 2)).astype(np.float32)
        return colors / np.linalg.norm(colors, axis=1, keepdims=True)


def test_rebuild_embeds_the_crops_with_another_network(path: Path) -> None:
    execute(path, "UPDATE views SET crop = x'ffd8' WHERE id = 1")
    with Cast.open(path) as cast:
        before = [view.embedding.tolist() for view in cast.views(2)]
        assert cast.rebuild(Network()) == 1
        assert cast.about() == {
            "model": "acfd-id",
            "model_version": "2",
            "digest": "cd" * 32,
            "link_similarity": "0.25",
            "dimensions": "3",
        }
        assert {view.embedding.shape for view in cast.views(1)} == {(3,)}
        assert cast.find("Velma") == 1
        assert cast.undo() == "rebuild"
        assert [view.embedding.tolist() for view in cast.views(2)] == before
        assert len(cast.views(1)) == 5


def test_numbers_that_sqlite_cannot_hold_are_unknown(path: Path) -> None:
    with Cast.open(path) as cast:
        for who in ("9" * 23, "1" * 5000):
            with pytest.raises(ConfigError, match=r"has no member \d{23,100};"):
                cast.find(who)
        assert cast.find("0" * 5000 + "1") == 1
        with pytest.raises(ConfigError, match=r"member 1 is not in e1\.views\.ndjson as character 9"):
            cast.split(1, source="e1.views.ndjson", character=int("9" * 20))
        with pytest.raises(ConfigError, match="views must be some"):
            cast.split(1, views=[int("9" * 20)])


def test_two_processes_that_change_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other, Cast.open(path) as cast:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OutputError, match=r"cast\.db: another process is changing the cast; try again"):
            cast.name(2, "Fred")
        assert [member.name for member in cast.members()] == ["Velma", "", ""]  # reading goes on
        other.execute("ROLLBACK")
        cast.name(2, "Fred")
        with Cast.open(path) as second:  # each sees what the other did
            second.name(3, "Shaggy")
        assert [member.name for member in cast.members()] == ["Velma", "Fred", "Shaggy"]


def test_a_cast_that_changes_while_it_is_opened_is_sound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = CastDatabase.rows

    def rows(self: CastDatabase, query: str, *values: object) -> list[tuple[object, ...]]:
        found = read(self, query, *values)
        if query == "SELECT key, value FROM meta":
            with closing(sqlite3.connect(path, timeout=0.0)) as other:
                other.execute("UPDATE views SET embedding = x'0000'")  # as a rebuild does, with other meta
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    other.commit()
        return found

    monkeypatch.setattr(CastDatabase, "rows", rows)
    Cast.open(path).close()


def test_processes_that_name_at_once_lose_nothing(path: Path) -> None:
    code = """
import sys
from acfd_stream.identity.cast.cast import Cast
from acfd_stream.identity.cast.database import CastDatabase
with Cast.open(sys.argv[1]) as cast:
    sys.stdin.readline()
    for number in range(20):
        cast.name(int(sys.argv[2]), f"member {sys.argv[2]}, {number}")
"""
    calls = [
        subprocess.Popen([sys.executable, "-c", code, path, str(member)], stdin=subprocess.PIPE) for member in (2, 3)
    ]
    for call in calls:
        assert call.stdin is not None
        call.stdin.write(b"go\n")
        call.stdin.flush()
    for call in calls:
        call.communicate()
    assert [call.returncode for call in calls] == [0, 0]
    with Cast.open(path) as cast:
        assert [member.name for member in cast.members()] == ["Velma", "member 2, 19", "member 3, 19"]
        undone = []
        while (what := cast.undo()) is not None:
            undone.append(what)
        assert len(undone) == 10
        assert all(what.startswith(("name member 2", "name member 3")) for what in undone)


def test_a_kill_in_mid_change_loses_only_that_change(path: Path) -> None:
    code = """
import os, signal, sys
from acfd_stream.identity.cast.cast import Cast
from acfd_stream.identity.cast.database import CastDatabase
cast = Cast.open(sys.argv[1])
with cast._database.change("half"):
    cast._database.run("PRAGMA cache_size = 1")
    for number in range(2000):
        cast._database.run("UPDATE views SET crop = zeroblob(9000)")
        if number == 20:
            os.kill(os.getpid(), signal.SIGKILL)
"""
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.with_name("cast.db-journal").exists()  # the file was being written
    with Cast.open(path) as cast:
        assert cast.undo() == "name member 1 'Velma'"
        cast.name(1, "Velma")
    assert len(path.read_bytes()) >= len(before)


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH 'stolen.db' AS s",
        "DROP TABLE views",
        "DELETE FROM steps",
        "SELECT load_extension('x')",
        "PRAGMA user_version = 9",
        "no statement",
    ],
)
def test_a_forged_log_of_changes_does_nothing(path: Path, statement: str) -> None:
    execute(path, f"""UPDATE steps SET statement = '{statement.replace("'", "''")}'""")
    with Cast.open(path) as cast:
        with pytest.raises(CastError, match="the cast is damaged"):
            cast.undo()
        assert cast.find("Velma") == 1
        cast.name(1, "Daphne")  # and it can still be changed
    assert not Path("stolen.db").exists()


def test_a_full_disk_changes_nothing(path: Path) -> None:
    with Cast.open(path) as cast:
        cast._database.run(f"PRAGMA max_page_count = {cast._database.value('PRAGMA page_count')}")
        with pytest.raises(
            OutputError, match="the cast cannot be written: database or disk is full; nothing was changed"
        ):
            cast.forget(1, 2)
        assert [member.number for member in cast.members()] == [1, 2, 3]
        assert cast.undo() == "name member 1 'Velma'"


def test_a_cast_that_may_not_be_written_can_be_read(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everything")
    path.chmod(0o444)
    with Cast.open(path) as cast:
        assert cast.find("Velma") == 1
        with pytest.raises(AcfdError, match="the cast cannot be written"):
            cast.name(1, "Daphne")


def test_a_copy_has_the_members_as_they_were(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(b"something old")
    with Cast.open(path) as cast:
        cast.copy_to(copy)
        cast.name(1, "Daphne")
    with Cast.open(copy) as cast:
        assert cast.find("Velma") == 1
        assert cast.undo() is None
        assert cast.match(looks(2, seed=3)) is not None


def test_forgotten_pictures_leave_the_file_after_ten_changes(path: Path) -> None:
    picture = crop_of(2)
    with Cast.open(path) as cast:
        cast.forget(2)
        assert is_in(picture, path)  # the log of changes has it
        for number in range(10):
            cast.name(3, f"Fred {number}")
    assert is_in(crop_of(3), path)
    assert not is_in(picture, path)


def test_a_copy_has_no_forgotten_pictures(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with Cast.open(path) as cast:
        cast._database.run("PRAGMA secure_delete = OFF")  # as it was when an older version wrote the file
        cast.forget(2)
        cast.copy_to(copy)
    assert is_in(crop_of(2), path)
    assert is_in(crop_of(3), copy)
    assert not is_in(crop_of(2), copy)
    with Cast.open(copy) as cast:
        cast.build([write_views(tmp_path / "e2.views.ndjson", [7])])
        assert [member.number for member in cast.members()] == [1, 3, 4]


def is_in(picture: bytes, path: Path) -> bool:
    """Whether an SQLite file has a picture, or its digits.

    Long values are on chains of pages, whose first four bytes name the next one.
    """
    content = path.read_bytes()
    joined = b"".join(content[begin + 4 : begin + 4096] for begin in range(0, len(content), 4096))
    return picture in joined or picture.hex().upper().encode() in joined


def test_the_log_holds_no_pictures_that_came_and_went_in_one_change(tmp_path: Path) -> None:
    files = [write_views(tmp_path / f"e{number}.views.ndjson", [1], seed=number, count=9) for number in range(9)]
    with Cast.open(tmp_path / "cast.db", is_new=True) as cast:
        cast.build(files)
        statements = [statement for (statement,) in cast._database.rows("SELECT statement FROM steps")]
        assert {statement.split()[0] for statement in statements} == {"DELETE"}
        assert cast.undo() == "add 9 videos"
        assert (cast.members(), cast.about(), cast._database.value("SELECT COUNT(*) FROM views")) == ([], {}, 0)
