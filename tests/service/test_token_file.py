"""Changes of the token file: all tokens count, the file stays whole, and it keeps its owner, its mode and its link."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from acfd_stream.errors import ConfigError
from acfd_stream.service.access.token_file import add_token, digest, read_grants


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.toml"


def test_tokens_that_are_added_at_once_all_count(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from acfd_stream.service.access.token_file import add_token\n"
        "for name in sys.argv[2:]: print(add_token(Path(sys.argv[1]), name))"
    )
    calls = [[sys.executable, "-c", program, str(path), *(f"{i}-{j}" for j in range(10))] for i in range(4)]
    started = [subprocess.Popen(call, stdout=subprocess.PIPE, text=True) for call in calls]
    printed = [token for one in started for token in one.communicate()[0].split()]
    assert [one.returncode for one in started] == [0] * 4
    assert len(printed) == 40
    assert {grant.sha256 for grant in read_grants(path)} == set(map(digest, printed))
    assert os.listdir(path.parent) == [path.name]


def test_threads_that_add_one_name_make_one_token(path: Path) -> None:
    def add(_: int) -> bool:
        try:
            return bool(add_token(path, "studio"))
        except ConfigError:
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(add, range(8))) == 1


@pytest.mark.parametrize("mode", [0o640, 0o400, 0o644])
def test_mode_owner_and_link_stay(tmp_path: Path, path: Path, mode: int) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "real.toml"
    target.write_text("# kept\n")
    target.chmod(mode)
    path.symlink_to(target)
    if os.geteuid() == 0:
        os.chown(target, 10001, 10002)
    before = target.stat()
    add_token(path, "studio")
    after = target.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (before.st_uid, before.st_gid, mode)
    assert path.is_symlink()
    assert target.read_text().startswith("# kept\n")
    assert [grant.name for grant in read_grants(path)] == ["studio"]


def test_a_new_file_is_for_its_owner_alone(path: Path) -> None:
    add_token(path, "studio")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_change_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    add_token(path, "studio")
    before = path.read_bytes()

    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(ConfigError, match=r"cannot write token file .*No space left"):
        add_token(path, "other")
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_who_cannot_keep_the_owner_changes_nothing(path: Path) -> None:
    add_token(path, "studio")
    path.chmod(0o644)
    path.parent.chmod(0o777)
    before = path.read_bytes()
    os.seteuid(10001)
    try:
        with pytest.raises(ConfigError, match="cannot write token file"):
            add_token(path, "other")
    finally:
        os.seteuid(0)
    assert path.read_bytes() == before
    assert path.stat().st_uid == 0


@pytest.mark.parametrize("content", [b"no toml", b"x = " + b"[" * 20_000, b"\xff\xfe", b"[[token]]\nname = 1\n"])
def test_a_file_that_is_not_valid_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        add_token(path, "studio")
    assert path.read_bytes() == content
