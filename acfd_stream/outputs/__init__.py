"""Results on their way out: one protocol, a writer a format.

``open_writer`` → ``write`` each FrameResult → ``close`` with how it ended, or ``abort``.
``read_results`` reads a finished JSONL result back, ``convert`` turns it into another format.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from acfd_stream.errors import ConfigError
from acfd_stream.outputs.jsonl import JsonlWriter
from acfd_stream.outputs.part import Encoder, PartWriter
from acfd_stream.outputs.reader import ResultFile, read_results
from acfd_stream.outputs.writer import ResultEnd, ResultHeader, Writer

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
]

_SUFFIXES = {"jsonl": ".jsonl", "parquet": ".parquet", "mot": ".txt", "coco": ".coco.json", "vtt": ".vtt"}
FORMATS = tuple(_SUFFIXES)


def open_writer(place: str | Path | BinaryIO, format: str, header: ResultHeader) -> Writer:
    """A writer of ``format`` to ``place``, with what stands before the first frame written.

    Args:
        place: a file, which is replaced, or a binary stream, which is flushed and left open.
        format: one of ``FORMATS``.
        header: what is known before the first frame.

    Raises:
        ConfigError: no such format.
        BackendUnavailable: the format's library is not installed.
        OutputError: ``place`` cannot be written.
    """
    check_format(format)
    if format == "jsonl":
        return JsonlWriter(place, header)
    return PartWriter(place, _encoder(format)(header))


def convert(results: ResultFile, place: str | Path | BinaryIO, format: str) -> None:
    """Write ``results`` to ``place`` as ``format``: the bytes that tracking into ``format`` would have given.

    Raises:
        ConfigError: no such format.
        BackendUnavailable: the format's library is not installed.
        MediaError: the results cannot be read to their end; nothing lies under the name of ``place``.
        OutputError: ``place`` cannot be written.
    """
    writer = open_writer(place, format, results.header)
    try:
        for result in results:
            writer.write(result)
        writer.close(results.end)
    finally:
        writer.abort(is_failure=True)  # after close this does nothing


def result_suffix(format: str) -> str:
    """The usual end of a file name of ``format``, with its dot.

    Raises:
        ConfigError: no such format.
    """
    if format not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    return _SUFFIXES[format]


def check_format(format: str) -> None:
    """See at the beginning of a long work whether its results can be written as ``format``.

    Raises:
        ConfigError: no such format.
        BackendUnavailable: the format's library is not installed.
    """
    result_suffix(format)
    if format == "parquet":
        from acfd_stream.outputs.parquet import require_pyarrow

        require_pyarrow()


def _encoder(format: str) -> Callable[[ResultHeader], Encoder]:
    if format == "parquet":
        from acfd_stream.outputs.parquet import ParquetRows

        return ParquetRows
    if format == "coco":
        from acfd_stream.outputs.coco import CocoObjects

        return CocoObjects
    if format == "vtt":
        from acfd_stream.outputs.webvtt import VttCues

        return VttCues
    from acfd_stream.outputs.mot import MotRows

    return MotRows
