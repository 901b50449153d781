"""A checkpoint file that another version wrote is not used, and the log says so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from acfd_stream.recording.checkpoint_file import CheckpointFile


@pytest.fixture
def checkpoints(tmp_path: Path) -> CheckpointFile:
    return CheckpointFile(tmp_path / "parts" / "key.checkpoint", name="show/film.mkv")


def test_a_checkpoint_of_another_format_is_not_used_and_one_line_says_so(
    checkpoints: CheckpointFile, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.write({"stage": "track"})
    assert checkpoints.read() == {"format": 1, "stage": "track"}
    body = json.dumps({"format": 7, "stage": "track"}).encode()
    checkpoints.path.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    assert checkpoints.read() is None
    assert caplog.messages == ["show/film.mkv: checkpoint of format 7; begins again"]


def test_no_checkpoint_is_nothing_to_speak_of(checkpoints: CheckpointFile, caplog: pytest.LogCaptureFixture) -> None:
    assert checkpoints.read() is None
    assert caplog.messages == []
