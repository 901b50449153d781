"""Damaged copies of drawn clips are read without a crash, a hang or a loss that nothing tells."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from benchmarks import fuzz_media
from benchmarks.fuzz_media import MUTATIONS, Outcome, load, mutated, read_apart, run
from tests.containers import CONTAINERS

CLIPS = [container for container in CONTAINERS if container.codec in ("libx264", "libvpx-vp9", "mpeg2video", "gif")]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    folder = tmp_path_factory.mktemp("clips")
    for container in CLIPS:
        container.write(folder)
    return load([folder])


def test_damaged_copies_are_read_or_refused(files: list[tuple[str, bytes]], capfd: pytest.CaptureFixture[str]) -> None:
    counts = run(files, 3 * len(files), seed=1)
    assert sum(kinds.total() for kinds in counts.values()) == 3 * len(files)
    assert capfd.readouterr().out == "", "each line is a finding"
    assert {kind for kinds in counts.values() for kind in kinds} > {"complete", "refused"}


def test_mutations_are_the_same_each_time_and_change_the_file(files: list[tuple[str, bytes]]) -> None:
    once = [mutated(index, files) for index in range(40)]
    assert once == [mutated(index, files) for index in range(40)]
    assert {what for _, what, _ in once} == {mutate.__name__ for mutate in MUTATIONS}
    originals = dict(files)
    assert sum(data != originals[name] for name, _, data in once) > 35


@pytest.mark.parametrize(
    ("kind", "reading"),
    [
        ("crash", lambda path: os.kill(os.getpid(), signal.SIGKILL)),
        ("hang", lambda path: signal.pause()),
        ("complete", lambda path: Outcome("complete", 3, 3)),
    ],
)
def test_the_end_of_a_child_is_an_outcome(kind: str, reading: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_media, "read", reading)
    assert read_apart(Path("unread"), timeout_seconds=1.0).kind == kind


def test_a_result_with_fewer_pictures_than_ffmpeg_gives_is_a_finding(
    files: list[tuple[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, data = files[0]
    path = tmp_path / Path(name).name
    path.write_bytes(data)
    whole = read_apart(path)
    assert (whole.kind, whole.frames, whole.is_finding) == ("complete", whole.reference_frames, False)
    monkeypatch.setattr(fuzz_media, "reference_frames", lambda path: whole.frames + 1)
    assert read_apart(path).is_finding
