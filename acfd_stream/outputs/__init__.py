"""Result files: ``open_writer`` → ``write`` each FrameResult → ``close`` with a ResultEnd, or ``abort``.

``read_results`` reads a finished JSONL result, and ``convert`` writes it in another format. ``to_pandas`` makes a
table of it. ``formats`` lists the formats.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO

from acfd_stream.errors import ShapeError
from acfd_stream.outputs.formats import FORMATS, check_format, encoder_of, format_of, result_suffix

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from acfd_stream.outputs.data_frame import DataFrame
    from acfd_stream.outputs.reader import ResultFile, read_results
    from acfd_stream.outputs.writer import ResultEnd, ResultHeader, Writer
    from acfd_stream.types import FrameResult

__all__ = [
    "FORMATS",
    "ResultEnd",
    "ResultFile",
    "ResultHeader",
    "Writer",
    "check_format",
    "convert",
    "open_writer",
    "read_results",
    "result_suffix",
    "to_pandas",
]


# Loaded on first use: the command line reads the table of formats before every command.
_MODULE_OF = {"ResultFile": "reader", "read_results": "reader"} | dict.fromkeys(
    ("ResultEnd", "ResultHeader", "Writer"), "writer"
)

if not TYPE_CHECKING:  # a type checker finds a name that does not exist

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def open_writer(place: str | Path | BinaryIO, format: str, header: ResultHeader) -> Writer:
    """A writer of ``format`` to ``place``, with the format's header already written.

    Args:
        place: a file, which is replaced, or a binary stream, which is flushed and left open.
        format: one of ``FORMATS``.
        header: what is known before the first frame.

    Raises:
        ConfigError: there is no such format.
        BackendUnavailable: the format's library is not installed.
        OutputError: ``place`` cannot be written.
    """
    from acfd_stream.outputs.writer import Writer

    return Writer(place, encoder_of(format, header), marks_end=format_of(format).marks_end)


def convert(results: ResultFile, place: str | Path | BinaryIO, format: str) -> None:
    """Write ``results`` to ``place`` as ``format``, with the bytes that tracking into ``format`` gives.

    Raises:
        ConfigError: there is no such format.
        BackendUnavailable: the format's library is not installed.
        MediaError: the results cannot be read to their end; there is no file at ``place``.
        ShapeError: ``results`` are not what ``read_results`` returns.
        OutputError: ``place`` cannot be written.
    """
    from acfd_stream.outputs.reader import ResultFile

    if not isinstance(results, ResultFile):
        raise ShapeError(f"results must be what read_results returns, got {type(results).__name__}")
    writer = open_writer(place, format, results.header)
    try:
        for result in results:
            writer.write(result)
        writer.close(results.end)
    finally:
        writer.abort(is_failure=True)  # does nothing after close


def to_pandas(results: str | Path | ResultFile | Iterable[FrameResult]) -> DataFrame:
    """One row per face and frame, sorted by frame and track, with the columns of the Parquet format.

    Args:
        results: path of a Parquet or JSONL result, or what ``read_results`` returns; or results of one video in order,
            as ``track_video`` yields them. The latter give no column ``source``, and ``shown_seconds`` of the last
            frame is NaN.

    Raises:
        BackendUnavailable: pandas is not installed, or pyarrow for a Parquet file.
        MediaError: a file cannot be read, is no result, or is unfinished.
        ShapeError: ``results`` is none of these.
    """
    from pathlib import Path

    from acfd_stream.outputs.data_frame import data_frame, read_parquet
    from acfd_stream.outputs.reader import ResultFile, read_results

    if isinstance(results, str | Path):
        if Path(results).suffix.lower() == result_suffix("parquet"):
            return read_parquet(Path(results))
        results = read_results(results)
    return results.to_pandas() if isinstance(results, ResultFile) else data_frame(results)
