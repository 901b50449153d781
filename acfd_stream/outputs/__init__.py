"""Result files: ``open_writer`` → ``write`` each FrameResult → ``close`` with a ResultEnd, or ``abort``.

``read_results`` reads a finished JSONL result, and ``convert`` writes it in another format. ``formats`` lists the
formats.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from acfd_stream.outputs.formats import FORMATS, check_format, encoder_of, format_of, result_suffix
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
    return Writer(place, encoder_of(format, header), marks_end=format_of(format).marks_end)


def convert(results: ResultFile, place: str | Path | BinaryIO, format: str) -> None:
    """Write ``results`` to ``place`` as ``format``, with the bytes that tracking into ``format`` gives.

    Raises:
        ConfigError: there is no such format.
        BackendUnavailable: the format's library is not installed.
        MediaError: the results cannot be read to their end; there is no file at ``place``.
        OutputError: ``place`` cannot be written.
    """
    writer = open_writer(place, format, results.header)
    try:
        for result in results:
            writer.write(result)
        writer.close(results.end)
    finally:
        writer.abort(is_failure=True)  # does nothing after close
