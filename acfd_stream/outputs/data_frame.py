"""Results as a pandas DataFrame, with the columns and types of the Parquet format."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acfd_stream.errors import BackendUnavailable, MediaError, ShapeError
from acfd_stream.outputs.face_table import COLUMNS, face_rows
from acfd_stream.outputs.formats import check_format
from acfd_stream.types import FrameResult

if TYPE_CHECKING:
    from pandas import DataFrame as DataFrame

_ADDED = {"character": 0, "name": ""}
"""Columns that results of before there were characters lack, and what stands in for them."""


def data_frame(
    results: Iterable[FrameResult], source: str | None = None, duration: Fraction | None = None
) -> DataFrame:
    """One row per face and frame, sorted by frame and track.

    Args:
        results: of one video, in order.
        source: content of the column ``source``; None: there is none.
        duration: seconds from the first frame to the end of the last; None: unknown, and so is how long the last frame
            is shown.

    Raises:
        BackendUnavailable: pandas is not installed.
        ShapeError: ``results`` are not results.
    """
    pandas = _import_pandas()
    rows: list[tuple[Any, ...]] = []
    first = waiting = None  # the latter until the next frame determines how long it is shown
    for result in results if isinstance(results, Iterable) else [results]:
        if not isinstance(result, FrameResult):
            raise ShapeError(f"results must be of FrameResult, or a path or ResultFile, got {type(result).__name__}")
        if waiting is not None:
            rows += face_rows(waiting, result.pts * result.time_base)
        first, waiting = first or result, result
    if first is not None and waiting is not None:
        rows += face_rows(waiting, None if duration is None else first.pts * first.time_base + duration)
    columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    table = pandas.DataFrame(
        {
            name: pandas.Series(list(values), dtype="str" if kind == "string" else kind)
            for (name, kind), values in zip(COLUMNS.items(), columns, strict=True)
        }
    )
    if source is not None:
        table.insert(0, "source", pandas.Series([source] * len(rows), dtype="str"))
    return table


def read_parquet(path: Path) -> DataFrame:
    """The rows of a Parquet result.

    Raises:
        BackendUnavailable: pandas or pyarrow is not installed.
        MediaError: the file cannot be read, is no Parquet file, or has other columns.
    """
    pandas = _import_pandas()
    check_format("parquet")
    try:
        with path.open("rb") as file:
            table: DataFrame = pandas.read_parquet(file)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # pyarrow's ArrowInvalid is one
        raise MediaError(f"{path}: is no Parquet file: {error}") from error
    for name, value in _ADDED.items():
        if name not in table.columns and "state" in table.columns:
            table.insert(int(table.columns.get_loc("state")) + 1 + list(_ADDED).index(name), name, value)
    if missing := sorted(COLUMNS.keys() - set(table.columns)):
        raise MediaError(f"{path}: is no track result: it lacks the columns {', '.join(missing)}")
    return table


def _import_pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise BackendUnavailable("to_pandas needs pandas, which is not installed; run pip install pandas") from error
    return pandas
