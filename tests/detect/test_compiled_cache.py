from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from acfd_stream.config import cache_dir
from acfd_stream.networks.compiled_cache import KEPT_FILES, CompiledCache
from tests.detect.openers import open_runner
from tests.detect.tiny_model import white_square

SQUARE = white_square((64, 64), 12, 12, 32)[None]


def test_what_is_stored_comes_back_under_its_key_only(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path / "new" / "folder")
    cache.store(b"blob", "a", (64, 64))
    assert cache.load("a", (64, 64)) == b"blob"
    assert cache.load("a", (64, 96)) is None


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_file_counts_as_none(tmp_path: Path, damage: bytes | None) -> None:
    cache = CompiledCache(tmp_path)
    cache.store(b"blob" * 100, "a")
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1] if damage is None else damage)
    assert cache.load("a") is None


def test_the_folder_holds_a_bounded_number_of_files(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path)
    for number in range(KEPT_FILES + 5):
        cache.store(b"blob", number)
    assert len(list(tmp_path.iterdir())) == KEPT_FILES


def test_what_is_used_outlasts_what_was_stored_after_it(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path)
    for number in range(KEPT_FILES):
        cache.store(b"blob", number)
        (path,) = (path for path in tmp_path.iterdir() if path.stat().st_atime > KEPT_FILES)
        os.utime(path, (number, number))
    assert cache.load(0) == b"blob"
    cache.store(b"blob", "new")
    assert [cache.load(key) is not None for key in (0, 1, 2, "new")] == [True, False, True, True]


def test_what_a_killed_process_left_goes_in_time(tmp_path: Path) -> None:
    for name, modified in (("killed.part", 1.0), ("busy.part", None)):
        (tmp_path / name).touch()
        if modified is not None:
            os.utime(tmp_path / name, (modified, modified))
    CompiledCache(tmp_path).store(b"blob", "a")
    assert [path.name for path in tmp_path.glob("*.part")] == ["busy.part"]


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("ACFD_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setattr(Path, "home", homeless)
    assert cache_dir() is None
    cache = CompiledCache(None)
    cache.store(b"blob", "a")
    assert cache.load("a") is None


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = CompiledCache(tmp_path / "file" / "cache")
    cache.store(b"blob", "a")
    assert cache.load("a") is None


def test_writers_at_once_leave_whole_files_only(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path)
    writers = [threading.Thread(target=cache.store, args=(b"blob" * 10_000, "a")) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert cache.load("a") == b"blob" * 10_000
    assert len(list(tmp_path.iterdir())) == 1


def test_a_second_runner_starts_from_the_cache_with_the_same_scores(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACFD_CACHE_DIR", str(tmp_path))
    first = open_runner(tiny_model)
    scores = first.run(SQUARE)[0]
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(written) == 2  # that the file is fit for us, and what is compiled
    second = open_runner(tiny_model)
    assert np.array_equal(second.run(SQUARE)[0], scores)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written
    first.close()
    second.close()


def test_an_unusable_blob_is_compiled_again(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACFD_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(CompiledCache, "load", lambda *_: b"whole, but of another runtime")
    runner = open_runner(tiny_model)
    assert runner.run(SQUARE)[0].max() > 0.9
    runner.close()
