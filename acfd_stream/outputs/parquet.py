"""Results as Parquet, a row a face a frame, sorted by frame and track, typed: what pandas, polars and DuckDB open.

Boxes, scores and times are those of the JSON lines. ``shown_seconds`` is how long the frame of a row is on screen, so
its sum over a track is the track's screen time, also where the rate varies. The header line and the closing line stand
in the file's metadata, as ``acfd_stream.header`` and ``acfd_stream.end``. Rows wait in memory for one row group only.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from acfd_stream.errors import BackendUnavailable
from acfd_stream.outputs.jsonl import SCORE_DECIMALS, JsonlLines, rounded, rounded_box
from acfd_stream.outputs.writer import ResultEnd, ResultHeader
from acfd_stream.types import Face, FaceState, FrameResult

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_A_GROUP = 65_536
HEADER_KEY, END_KEY = "acfd_stream.header", "acfd_stream.end"
_STATES = tuple(FaceState)
# Column → type in Arrow and, where rows wait for their group, in an array.
_COLUMNS = {
    "source": ("string", ""),
    "frame_index": ("int64", "q"),
    "pts": ("int64", "q"),
    "pts_seconds": ("float64", "d"),
    "shown_seconds": ("float64", "d"),
    "shot": ("int32", "i"),
    "track_id": ("int64", "q"),
    "x1": ("float32", "f"),
    "y1": ("float32", "f"),
    "x2": ("float32", "f"),
    "y2": ("float32", "f"),
    "score": ("float32", "f"),
    "state": ("string", "b"),
    "reused": ("bool", "b"),
    "pts_filled": ("bool", "b"),
    "truncated": ("bool", "b"),
}
_ORDER = [("frame_index", "ascending"), ("track_id", "ascending")]


class _Sink:
    """The file that the library sees: it counts what was written, and gives it on."""

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
        """Nothing waits here."""

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        """What has been written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class ParquetRows:
    """An ``Encoder`` of Parquet, a row group at a time."""

    def __init__(self, header: ResultHeader) -> None:
        """Begin the file.

        Raises:
            BackendUnavailable: pyarrow is not there.
        """
        pa, pq = require_pyarrow()
        self._pa = pa
        self._time_base = header.time_base
        self._source = header.source.encode("utf-8", "backslashreplace").decode("utf-8")
        self._lines = JsonlLines(header)
        self._waiting: FrameResult | None = None  # until the next frame says how long it is shown
        self._rows = {name: array(code) for name, (_, code) in _COLUMNS.items() if code}
        self._sink = _Sink()
        self._schema = pa.schema([(name, _arrow_type(pa, kind)) for name, (kind, _) in _COLUMNS.items()])
        self._file = pq.ParquetWriter(
            self._sink,
            self._schema,
            compression="zstd",
            sorting_columns=pq.SortingColumn.from_ordering(self._schema, _ORDER),
        )
        self._file.add_key_value_metadata({HEADER_KEY: self._lines.header().decode("utf-8").strip()})

    def header(self) -> bytes:
        """The four letters that a Parquet file begins with."""
        return self._sink.taken()

    def frame(self, result: FrameResult) -> bytes:
        """A row group, when one is full."""
        self._lines.count(result)
        self._add_waiting(result.pts * self._time_base)
        self._waiting = result
        return self._group() if len(self._rows["pts"]) >= ROWS_A_GROUP else b""

    def end(self, end: ResultEnd) -> Iterable[bytes]:
        """The last row group and the footer."""
        self._add_waiting(self._lines.end_seconds)
        yield self._group()
        self._file.add_key_value_metadata({END_KEY: self._lines.end(end).decode("utf-8").strip()})
        self._file.close()
        yield self._sink.taken()

    def _add_waiting(self, until_seconds: Fraction) -> None:
        """Take over the rows of the frame that waits, which is shown until ``until_seconds``."""
        if self._waiting is None:
            return
        begin = self._waiting.pts * self._time_base
        for face in self._waiting.faces:
            values = _row(self._waiting, face, float(begin), max(0.0, float(until_seconds - begin)))
            for name, value in values.items():
                self._rows[name].append(value)
        self._waiting = None

    def _group(self) -> bytes:
        """The rows that wait, written."""
        count = len(self._rows["pts"])
        if count:
            columns = [self._column(name, kind, count) for name, (kind, _) in _COLUMNS.items()]
            self._file.write_table(self._pa.Table.from_arrays(columns, schema=self._schema), row_group_size=count)
            for values in self._rows.values():
                del values[:]
        return self._sink.taken()

    def _column(self, name: str, kind: str, count: int) -> pa.Array:
        if name == "source":
            return self._pa.repeat(self._source, count)
        rows = self._rows[name]
        values = self._pa.array(np.frombuffer(rows.tobytes(), rows.typecode))  # a copy: arrays in use cannot shrink
        if name == "state":
            return self._pa.DictionaryArray.from_arrays(values, [state.value for state in _STATES]).cast("string")
        return values.cast(_arrow_type(self._pa, kind))


def _row(result: FrameResult, face: Face, seconds: float, shown_seconds: float) -> dict[str, Any]:
    x1, y1, x2, y2 = rounded_box(face.box_xyxy)
    return {
        "frame_index": result.index,
        "pts": result.pts,
        "pts_seconds": seconds,
        "shown_seconds": shown_seconds,
        "shot": result.shot,
        "track_id": face.track_id,
        "x1": x1,
        "y1": y1,
        "x2": x2,
        "y2": y2,
        "score": rounded(face.score, SCORE_DECIMALS),
        "state": _STATES.index(face.state),
        "reused": result.reused,
        "pts_filled": result.is_pts_filled,
        "truncated": result.is_truncated,
    }


def _arrow_type(pa: Any, kind: str) -> Any:
    return pa.type_for_alias(kind)


def require_pyarrow() -> tuple[Any, Any]:
    """The library and its Parquet part.

    Raises:
        BackendUnavailable: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise BackendUnavailable(
            "Parquet needs pyarrow, which is not installed; pip install 'acfd-stream[parquet]' brings it"
        ) from error
    return pyarrow, pyarrow.parquet
