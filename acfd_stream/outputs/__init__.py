"""Results on their way out: one protocol, a writer a format.

``open_writer`` → ``write`` each FrameResult → ``close`` with how it ended, or ``abort``.
``read_results`` reads a finished JSONL result back.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from acfd_stream.errors import ConfigError
from acfd_stream.outputs.jsonl import JsonlWriter
from acfd_stream.outputs.mot import MotWriter
from acfd_stream.outputs.reader import ResultFile, read_results
from acfd_stream.outputs.writer import ResultEnd, ResultHeader, Writer

__all__ = [
    "FORMATS",
    "ResultEnd",
    "ResultFile",
    "ResultHeader",
    "Writer",
    "open_writer",
    "read_results",
    "result_suffix",
]

FORMATS = ("jsonl", "mot")
_SUFFIXES = {"jsonl": ".jsonl", "mot": ".txt"}


def open_writer(place: str | Path | BinaryIO, format: str, header: ResultHeader) -> Writer:
    """A writer of ``format`` to ``place``, with the header written.

    Args:
        place: a file, which is replaced, or a binary stream, which is flushed and left open.
        format: one of ``FORMATS``.
        header: what is known before the first frame.

    Raises:
        ConfigError: no such format.
        OutputError: ``place`` cannot be written.
    """
    _require_format(format)
    if format == "mot":
        return MotWriter(place, header)
    return JsonlWriter(place, header)


def result_suffix(format: str) -> str:
    """The usual end of a file name of ``format``, with its dot.

    Raises:
        ConfigError: no such format.
    """
    _require_format(format)
    return _SUFFIXES[format]


def _require_format(format: str) -> None:
    if format not in FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
