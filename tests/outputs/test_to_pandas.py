"""Results as a DataFrame: the rows of the Parquet file, whatever they are made from."""

from __future__ import annotations

import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from acfd_stream.errors import BackendUnavailable, MediaError, ShapeError
from acfd_stream.outputs import convert, read_results, to_pandas
from tests.outputs.made_up import HEADER, made_up, write_made_up


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    return write_made_up(tmp_path / "ep.parquet", "parquet")


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    return write_made_up(tmp_path / "ep.jsonl", "jsonl")


def test_json_lines_and_parquet_give_the_same_table(parquet: Path, lines: Path) -> None:
    expected = pd.read_parquet(parquet)
    assert len(expected) > 100
    for results in (parquet, str(parquet), lines, str(lines), read_results(lines)):
        pd.testing.assert_frame_equal(to_pandas(results), expected)
    pd.testing.assert_frame_equal(read_results(lines).to_pandas(), expected)


def test_results_in_memory_lack_the_source_and_the_end(parquet: Path) -> None:
    expected = pd.read_parquet(parquet).drop(columns="source")
    found = to_pandas(made_up(90))
    last = found["frame_index"] == 89
    assert last.any()
    assert found.loc[last, "shown_seconds"].map(math.isnan).all()
    pd.testing.assert_frame_equal(found[~last], expected[~last])
    pd.testing.assert_frame_equal(to_pandas(list(made_up(90))), found)


def test_times_do_not_begin_at_zero_and_a_rate_may_be_unknown(tmp_path: Path) -> None:
    header = replace(HEADER, frame_rate=None)
    places = [write_made_up(tmp_path / f"a.{kind}", kind, 7, header, first_pts=-9000) for kind in ("jsonl", "parquet")]
    pd.testing.assert_frame_equal(to_pandas(places[0]), pd.read_parquet(places[1]))


def test_no_result_is_a_table_without_rows(tmp_path: Path) -> None:
    places = [write_made_up(tmp_path / f"a.{kind}", kind, 0) for kind in ("jsonl", "parquet")]
    pd.testing.assert_frame_equal(to_pandas(places[0]), pd.read_parquet(places[1]))
    assert list(to_pandas([]).columns) == list(pd.read_parquet(places[1]).columns)[1:]


@pytest.mark.parametrize("results", [7, None, [(1, 2)], ["ep.jsonl"]])
def test_what_is_no_result_is_named(results: object) -> None:
    with pytest.raises(ShapeError, match=r"^results must be of FrameResult, or a path or ResultFile, got \w+$"):
        to_pandas(results)  # type: ignore[arg-type]


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "junk.parquet").write_bytes(b"junk")
    with pytest.raises(MediaError, match=r"junk\.parquet: is no Parquet file: [^\n]+$"):
        to_pandas(tmp_path / "junk.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(MediaError, match=r"other\.parquet: is no track result: it lacks the columns .*, y2$"):
        to_pandas(tmp_path / "other.parquet")
    for name in ("none.parquet", "none.jsonl"):
        with pytest.raises(MediaError, match=f"{name}: cannot be read: No such file"):
            to_pandas(tmp_path / name)


def test_a_suffix_in_capitals_is_one(parquet: Path, tmp_path: Path) -> None:
    copied = shutil.copy(parquet, tmp_path / "A.PARQUET")
    pd.testing.assert_frame_equal(to_pandas(copied), to_pandas(parquet))


def test_what_cannot_be_read_or_converted_is_named(lines: Path, tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"^results must be what read_results returns, got PosixPath$"):
        convert(lines, tmp_path / "a.csv", "csv")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"^path must be a path, got NoneType$"):
        read_results(None)  # type: ignore[arg-type]


def test_missing_pandas_is_said_in_one_line(lines: Path, parquet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BackendUnavailable, match="format parquet needs pyarrow"):
        to_pandas(parquet)
    monkeypatch.setitem(sys.modules, "pandas", None)
    for results in (lines, parquet, made_up(3)):
        with pytest.raises(BackendUnavailable, match=r"^to_pandas needs pandas, .* run pip install pandas$"):
            to_pandas(results)


def test_parquet_of_before_there_were_characters_has_their_columns_empty(parquet: Path, tmp_path: Path) -> None:
    older = tmp_path / "older.parquet"
    pq.write_table(pq.read_table(parquet).drop_columns(["character", "name"]), older)
    pd.testing.assert_frame_equal(to_pandas(older), pd.read_parquet(parquet), check_dtype=False)
