"""Parquet as others open it: the same rows, of the same types, in pyarrow, pandas, polars and DuckDB."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from acfd_stream.errors import BackendUnavailable
from acfd_stream.outputs import ResultEnd, open_writer, parquet
from tests.outputs.made_up import HEADER, write_made_up

COLUMNS = {
    "source": "string",
    "frame_index": "int64",
    "pts": "int64",
    "pts_seconds": "double",
    "shown_seconds": "double",
    "shot": "int32",
    "track_id": "int64",
    "x1": "float",
    "y1": "float",
    "x2": "float",
    "y2": "float",
    "score": "float",
    "state": "string",
    "character": "int64",
    "name": "string",
    "reused": "bool",
    "pts_filled": "bool",
    "truncated": "bool",
}


def by_duckdb(place: Path) -> list[dict[str, Any]]:
    found = duckdb.sql(f"FROM '{place}'")
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


READERS: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    "pyarrow": lambda place: pq.read_table(place).to_pylist(),
    "pandas": lambda place: pd.read_parquet(place).to_dict("records"),
    "polars": lambda place: pl.read_parquet(place).to_dicts(),
    "DuckDB": by_duckdb,
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return write_made_up(tmp_path / "ep.parquet", "parquet")


@pytest.mark.parametrize("library", READERS)
def test_every_library_reads_the_rows_of_the_json_lines(library: str, place: Path, tmp_path: Path) -> None:
    lines = write_made_up(tmp_path / "lines", "jsonl").read_text().splitlines()
    faces = [(frame, face) for frame in map(json.loads, lines) for face in frame.get("faces", [])]
    rows = READERS[library](place)
    assert [list(row) for row in rows] == [list(COLUMNS)] * len(faces)
    for row, (frame, face) in zip(rows, faces, strict=True):
        whole = (row["frame_index"], row["pts"], row["shot"], row["track_id"], row["state"])
        assert whole == (frame["index"], frame["pts"], frame["shot"], face["id"], face["state"])
        assert row["source"] == HEADER.source
        assert (row["character"], row["name"]) == (face.get("character", 0), face.get("name", ""))
        assert [row["x1"], row["y1"], row["x2"], row["y2"]] == pytest.approx(face["box"], abs=1e-4)
        assert (row["score"], row["pts_seconds"]) == pytest.approx((face["score"], frame["time"]), abs=1e-6)
        flags = (frame["reused"], frame.get("pts_filled", False), frame.get("truncated", False))
        assert (bool(row["reused"]), bool(row["pts_filled"]), bool(row["truncated"])) == flags


def test_columns_have_types_and_rows_an_order_that_the_file_states(place: Path) -> None:
    assert {field.name: str(field.type) for field in pq.read_schema(place)} == COLUMNS
    order = pq.ParquetFile(place).metadata.row_group(0).sorting_columns
    assert [list(COLUMNS)[column.column_index] for column in order] == ["frame_index", "track_id"]
    rows = [(row["frame_index"], row["track_id"]) for row in pq.read_table(place).to_pylist()]
    assert rows == sorted(rows)


def test_time_on_screen_lasts_until_the_next_frame_and_the_last_one_as_long_as_the_rate_says(tmp_path: Path) -> None:
    place = write_made_up(tmp_path / "a", "parquet", 4)
    shown = pq.read_table(place).to_pandas().drop_duplicates("frame_index")["shown_seconds"]
    assert list(shown) == pytest.approx([1001 / 24000, 1001 / 24000, 3003 / 24000, 1 / 24], abs=1e-6)
    place = write_made_up(tmp_path / "b", "parquet", 4, replace(HEADER, frame_rate=None))
    assert pq.read_table(place)["shown_seconds"].to_pylist()[-1] == pytest.approx(0.0, abs=1e-6)


def test_the_header_and_the_closing_line_stand_in_the_metadata(place: Path, tmp_path: Path) -> None:
    lines = write_made_up(tmp_path / "lines", "jsonl").read_text().splitlines()
    said = pq.read_metadata(place).metadata
    assert said[parquet.HEADER_KEY.encode()].decode() == lines[0]
    assert said[parquet.END_KEY.encode()].decode() == lines[-1]
    query = f"SELECT decode(value) FROM parquet_kv_metadata('{place}') WHERE decode(key) = 'acfd_stream.end'"
    assert json.loads(duckdb.sql(query).fetchall()[0][0])["complete"] is True


def test_the_page_of_results_lists_the_columns() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "results.md").read_text()
    assert dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE)) == COLUMNS


def test_row_groups_are_of_the_stated_size_and_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pq.read_table(write_made_up(tmp_path / "a", "parquet"))
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 50)
    parts = pq.ParquetFile(write_made_up(tmp_path / "b", "parquet"))
    sizes = [parts.metadata.row_group(group).num_rows for group in range(parts.num_row_groups)]
    assert parts.read().equals(whole)
    assert len(sizes) > 3
    assert all(50 <= size < 53 for size in sizes[:-1])  # a frame is not torn apart


@pytest.mark.parametrize("library", READERS)
def test_a_video_without_faces_has_columns_and_no_rows(library: str, tmp_path: Path) -> None:
    open_writer(tmp_path / "a.parquet", "parquet", HEADER).close(ResultEnd(0))
    assert READERS[library](tmp_path / "a.parquet") == []
    assert {field.name: str(field.type) for field in pq.read_schema(tmp_path / "a.parquet")} == COLUMNS


def test_a_broken_video_s_rows_can_be_read_and_say_so(tmp_path: Path) -> None:
    write_made_up(tmp_path / "a", "parquet", 10, end=ResultEnd(3, is_complete=False, error="broke"))
    said = json.loads(pq.read_metadata(tmp_path / "a.part").metadata[parquet.END_KEY.encode()])
    assert (said["frames"], said["complete"], said["error"]) == (10, False, "broke")


def test_a_name_that_is_no_text_is_spelled_out(tmp_path: Path) -> None:
    header = replace(HEADER, source="latin1-\udce9.avi", frame_rate=Fraction(25))
    rows = pq.read_table(write_made_up(tmp_path / "a", "parquet", 1, header)).to_pylist()
    assert rows[0]["source"] == "latin1-\\udce9.avi"


def test_without_its_library_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BackendUnavailable, match=r"pip install 'acfd-stream\[parquet\]'"):
        open_writer(tmp_path / "a", "parquet", HEADER)
    assert list(tmp_path.iterdir()) == []
