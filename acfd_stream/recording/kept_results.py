"""Results kept while a video is tracked, for what can only be made of the final answer to who is who."""

from __future__ import annotations

import tempfile
from pathlib import Path

from acfd_stream.outputs import ResultEnd, ResultFile, ResultHeader, open_writer, read_results
from acfd_stream.outputs.formats import RESULTS
from acfd_stream.types import FrameResult


class KeptResults:
    """JSON lines in a folder of the system for temporary files.

    Args:
        header: of the results.

    Raises:
        OutputError: they cannot be written.
    """

    def __init__(self, header: ResultHeader) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="acfd-results-", ignore_cleanup_errors=True)
        self._path = Path(self._folder.name, "results.jsonl")
        self._writer = open_writer(self._path, RESULTS, header)

    def write(self, result: FrameResult) -> None:
        """Add a frame.

        Raises:
            OutputError: it cannot be written.
        """
        self._writer.write(result)

    def final(self, end: ResultEnd) -> ResultFile:
        """All frames, with the characters of ``end``; readable until ``close``.

        Raises:
            OutputError: they cannot be written.
        """
        self._writer.close(end)
        return read_results(self._path)

    def close(self) -> None:
        """Remove them; a second call does nothing."""
        self._writer.abort()
        self._folder.cleanup()
