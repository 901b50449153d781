"""The comparison with ffprobe tells what differs, and why."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.ffprobe_times import Reading, compare, files_below, our_reading, their_reading
from tests.containers import CONTAINERS

TIMES = (0.0, 0.04, 0.08, 0.12)


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        (Reading(TIMES), Reading(TIMES), "equal"),
        (Reading(TIMES), Reading((0.0, 0.04, 0.08, 0.13)), "differs"),
        (Reading(TIMES), Reading(TIMES[:3]), "differs"),
        (Reading(TIMES, codec="mpeg2video"), Reading(TIMES[:3]), "ffprobe leaves out a last MPEG-2 picture"),
        (Reading(TIMES, filled=frozenset({3})), Reading((*TIMES[:3], 0.13)), "equal where the file has a time"),
        (Reading(TIMES), Reading((0.0, 0.08, 0.04, 0.12)), "ffprobe's times are missing or go back"),
        (Reading(TIMES, "2 gaps"), Reading(TIMES[:2]), "not whole"),
        (Reading(TIMES, is_joined=True), Reading((0.0, 0.04, 0.0, 0.04)), "joined or changing"),
        (Reading(TIMES[:3], is_joined=True), Reading(TIMES), "differs"),
        (Reading(TIMES, is_inferred=True), Reading((1.0, 1.04, 1.08, 1.12)), "equal but for a constant"),
    ],
)
def test_a_difference_has_a_reason_or_is_told(ours: Reading, theirs: Reading, verdict: str) -> None:
    found = compare(ours, theirs)
    assert found.verdict.startswith(verdict)
    assert found.is_unexplained is (verdict == "differs")


def test_files_that_are_no_videos_are_passed_over(tmp_path: Path) -> None:
    for name in ("b/clip.mp4", "a/clip.mkv", "a/NOTE.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in files_below([tmp_path])] == ["clip.mkv", "clip.mp4"]


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="needs ffprobe")
@pytest.mark.parametrize("name", ["index_last.mp4", "vp9.webm", "h264.ts", "mpeg2_b.mxf", "moving.gif"])
def test_a_drawn_clip_has_the_times_of_ffprobe(name: str, tmp_path: Path) -> None:
    clip = next(container for container in CONTAINERS if container.name == name).write(tmp_path)
    found = compare(our_reading(clip), their_reading(clip))
    assert found.verdict == "equal"
    assert (len(found.ours.times), found.ours.complaint, found.theirs.complaint) == (24, "", "")
