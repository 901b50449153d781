"""Results as CSV, one row per face and frame, for spreadsheets and for anything that reads no Parquet.

Columns and rounding are those of the JSON lines. A frame without faces has no row, and the format has no end.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from acfd_stream.outputs.face_values import face_columns, face_row, rounded
from acfd_stream.outputs.jsonl import SECONDS_DECIMALS
from acfd_stream.outputs.writer import ResultEnd, ResultHeader
from acfd_stream.printable import printable
from acfd_stream.types import FrameResult

_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # the last four are the full-width signs
"""The first characters of formulas. Source: OWASP, CSV Injection."""


class CsvEncoder:
    """An ``Encoder`` of CSV; its first row has the names of the columns."""

    def __init__(self, header: ResultHeader) -> None:
        pass

    def header(self) -> bytes:
        """The names of the columns."""
        return csv_bytes([["frame", "time", "shot", *face_columns(), "reused"]])

    def frame(self, result: FrameResult) -> bytes:
        """The frame's rows, one per face."""
        before = [result.index, rounded(result.pts_seconds, SECONDS_DECIMALS), result.shot]
        return csv_bytes([[*before, *face_row(face), str(result.reused).lower()] for face in result.faces])

    def trailer(self, end: ResultEnd) -> Iterable[bytes]:
        """Nothing."""
        return ()


def csv_bytes(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as CSV in UTF-8.

    Spreadsheets run a text as a formula by its first character, so such a text gets an apostrophe before it. Controls,
    of which some begin a formula or end a row, become "?".
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
