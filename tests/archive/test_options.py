"""What was asked for survives a power cut, and is shared out as the machine suggests."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from acfd_stream.archive import choose_workers as rooms
from acfd_stream.archive.choose_workers import sizing
from acfd_stream.archive.options import ArchiveOptions
from acfd_stream.characters import CharacterConfig
from acfd_stream.config import ArchiveConfig, DetectConfig, TrackConfig, VideoConfig
from acfd_stream.errors import ConfigError

CALL = ArchiveOptions(
    places=("library", "s3://bucket"),
    out=Path("out"),
    outputs=("vtt", "report"),
    model="m.onnx",
    device="cpu",
    detect=DetectConfig(scales=(480, 640), threads=3),
    track=TrackConfig(max_gap_frames=3),
    video=VideoConfig(end_seconds=2.5),
    archive=ArchiveConfig(checkpoint_seconds=5.0),
    engine="ray",
    workers=7,
    ray_address="auto",
)


def test_a_call_comes_back_from_the_manifest() -> None:
    named = replace(CALL, characters=CharacterConfig(views=3), cast=Path("season.db"))
    for call in (CALL, named):
        assert ArchiveOptions.from_values(json.loads(json.dumps(call.values())), Path("out")) == call


def test_a_call_of_before_there_were_characters_has_none() -> None:
    values = {name: value for name, value in CALL.values().items() if name not in ("characters", "cast")}
    assert ArchiveOptions.from_values(values, Path("out")) == CALL


@pytest.mark.parametrize("damage", [{"detect": {"sizes": 1}}, {"nothing": 1}, {"track": None}])
def test_a_call_of_another_version_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ArchiveOptions.from_values({**CALL.values(), **damage}, Path("out"))


def test_a_task_has_what_was_asked_for() -> None:
    task = CALL.task("k1", "library/a.mkv", "a.mkv", is_tracked=False, threads=2)
    assert (task.detect.threads, task.video.threads) == (3, 2)  # what the call says stands above what is shared out
    assert (task.outputs, task.checkpoint_seconds, task.video.end_seconds) == (("vtt", "report"), 5.0, 2.5)


def test_a_task_with_characters_keeps_the_views_of_its_tracks() -> None:
    call = replace(CALL, characters=CharacterConfig())
    task = call.task("k1", "library/a.mkv", "a.mkv", is_tracked=False, threads=0)
    assert (task.outputs, task.characters) == (("vtt", "report", "views"), CharacterConfig())


@pytest.mark.parametrize(
    ("cores", "asked", "episodes", "workers", "threads"),
    [(2, 0, 9, 1, 0), (16, 0, 9, 4, 4), (16, 0, 1, 1, 0), (16, 0, 3, 3, 5), (16, 2, 9, 2, 8), (2, 4, 1, 4, 1)],
)
def test_cores_are_shared_out(
    monkeypatch: pytest.MonkeyPatch, cores: int, asked: int, episodes: int, workers: int, threads: int
) -> None:
    monkeypatch.setattr(rooms, "available_cores", lambda: cores)
    monkeypatch.setattr(rooms, "visible_gpus", lambda: [])
    found = sizing(asked, episodes, "auto")
    assert (found.workers, found.threads, found.environments) == (workers, threads, ({},))


def test_every_gpu_has_a_worker_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "available_cores", lambda: 32)
    monkeypatch.setattr(rooms, "visible_gpus", lambda: ["3", "GPU-a"])
    found = sizing(0, 9, "auto")
    assert (found.workers, found.threads) == (2, 16)
    assert found.environments == ({"CUDA_VISIBLE_DEVICES": "3"}, {"CUDA_VISIBLE_DEVICES": "GPU-a"})
    assert sizing(0, 9, "cpu").environments == ({},)
