"""Which callers may fill the machine with live streams alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from acfd_stream.service.access.token_file import add_token
from acfd_stream.service.server import Server
from acfd_stream.service.settings import AccessConfig, CallerSettings, ServiceSettings

SHARE = CallerSettings(load_share=0.5)


@pytest.mark.parametrize(
    ("listen", "tokens", "share"),
    [
        ("127.0.0.1:0", 0, 1.0),
        ("unix:/tmp/socket", 0, 1.0),
        ("0.0.0.0:0", 0, 0.5),
        ("[::]:0", 0, 0.5),
        ("0.0.0.0:0", 1, 1.0),
        ("127.0.0.1:0", 2, 0.5),
    ],
)
def test_a_share_is_kept_where_there_can_be_others(tmp_path: Path, listen: str, tokens: int, share: float) -> None:
    file = tmp_path / "tokens.toml"
    for number in range(tokens):
        add_token(file, f"caller{number}")
    access = AccessConfig(tokens=file) if tokens else AccessConfig()
    server = Server(replace(ServiceSettings(listen=listen, access=access), callers=SHARE))
    assert server._live_share() == share
