"""The main job with the shipped weights on real cartoons and on a drawn one with known truth."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import av

from acfd_stream.cli import main
from acfd_stream.model.scoring import Rules, read_tracks, score_tracks
from acfd_stream.model.toon import render, write_clip

# First frames of the shots of bbb_720p_24s.mp4, read off the pictures by eye.
BUNNY_CUTS = [5, 47, 84, 118, 184, 236, 397, 412, 476, 535]


def track(video: Path, folder: Path) -> list[dict[str, Any]]:
    """Lines of the result of ``acfd-stream track``."""
    output = folder / f"{video.stem}.jsonl"
    assert main(["track", str(video), "-o", str(output), "--quiet"]) == 0
    return [json.loads(line) for line in output.read_text().splitlines()]


def frames_of_tracks(lines: list[dict[str, Any]]) -> dict[int, list[int]]:
    """Frame numbers of every track."""
    found: dict[int, list[int]] = defaultdict(list)
    for line in lines[1:-1]:
        for face in line["faces"]:
            found[face["id"]].append(line["index"])
    return found


def packet_times(video: Path) -> list[int]:
    """Every pts of the video stream in order, by demuxing alone."""
    with av.open(str(video)) as container:
        return sorted(packet.pts for packet in container.demux(video=0) if packet.pts is not None)


def test_every_frame_of_a_real_cartoon_has_a_line_with_its_own_time(shared: Path, tmp_path: Path) -> None:
    video = shared / "videos/popeye_1440x1074_60s.mkv"
    lines = track(video, tmp_path)
    assert [line["type"] for line in lines] == ["header", *["frame"] * 1440, "end"]
    assert [line["pts"] for line in lines[1:-1]] == packet_times(video)
    assert lines[-1]["complete"] is True
    assert "warnings" not in lines[-1]  # its subtitles are longer than its pictures, which is nothing odd


def test_two_characters_who_stay_are_two_tracks(shared: Path, tmp_path: Path) -> None:
    lines = track(shared / "videos/pennychip_reading.mp4", tmp_path)
    assert len(lines) == 194
    lengths = [len(frames) for frames in frames_of_tracks(lines).values()]
    assert sorted(length >= 0.9 * 192 for length in lengths if length > 24) == [True, True]


def test_no_track_runs_across_a_cut(shared: Path, tmp_path: Path) -> None:
    lines = track(shared / "videos/bbb_720p_24s.mp4", tmp_path)
    tracks = frames_of_tracks(lines)
    assert tracks
    for frames in tracks.values():
        assert not [cut for cut in BUNNY_CUTS if frames[0] < cut <= frames[-1]]
    shots = [line["shot"] for line in lines[1:-1]]
    assert [index for index in range(1, len(shots)) if shots[index] != shots[index - 1]] == BUNNY_CUTS


def test_drawn_cartoon_is_tracked_as_its_truth_says(tmp_path: Path) -> None:
    clip = render("demo", 0, (360, 640), 24)
    truth = write_clip(tmp_path / "demo.mp4", clip)
    track(tmp_path / "demo.mp4", tmp_path)
    score = score_tracks(read_tracks(tmp_path / "demo.jsonl"), truth, Rules())
    assert score.idf1 >= 0.9
    assert score.recall >= 0.95
