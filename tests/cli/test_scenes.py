"""``scenes`` from a drawn clip to the frame numbers in an editor's list; what is no list is refused in one line."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path

import pytest

from acfd_stream.cli import main
from tests.cli.drawn_scenes import SHOWN, track, write_clip

NTSC = Fraction(30000, 1001)


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the clip at 24 and 29.97 fps; the one character of the first is called Velma."""
    folder = tmp_path_factory.mktemp("scenes")
    for name, rate in (("film", 24), ("ntsc", NTSC), ("even", 12)):
        track(write_clip(folder / f"{name}.mkv", rate), tiny_model)
    lines = [json.loads(line) for line in (folder / "film.jsonl").read_text().splitlines()]
    assert [each["character"] for each in lines[-1]["characters"]] == [1]
    lines[-1]["characters"][0]["name"] = "Velma"
    (folder / "film.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    track(write_clip(folder / "plain.mkv"), tiny_model, "--no-characters")
    return folder


def test_the_rows_have_the_frames_of_the_scenes(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "scenes.csv"
    assert main(["scenes", str(folder / "film.jsonl"), "--gap", "0.5", "-o", str(out)]) == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [(int(row["first_frame"]), int(row["last_frame"]) + 1) for row in rows] == list(SHOWN)
    times = [float(row[side]) for row in rows for side in ("start", "end")]
    assert times == pytest.approx([0, 1, 2, 3], abs=1e-3)  # Matroska counts milliseconds
    assert {row["name"] for row in rows} == {"Velma"}
    assert main(["scenes", str(folder / "film.jsonl"), "-o", str(out)]) == 0  # it may replace its own list
    (row,) = csv.DictReader(out.read_text().splitlines())
    assert (row["first_frame"], row["last_frame"]) == ("0", "71")  # a second is no end of a scene


@pytest.mark.parametrize(
    ("name", "options", "codes"),
    [
        ("film", ["--character", "Velma"], ["00:00:00:00 00:00:01:00", "00:00:02:00 00:00:03:00"]),
        ("ntsc", [], ["00:00:00:00 00:00:00:24", "00:00:01:18 00:00:02:12"]),
        ("ntsc", ["--drop-frame"], ["00:00:00;00 00:00:00;24", "00:00:01;18 00:00:02;12"]),
        ("film", ["--rate", "25"], ["00:00:00:00 00:00:01:00", "00:00:02:00 00:00:03:00"]),
        ("even", ["--rate", "23.976"], ["00:00:00:00 00:00:02:00", "00:00:04:00 00:00:06:00"]),
    ],
)
def test_timecodes_are_exact_to_the_frame(
    folder: Path, name: str, options: list[str], codes: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["scenes", str(folder / f"{name}.jsonl"), "--gap", "0.5", "--format", "edl", *options]) == 0
    events = [line.split()[4:] for line in capfd.readouterr().out.splitlines() if line[:3].isdecimal()]
    assert [" ".join(event[:2]) for event in events] == codes
    assert events[0][3] == events[1][2]  # in the list they follow each other


def test_what_is_no_list_is_refused_in_one_line(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("mine")
    film = str(folder / "film.jsonl")
    for call, code, said in (
        ([str(folder / "plain.jsonl")], 2, "has no characters; track it without --no-characters"),
        ([film, "--character", "Fred"], 2, "has no character 'Fred'; there is Velma"),
        ([str(folder / "film.mkv")], 1, "is not a line of a track result"),
        ([str(folder / "none.jsonl")], 1, "cannot be read"),
        ([film, "-o", str(mine)], 2, "would replace"),
        ([film, "-o", film, "--overwrite"], 2, "film.jsonl would write over the result, "),
        ([film, "-o", str(tmp_path / "none" / "scenes.csv")], 1, "scenes.csv"),
        ([film, "--rate", "24"], 2, "add --format edl"),
        ([film, "--format", "edl", "--rate", "17"], 2, "--rate must be one of"),
        ([film, "--format", "edl", "--rate", "1e99999999"], 2, "--rate must be one of"),
        ([film, "--gap", "inf"], 2, "--gap must be finite"),
        ([film, "--format", "edl", "--drop-frame"], 2, "drop-frame timecode exists for"),
        ([str(folder / "even.jsonl"), "--format", "edl"], 2, "choose the rate of your project with --rate"),
    ):
        assert main(["scenes", *call]) == code, call
        error = capfd.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert mine.read_text() == "mine"


def test_a_video_in_which_nobody_is_has_no_scenes(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = [json.loads(line) for line in (folder / "film.jsonl").read_text().splitlines()]
    lines[-1].pop("characters")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["scenes", str(empty)]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 1  # the names of the columns
    assert main(["scenes", str(empty), "--character", "1"]) == 2
    assert "has no character '1'; there is nobody" in capfd.readouterr().err
