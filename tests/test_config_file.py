"""Settings that no program expects: each is one ConfigError, and none is waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from acfd_stream.config import DetectConfig, VideoConfig
from acfd_stream.config_file import MOST_BYTES, parse_toml, read_config_file
from acfd_stream.errors import ConfigError
from acfd_stream.service.access.token_file import read_grants
from acfd_stream.service.access.token_signer import read_secrets
from acfd_stream.service.settings import ServiceSettings, read_settings
from acfd_stream.wire.channel import KeepaliveConfig

LONG = "1" + "0" * 400
DEEP = 20_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x = " + b"[" * DEEP, "nested too deep"),
        (b"x = " + b"{a=" * DEEP, "nested too deep"),
        (b"x = " + b"9" * 5000, "is not TOML"),
        (b"listen = 'a'\nlisten = 'b'\n", "is not TOML"),
        (b"a\0 = 1", "is not TOML"),
        ("listen = 'é'".encode("latin-1"), "is not UTF-8"),
        ("listen = 'a'".encode("utf-16"), "is not UTF-8"),
        (b"[keepalive]\nping_seconds = inf\n", "ping_seconds"),
        (b"[keepalive]\nping_seconds = nan\n", "ping_seconds"),
        (b"[keepalive]\nstrikes = 9999999999\n", "strikes"),
        (f"objective_seconds = {LONG}\n".encode(), "objective_seconds"),
        (f"[limits]\nframe_pixels = {LONG}\n".encode(), "frame_pixels"),
        (b"objective_seconds = 1e300\n", "objective_seconds"),
        (b"[limits]\nstreams = 0x" + b"f" * 5000 + b"\n", "streams"),
        (b"[limits]\nstreams." + b".".join([b"a"] * DEEP) + b" = 1\n", "streams"),
        (b'model = "a\\u0000b"\n', "without NUL"),
        (b'[access]\ntokens = "a\\u0000b"\n', "without NUL"),
        (b'[sources]\nfolders = ["/a\\u0000b"]\n', "without NUL"),
    ],
)
def test_odd_settings_are_one_short_error(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "serve.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        read_settings(path)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("read", [read_settings, read_grants, read_secrets])
def test_what_is_no_file_is_refused_without_a_wait(tmp_path: Path, read: object) -> None:
    pipe, folder, large = tmp_path / "pipe", tmp_path / "folder", tmp_path / "large"
    os.mkfifo(pipe)
    folder.mkdir()
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    for path, words in [(pipe, "is a pipe"), (folder, "directory"), (large, "larger than"), (Path("a\0b"), "null")]:
        with pytest.raises(ConfigError, match=words):
            read(path)  # type: ignore[operator]


def test_an_ordinary_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content := b"a = 1\n" * 100_000)
    assert read_config_file(path, "a file") == content
    assert parse_toml(b"a = 1", "a file") == {"a": 1}
    assert read_config_file(Path(os.devnull), "nothing") == b""


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 10**400, -(10**400), 1e300])
def test_no_number_out_of_range_gets_into_settings(number: float) -> None:
    with pytest.raises(ConfigError):
        VideoConfig(url_timeout_seconds=number)
    with pytest.raises(ConfigError):
        VideoConfig(start_seconds=number)
    with pytest.raises(ConfigError):
        DetectConfig(threads=number)  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        KeepaliveConfig(timeout_seconds=number)
    with pytest.raises(ConfigError):
        ServiceSettings(drain_seconds=number)
