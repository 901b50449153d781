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

from acfd_stream.outputs import FORMATS, convert, read_results
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


def test_seconds_on_screen_by_track_longest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (query,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
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
    assert re.findall(r"^\| `([\w-]+)` \|", PAGE.read_text(), re.MULTILINE)[: len(FORMATS)] == list(FORMATS)
