"""Drawn clips, made once; a service that tests share; a clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acfd_stream.service.server import Server
from tests.clock import Clock
from tests.service.rig import serving, write_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mkv")


@pytest.fixture(scope="session")
def other_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "other.mkv", size=(144, 208), rate=30, frames=75)


@pytest.fixture(scope="module")
def server(tiny_model: Path) -> Iterator[Server]:
    with serving(tiny_model) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()
