"""A cast whose file somebody removes or replaces while it is open, and a new one that nobody changes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from acfd_stream.errors import OutputError
from acfd_stream.identity.cast.cast import Cast
from acfd_stream.identity.cast.database import CastDatabase
from tests.identity.made_up import write_views


def copied(path: Path) -> None:
    shutil.copy(path, path.with_name("copy.db"))
    path.with_name("copy.db").replace(path)


@pytest.mark.parametrize("change", [Path.unlink, copied])
def test_no_change_gets_into_a_file_that_has_no_name_any_more(tmp_path: Path, change: Callable[[Path], None]) -> None:
    views = write_views(tmp_path / "e1.views.ndjson", [1])
    with Cast.open(tmp_path / "cast.db", is_new=True) as cast:
        cast.build([views])
        change(tmp_path / "cast.db")
        for call in (lambda: cast.name(1, "Velma"), cast.undo):
            with pytest.raises(OutputError, match=r"cast\.db: another process has removed or replaced the cast"):
                call()
        assert [member.name for member in cast.members()] == [""]


def test_a_new_cast_that_nobody_changes_is_removed_by_who_made_it(tmp_path: Path) -> None:
    path = tmp_path / "cast.db"
    with Cast.made(path):
        with suppress(KeyError), Cast.made(path):
            raise KeyError
        assert path.exists()
    assert os.listdir(tmp_path) == []
    with Cast.made(path), Cast.open(path) as other:
        other.build([write_views(tmp_path / "e1.views.ndjson", [1])])
    with Cast.open(path) as cast:
        assert len(cast.members()) == 1


def test_a_cast_that_is_removed_while_it_is_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = CastDatabase._check

    def removed(self: CastDatabase, is_new: bool) -> None:
        check(self, is_new)
        self.path.unlink()

    monkeypatch.setattr(CastDatabase, "_check", removed)
    with pytest.raises(OutputError, match=r"cast\.db: another process has removed the cast; try again"):
        Cast.open(tmp_path / "cast.db", is_new=True)
