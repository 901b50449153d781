"""A checkpoint file that another version wrote is not used, and the log says so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from acfd_stream.recording.checkpoint_file import load_record, save_record
from acfd_stream.recording.task import EpisodeTask


@pytest.fixture
def task(tmp_path: Path) -> EpisodeTask:
    return EpisodeTask("key", "film.mkv", "show/film.mkv", tmp_path)


def test_a_checkpoint_of_another_format_is_not_used_and_one_line_says_so(
    task: EpisodeTask, caplog: pytest.LogCaptureFixture
) -> None:
    save_record(task, {"stage": "track"})
    assert load_record(task) == {"format": 1, "stage": "track"}
    body = json.dumps({"format": 7, "stage": "track"}).encode()
    task.checkpoint.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    assert load_record(task) is None
    assert caplog.messages == ["show/film.mkv: checkpoint of format 7; begins again"]


def test_no_checkpoint_is_nothing_to_speak_of(task: EpisodeTask, caplog: pytest.LogCaptureFixture) -> None:
    assert load_record(task) is None
    assert caplog.messages == []
