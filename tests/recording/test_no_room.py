"""A full disk at any moment costs work and nothing else, also with kills in between."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from acfd_stream.recording import lines
from acfd_stream.recording.episode import clear_state, record_episode
from acfd_stream.recording.task import RecordingState, RecordingTask
from tests.pipeline.conftest import write_clip
from tests.pipeline.square_finder import SquareFinder
from tests.recording.victim import outputs_of

OUTPUTS = ("mot", "vtt", "thumbnails", "report")


class Disk:
    """Is full at one call of a function that needs room, and from then on until it is emptied."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
        self.calls, self.full_at, self.errors = 0, -1, 0
        call: Callable[..., Any] = getattr(os, name)

        def limited(*arguments: Any, **more: Any) -> Any:
            self.calls += 1
            if 0 <= self.full_at < self.calls:
                self.errors += 1
                raise OSError(number, os.strerror(number))
            return call(*arguments, **more)

        monkeypatch.setattr(os, name, limited)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mkv")


@pytest.mark.parametrize(
    ("name", "number"), [("fsync", errno.ENOSPC), ("replace", errno.EDQUOT), ("open", errno.EMFILE)]
)
def test_a_shortage_at_every_call_changes_no_byte(
    name: str, number: int, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = RecordingTask("key", str(clip), "show/clip.mkv", tmp_path / "whole", OUTPUTS, checkpoint_seconds=60)
    disk = Disk(monkeypatch, name, number)
    assert record_episode(task, SquareFinder()).state is RecordingState.DONE
    expected, calls = outputs_of(task.out), disk.calls
    assert calls
    for full_at in range(0, calls, 1 + calls // 12):
        each = replace(task, out=tmp_path / str(full_at))
        disk.calls, disk.full_at, disk.errors = 0, full_at, 0
        outcome = record_episode(each, SquareFinder())
        assert outcome.state is RecordingState.NO_ROOM, outcome
        assert os.strerror(number) in (outcome.error or "")
        disk.full_at = -1
        outcome = record_episode(each, SquareFinder())
        assert outcome.state is RecordingState.DONE, outcome
        clear_state(each)
        assert outputs_of(each.out) == expected


def test_lines_that_find_no_room_are_written_again_from_the_checkpoint(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = RecordingTask("key", str(clip), "clip.mkv", tmp_path / "whole", checkpoint_seconds=1e-9)
    record_episode(task, SquareFinder())
    left = 2000

    class SmallFile(FileIO):
        def write(self, data: Any) -> int:
            nonlocal left
            if len(data) > left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            left -= len(data)
            return super().write(data) or 0

    monkeypatch.setattr(lines, "FileIO", SmallFile)
    each = replace(task, out=tmp_path / "small")
    states: list[RecordingState] = []
    while not states or states[-1] is RecordingState.NO_ROOM:
        states.append(record_episode(each, SquareFinder()).state)
        left = 4000
    assert (states[-1], len(states) > 2) == (RecordingState.DONE, True)
    assert outputs_of(each.out) == outputs_of(task.out)
