"""Results as Parquet, one row per face and frame, sorted by frame and track, for pandas, polars and DuckDB.

Boxes, scores and times equal those of the JSON lines. ``shown_seconds`` is how long the frame of a row is on screen.
Its sum over a track is the track's screen time, even at a variable frame rate. The file's metadata contains the header
line and the closing line as ``acfd_stream.header`` and ``acfd_stream.end``. If there are damaged frames, seams or
changes of size, ``acfd_stream.marks`` lists these frames. Memory holds the rows of one row group.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from acfd_stream.outputs.face_table import COLUMNS, face_rows
from acfd_stream.outputs.jsonl import JsonlLines, frame_marks
from acfd_stream.outputs.writer import ResultEnd, ResultHeader
from acfd_stream.types import FrameResult

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_GROUP = 65_536
HEADER_KEY, END_KEY, MARKS_KEY = "acfd_stream.header", "acfd_stream.end", "acfd_stream.marks"
# Of the array that holds a column of a row group; strings are in a list.
_CODES = {"int64": "q", "float64": "d", "int32": "i", "float32": "f", "bool": "b"}
_ORDER = [("frame_index", "ascending"), ("track_id", "ascending")]


class _Buffer:
    """The file object for pyarrow: counts the bytes written, and hands them on."""

    def __init__(self) -> None:
        self.closed = False
        self._pieces: list[bytes] = []
        self._count = 0

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        self._count += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._count

    def flush(self) -> None:
        """Nothing to flush."""

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        """The bytes written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class ParquetEncoder:
    """An ``Encoder`` of Parquet, one row group at a time."""

    def __init__(self, header: ResultHeader) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._pa = pa
        self._time_base = header.time_base
        self._source = header.source.encode("utf-8", "backslashreplace").decode("utf-8")
        self._lines = JsonlLines(header)
        self._marks: list[dict[str, Any]] = []
        self._waiting: FrameResult | None = None  # until the next frame determines how long it is shown
        self._rows: dict[str, Any] = {
            name: array(_CODES[kind]) if kind in _CODES else [] for name, kind in COLUMNS.items()
        }
        self._buffer = _Buffer()
        columns = [("source", "string"), *COLUMNS.items()]
        self._schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns])
        self._file = pq.ParquetWriter(
            self._buffer,
            self._schema,
            compression="zstd",
            sorting_columns=pq.SortingColumn.from_ordering(self._schema, _ORDER),
        )
        self._file.add_key_value_metadata({HEADER_KEY: self._lines.header().decode("utf-8").strip()})

    def header(self) -> bytes:
        """The four letters at the start of a Parquet file."""
        return self._buffer.taken()

    def frame(self, result: FrameResult) -> bytes:
        """A row group, when one is full."""
        self._lines.count(result)
        if marks := frame_marks(result):
            self._marks.append({"frame_index": result.index, **marks})
        self._add_waiting(result.pts * self._time_base)
        self._waiting = result
        return self._group() if len(self._rows["pts"]) >= ROWS_PER_GROUP else b""

    def trailer(self, end: ResultEnd) -> Iterable[bytes]:
        """The last row group and the footer."""
        self._add_waiting(self._lines.end_seconds(end))
        yield self._group()
        self._file.add_key_value_metadata({END_KEY: self._lines.end(end).decode("utf-8").strip()})
        if self._marks:
            self._file.add_key_value_metadata({MARKS_KEY: json.dumps(self._marks)})
        self._file.close()
        yield self._buffer.taken()

    def _add_waiting(self, until_seconds: Fraction) -> None:
        """Add the rows of the waiting frame, which is shown until ``until_seconds``."""
        if self._waiting is None:
            return
        result, self._waiting = self._waiting, None
        for row in face_rows(result, until_seconds):
            for rows, value in zip(self._rows.values(), row, strict=True):
                rows.append(value)

    def _group(self) -> bytes:
        """The waiting rows as a row group."""
        count = len(self._rows["pts"])
        if count:
            columns = [self._pa.repeat(self._source, count), *map(self._column, self._rows)]
            self._file.write_table(self._pa.Table.from_arrays(columns, schema=self._schema), row_group_size=count)
            for rows in self._rows.values():
                del rows[:]
        return self._buffer.taken()

    def _column(self, name: str) -> pa.Array:
        rows = self._rows[name]
        if isinstance(rows, array):  # copied, because an array in use cannot shrink
            rows = np.frombuffer(rows.tobytes(), rows.typecode)
        return self._pa.array(rows).cast(self._schema.field(name).type)
