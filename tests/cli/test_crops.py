"""``crops`` from a drawn clip to the folders of its characters; what cannot be cut is refused in one line."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acfd_stream.cli import main
from tests.cli.drawn_scenes import HELD, SHOWN, SIDE, track, write_clip
from tests.pipeline import conftest

FRAMES = [frame for begin, end in SHOWN for frame in range(begin, end, HELD)]
"""The first one of every drawing with a face."""


@pytest.fixture(scope="module")
def clip(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip, with its results beside it; ``plain.jsonl`` has no characters."""
    folder = tmp_path_factory.mktemp("crops")
    clip = write_clip(folder / "clip.mkv")
    track(clip, tiny_model)
    shutil.copy(clip, folder / "plain.mkv")
    track(folder / "plain.mkv", tiny_model, "--no-characters")
    return clip


def crops(clip: Path, out: Path, *options: str, result: str = "clip.jsonl") -> list[dict[str, str]]:
    """The rows of the table."""
    assert main(["crops", str(clip.with_name(result)), str(clip), "--out", str(out), "--quiet", *options]) == 0
    return list(csv.DictReader((out / "crops.csv").read_text().splitlines()))


def sides(out: Path, rows: list[dict[str, str]]) -> set[tuple[int, int]]:
    found = set()
    for row in rows:
        with Image.open(out / row["file"]) as picture:
            found.add(picture.size)
    return found


def test_each_face_is_cut_out_into_the_folder_of_its_character(clip: Path, tmp_path: Path) -> None:
    rows = crops(clip, tmp_path / "out")
    assert {row["file"].split("/")[0] for row in rows} == {"character_1"}
    assert [int(row["frame"]) for row in rows] == FRAMES
    assert [row["shot"] for row in rows] == ["0"] * 4 + ["2"] * 4
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"character_1", "crops.csv", ".acfd-crops.jsonl"}
    by_track = crops(clip, tmp_path / "out", "--by", "track")  # replaces the crops of before
    assert [row["file"].split("/")[0] for row in by_track] == ["track_1"] * 4 + ["track_2"] * 4
    assert not (tmp_path / "out" / "character_1").exists()


def test_size_margin_and_best_choose_the_pictures(clip: Path, tmp_path: Path) -> None:
    rows = crops(clip, tmp_path / "tight", "--margin", "0", "--best", "3", "--by", "track")
    assert [row["file"].split("/")[0] for row in rows] == ["track_1"] * 3 + ["track_2"] * 3
    assert all(abs(side - SIDE) <= 2 for size in sides(tmp_path / "tight", rows) for side in size)
    with Image.open(tmp_path / "tight" / rows[0]["file"]) as picture:
        assert np.asarray(picture.convert("L")).mean() > 200  # nothing but the face
    rows = crops(clip, tmp_path / "wide", "--margin", "1", "--size", "72")
    assert sides(tmp_path / "wide", rows) == {(72, 72)}
    assert all(abs(int(row["side"]) - 3 * SIDE) <= 4 for row in rows)


def test_small_and_doubtful_faces_are_left_out(clip: Path, tmp_path: Path) -> None:
    assert crops(clip, tmp_path / "small", "--min-side", str(SIDE + 8)) == []
    rows = crops(clip, tmp_path / "all")
    limit = sorted(float(row["score"]) for row in rows)[4]
    sure = crops(clip, tmp_path / "sure", "--min-score", str(limit))
    assert sure == [row for row in rows if float(row["score"]) >= limit]
    assert crops(clip, tmp_path / "none", "--min-score", "1", "--by", "track", result="plain.jsonl") == []


def test_what_cannot_be_cut_is_refused_in_one_line(
    clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result, used, closed = str(clip.with_name("clip.jsonl")), tmp_path / "used", tmp_path / "closed"
    used.mkdir()
    (used / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    longer = conftest.write_clip(tmp_path / "longer.mkv")
    other = write_clip(tmp_path / "other.mkv", 12)
    large = conftest.encode(tmp_path / "large.mkv", [np.zeros((128, 160, 3), np.uint8)] * 72, (128, 160))
    for call, code, said in (
        ([str(clip.with_name("plain.jsonl")), str(clip)], 2, "has no characters; track it without --no-characters, or"),
        ([result, str(other)], 1, "frame 1 is not the one that was tracked"),
        ([result, str(longer)], 1, "has fewer frames than were tracked"),
        ([result, str(large)], 1, "pictures of 128x96 were tracked, and this video has 160x128"),
        ([result, str(tmp_path / "none.mkv")], 1, "none.mkv"),
        ([str(clip), str(clip)], 1, "is not a line of a track result"),
        ([result, str(clip), "--out", str(used)], 2, "has files and is not a folder of crops"),
        ([result, str(clip), "--out", str(tmp_path / "file" / "crops")], 1, "file"),
        ([result, str(clip), "--size", "5000"], 2, "size must be"),
        ([result, str(clip), "--margin", "-1"], 2, "margin must be"),
        ([result, str(clip), "--min-score", "2"], 2, "min_score must be"),
    ):
        out = [] if "--out" in call else ["--out", str(tmp_path / "out")]
        assert main(["crops", *call, *out]) == code, call
        error = capfd.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert os.listdir(used) == ["mine.txt"]
    if os.geteuid() != 0:
        closed.mkdir(mode=0o500)
        assert main(["crops", result, str(clip), "--out", str(closed / "crops")]) == 1


def test_crops_of_before_stay_where_the_video_is_missing_or_too_short(clip: Path, tmp_path: Path) -> None:
    out, result = tmp_path / "kept", str(clip.with_name("clip.jsonl"))
    crops(clip, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    longer = tmp_path / "longer.jsonl"
    header, *frames, end = Path(result).read_text().splitlines(keepends=True)
    last = json.loads(frames[-1])
    more = {**last, "index": last["index"] + 1, "pts": 2 * last["pts"], "time": 2 * last["time"]}
    closing = {**json.loads(end), "frames": len(frames) + 1}
    longer.write_text("".join([header, *frames, json.dumps(more), "\n", json.dumps(closing), "\n"]))
    for given, video in ((result, tmp_path / "none.mkv"), (str(longer), clip)):
        for options in ([], ["--by", "track"]):
            assert main(["crops", given, str(video), "--out", str(out), *options]) == 1
            assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
        assert main(["crops", given, str(video), "--out", str(tmp_path / "new")]) == 1
        assert not (tmp_path / "new").exists()
