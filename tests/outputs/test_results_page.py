"""docs/results.md: its query over a folder of Parquet gives the right answer, and its table has every format."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from acfd_stream.characters import Character
from acfd_stream.outputs import FORMATS, ResultEnd, convert, read_results
from tests.outputs.made_up import HEADER, write_made_up

PAGE = Path(__file__).resolve().parents[2] / "docs" / "results.md"


def seconds_by_hand(lines: Path) -> dict[int, float]:
    """Track → seconds on screen, from the JSON lines alone."""
    frames = [json.loads(line) for line in lines.read_text().splitlines()[1:-1]]
    end = frames[0]["time"] + json.loads(lines.read_text().splitlines()[-1])["duration"]
    seconds: dict[int, float] = defaultdict(float)
    for frame, until in pairwise([*frames, {"time": end}]):
        for face in frame["faces"]:
            seconds[face["id"]] += until["time"] - frame["time"]
    return seconds


def queries() -> list[str]:
    """Of the page: by track, and by character."""
    found: list[str] = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return found


def test_seconds_on_screen_by_character_with_names_over_all_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, query = queries()
    (tmp_path / "faces" / "show").mkdir(parents=True)
    for name, characters in (
        ("one.mkv", (Character(1, (1, 2), 1.0, "Velma"), Character(2, (3,), 1.0))),
        ("show/two.mkv", (Character(1, (3,), 1.0, "Velma"),)),
    ):
        lines = write_made_up(
            tmp_path / "lines", "jsonl", 30, replace(HEADER, source=name), ResultEnd(3, characters=characters)
        )
        convert(read_results(lines), tmp_path / "faces" / f"{name}.parquet", "parquet")
        seconds = seconds_by_hand(lines)
    monkeypatch.chdir(tmp_path)
    assert duckdb.sql(query).fetchall() == [
        ("Velma", 2, pytest.approx(seconds[1] + seconds[2] + seconds[3], abs=0.011)),
        ("one.mkv, character 2", 1, pytest.approx(seconds[3], abs=0.011)),
    ]


def test_seconds_on_screen_by_track_longest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    query, _ = queries()
    wanted = []
    for name, count in (("one.mkv", 300), ("show/two.mkv", 47)):
        place = tmp_path / "faces" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        lines = write_made_up(place.with_name(f"{place.name}.jsonl"), "jsonl", count, replace(HEADER, source=name))
        convert(read_results(lines), place.with_name(f"{place.name}.parquet"), "parquet")
        wanted += [(name, track, round(seconds, 2)) for track, seconds in seconds_by_hand(lines).items()]
    monkeypatch.chdir(tmp_path)
    rows = duckdb.sql(query).fetchall()
    assert sorted(rows) == sorted(wanted)
    assert [row[2] for row in rows] == sorted((row[2] for row in wanted), reverse=True)


def test_the_page_names_every_format() -> None:
    assert re.findall(r"^\| `([a-z][\w-]*)` \|", PAGE.read_text(), re.MULTILINE)[: len(FORMATS)] == list(FORMATS)
