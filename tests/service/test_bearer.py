from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from acfd_stream.errors import ConfigError
from acfd_stream.service.access.token_file import RIGHTS, TokenFile, add_token, digest, parse_duration, read_grants

HASH = "0" * 64


def test_a_new_token_is_found_by_itself_and_the_file_does_not_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    token = add_token(path, "studio", streams=2, rights=("track", "detect"))
    grant = TokenFile(path).find(token)
    assert grant is not None
    assert (grant.name, grant.streams, grant.rights) == ("studio", 2, ("track", "detect"))
    assert token not in path.read_text()
    assert digest(token) in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


def test_what_a_person_wrote_in_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(f'# ours\n[[token]]\nname = "old"\nsha256 = "{HASH}"\n')
    add_token(path, "new", expires=datetime(2030, 1, 1, tzinfo=UTC))
    assert path.read_text().startswith("# ours\n")
    old, new = read_grants(path)
    assert (old.name, old.streams, old.rights) == ("old", None, RIGHTS)
    assert new.expires == datetime(2030, 1, 1, tzinfo=UTC)


def test_a_name_is_given_once(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    add_token(path, "studio")
    before = path.read_text()
    with pytest.raises(ConfigError, match="already has a token studio"):
        add_token(path, "studio")
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("token = 3", "tables and nothing else"),
        ("[server]\na = 1", "tables and nothing else"),
        ("[[token]", "is not TOML"),
        (f'[[token]]\nsha256 = "{HASH}"', "has no name"),
        ('[[token]]\nname = "a"\nsha256 = "abc"', "64 hex digits"),
        (f'[[token]]\nname = "a b"\nsha256 = "{HASH}"', "token name must be"),
        (f'[[token]]\nname = "a"\nsha256 = "{HASH}"\nstreams = 0', ">= 1"),
        (f'[[token]]\nname = "a"\nsha256 = "{HASH}"\nstreams = true', ">= 1"),
        (f'[[token]]\nname = "a"\nsha256 = "{HASH}"\nrights = ["all"]', "a list of track"),
        (f'[[token]]\nname = "a"\nsha256 = "{HASH}"\nexpires = 2030-01-01', "date-time with its zone"),
        (f'[[token]]\nname = "a"\nsha256 = "{HASH}"\ntoken = "x"', "has no setting token"),
        (f'[[token]]\nname = "a"\nsha256 = "{HASH}"\n' * 2, "more than one token a"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        TokenFile(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_complaint_never_holds_what_might_be_a_token(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text('[[token]]\nname = "a"\nsha256 = "acfd_a-token-in-the-wrong-place"')
    with pytest.raises(ConfigError) as caught:
        read_grants(path)
    assert "wrong-place" not in str(caught.value)


def test_a_file_that_turns_bad_leaves_the_old_grants_in_use(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    first = add_token(path, "first")
    tokens = TokenFile(path)
    good = path.read_text()
    path.write_text("[[token]")
    tokens.reload()
    assert tokens.find(first) is not None
    path.write_text(good)
    second = add_token(path, "second")
    tokens.reload()
    assert tokens.find(second) is not None


def test_a_file_that_changes_is_read_again_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokens.toml"
    token = add_token(path, "studio")
    monkeypatch.setattr("acfd_stream.service.access.file_watch.CHECK_SECONDS", 0.0)
    tokens = TokenFile(path)
    assert tokens.find(token) is not None
    path.write_text("")
    os.utime(path, ns=(1, 1))
    assert tokens.find(token) is None


@pytest.mark.parametrize(("text", "days"), [("30d", 30), ("2w", 14), ("48h", 2)])
def test_a_duration_is_a_number_with_a_unit(text: str, days: int) -> None:
    assert parse_duration(text) == timedelta(days=days)


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5h", "30 d", "1y"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="as 30d"):
        parse_duration(text)
