"""The table of output formats. A new format is a module with an ``Encoder`` and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from acfd_stream.errors import BackendUnavailable, ConfigError

if TYPE_CHECKING:
    from acfd_stream.outputs.writer import Encoder, ResultHeader


@dataclass(frozen=True)
class Format:
    """One output format."""

    suffix: str  # of a file named by ``acfd-stream track``
    encoder: str  # its class, as module:class; loaded on first use
    archive_suffix: str = ""  # after a video's name in an archive, if different
    marks_end: bool = False  # an unfinished file is recognisable, so it is written under its final name
    library: str = ""  # what it needs besides the package
    extra: str = ""  # of the package, which installs ``library``


_FORMATS = {
    "jsonl": Format(".jsonl", "jsonl:JsonlLines", marks_end=True),
    "parquet": Format(".parquet", "parquet:ParquetEncoder", library="pyarrow", extra="parquet"),
    "csv": Format(".csv", "csv_rows:CsvEncoder"),
    "mot": Format(".txt", "mot:MotEncoder", archive_suffix=".mot.txt"),
    "mot-characters": Format(".txt", "mot:CharacterMotEncoder", archive_suffix=".characters.txt"),
    "coco": Format(".coco.json", "coco:CocoEncoder"),
    "vtt": Format(".vtt", "webvtt:VttEncoder"),
    "srt": Format(".srt", "srt:SrtEncoder"),
}
FORMATS = tuple(_FORMATS)
RESULTS = FORMATS[0]
"""Every other output is made from it."""
ARCHIVE_SUFFIXES = {name: each.archive_suffix or each.suffix for name, each in _FORMATS.items()} | {
    "views": ".views.ndjson",
    "overlay": ".overlay.mp4",
    "thumbnails": ".thumbnails",
    "poster": ".poster.jpg",
    "proxy": ".proxy.mp4",
    "report": ".report.html",
}
"""Output of an archive → what follows the video's name; thumbnails are a folder."""
OUTPUTS = tuple(ARCHIVE_SUFFIXES)
REPORT_OUTPUTS = ("poster", "report")
"""What the pages of an archive consist of, beside its index."""
INDEX = "index.html"
"""The page of a whole archive, in its folder."""
VIEWS = "views"
"""Pictures and embeddings of tracks, kept while these are found; it cannot be made later."""
OPTIONAL = ("views", "poster", "proxy")
"""Outputs that some videos do not have.

One without characters has no views, one without frames has no poster, one that browsers play needs no proxy.
"""


def format_of(name: str) -> Format:
    """The format called ``name``.

    Raises:
        ConfigError: there is no such format.
    """
    if name not in _FORMATS:
        raise ConfigError(f"format must be one of {', '.join(FORMATS)}, got {name!r}")
    return _FORMATS[name]


def result_suffix(name: str) -> str:
    """The usual file suffix of a format, with its dot.

    Raises:
        ConfigError: there is no such format.
    """
    return format_of(name).suffix


def format_of_path(path: str) -> str | None:
    """The format that the suffix of ``path`` stands for; None: several or none, as for ".txt"."""
    return next((name for name in FORMATS if path.lower().endswith(ARCHIVE_SUFFIXES[name])), None)


def check_format(name: str) -> None:
    """Return if results can be written in a format; call it before long work.

    Raises:
        ConfigError: there is no such format.
        BackendUnavailable: the format's library is not installed.
    """
    needed = format_of(name)
    try:
        if needed.library:
            import_module(needed.library)
    except ImportError as error:
        raise BackendUnavailable(
            f"format {name} needs {needed.library}, which is not installed; "
            f"pip install 'acfd-stream[{needed.extra}]' brings it"
        ) from error


def encoder_of(name: str, header: ResultHeader) -> Encoder:
    """A new encoder of a format.

    Raises:
        ConfigError: there is no such format.
        BackendUnavailable: the format's library is not installed.
    """
    check_format(name)
    module, _, kind = format_of(name).encoder.partition(":")
    encoder: Callable[[ResultHeader], Encoder] = getattr(import_module(f"acfd_stream.outputs.{module}"), kind)
    return encoder(header)
