"""A library that an output takes is missed before the night begins."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Never

import pytest

from acfd_stream.archive.options import ArchiveOptions
from acfd_stream.archive.run import ArchiveRun
from acfd_stream.errors import BackendUnavailable


def start_workers(episodes: int) -> Never:
    raise AssertionError("nobody is to be called to work")


def test_parquet_without_its_library_is_refused_before_anything_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    call = ArchiveOptions((str(tmp_path / "videos"),), tmp_path / "out", ("jsonl", "vtt", "parquet"))
    with pytest.raises(BackendUnavailable, match=r"pip install 'acfd-stream\[parquet\]'"):
        ArchiveRun(call, start_workers).run()
    assert list(tmp_path.iterdir()) == []
