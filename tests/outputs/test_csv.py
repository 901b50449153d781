"""CSV: one row per face and frame, as other libraries read it."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path

import duckdb
import pandas as pd

from acfd_stream.outputs import open_writer
from acfd_stream.outputs.scenes import Scene, scenes_csv
from acfd_stream.types import Face, FrameResult
from tests.outputs.made_up import END, HEADER, write_made_up

COLUMNS = ["frame", "time", "shot", "track_id", "x1", "y1", "x2", "y2", "score", "state"]
COLUMNS += ["character", "name", "reused"]


def rows_of_lines(lines: Path) -> list[list[object]]:
    """The rows that JSON lines call for."""
    frames = [json.loads(line) for line in lines.read_text().splitlines()[1:-1]]
    return [
        [
            *(frame["index"], frame["time"], frame["shot"], face["id"], *face["box"]),
            *(face["score"], face["state"], face.get("character", 0), face.get("name", ""), frame["reused"]),
        ]
        for frame in frames
        for face in frame["faces"]
    ]


def test_pandas_reads_the_values_of_the_json_lines(tmp_path: Path) -> None:
    table = pd.read_csv(write_made_up(tmp_path / "a.csv", "csv"), keep_default_na=False)
    assert list(table.columns) == COLUMNS
    assert table["reused"].dtype == bool
    assert table.to_numpy(object).tolist() == rows_of_lines(write_made_up(tmp_path / "a.jsonl", "jsonl"))


def test_duckdb_reads_the_same_types_without_a_hint(tmp_path: Path) -> None:
    place = write_made_up(tmp_path / "a.csv", "csv")
    types = [str(kind) for kind in duckdb.read_csv(str(place)).types]
    assert types == ["BIGINT", "DOUBLE", "BIGINT", "BIGINT", *["DOUBLE"] * 5, "VARCHAR", "BIGINT", "VARCHAR", "BOOLEAN"]


def test_frames_without_faces_leave_the_names_of_the_columns(tmp_path: Path) -> None:
    place = write_made_up(tmp_path / "a.csv", "csv", 0, HEADER)
    assert list(csv.reader(place.read_text().splitlines())) == [COLUMNS]


SHOWN = {"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@A1": "'@A1", "\uff1d1": "'\uff1d1", "\t=1\r\n": "?=1??"}
SHOWN |= {name: name for name in ("Vel=ma", "'Allo", "")}
"""Name → what CSV has."""


def test_spreadsheets_run_no_name(tmp_path: Path) -> None:
    faces = tuple(Face(1, (-9.0, 0.0, 9.0, 9.0), 1.0, character=1, name=name) for name in SHOWN)
    writer = open_writer(tmp_path / "a.csv", "csv", HEADER)
    writer.write(FrameResult(0, 0, Fraction(1, 24), 0.0, faces))
    writer.close(END)
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == list(SHOWN.values())
    assert {row["x1"] for row in rows} == {"-9.0"}  # a number stays one
    scene = Scene(1, "=1+1", 1, Fraction(-1), Fraction(1), 0, 9, 0)
    assert scenes_csv([scene]).splitlines()[1] == b"1,'=1+1,1,-1.0,1.0,2.0,0,9,0"
