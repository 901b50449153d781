"""``archive watch``: look for new videos again and again, and run over those that are whole."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from acfd_stream.cli.archive.run import Showing, Stop, recorded_signals, run_once
from acfd_stream.cli.exits import print_error, print_note
from acfd_stream.errors import ConfigError, MediaError

if TYPE_CHECKING:
    from acfd_stream.archive.arrivals import Arrivals
    from acfd_stream.archive.find import Findings
    from acfd_stream.archive.options import ArchiveOptions

RETRY_SECONDS = 900.0
"""After a run in which the machine or the network failed; the next one tries those videos again."""
_TICK_SECONDS = 0.1


def watch_archive(call: ArchiveOptions, showing: Showing, seconds: float) -> NoReturn:
    """Run ``call`` over its videos, and again whenever one has come, until a signal comes.

    Args:
        call: options of each run.
        showing: how its progress is shown.
        seconds: between two looks, > 0.

    Raises:
        AcfdError: a place does not exist at the first look, or no video can be tracked.
        KeyboardInterrupt: a signal came.
    """
    from acfd_stream.archive.arrivals import Arrivals

    if not 0 < seconds < float("inf"):
        raise ConfigError(f"--every must be > 0, got {seconds}")
    call = replace(call, out=Path(os.path.abspath(call.out)))
    look, retry_at = _Look(call, Arrivals(seconds)), float("inf")
    with recorded_signals() as stop:
        while True:
            if look.has_news() or time.monotonic() >= retry_at:
                retry_at = _run(call, showing, stop, look)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                stop.check()
                time.sleep(_TICK_SECONDS)


class _Look:
    """Looks at the places of a run; one that is away after the first look, such as a disk, may come back."""

    def __init__(self, call: ArchiveOptions, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self._call, self._is_first, self._said = call, True, ""

    def find(self) -> Findings:
        """All videos; there may be none yet."""
        from acfd_stream.archive.find import find

        return find(self._call.places, self._call.out, may_be_empty=True)

    def has_news(self) -> bool:
        """Whether a run has something to do."""
        try:
            findings = self.find()
        except MediaError as error:
            if self._is_first:
                raise
            if str(error) != self._said:
                self._said = str(error)
                print_error(f"{self._said}; it is looked for again")
            return False
        self._is_first, self._said = False, ""
        return self.arrivals.look(findings)


def _run(call: ArchiveOptions, showing: Showing, stop: Stop, look: _Look) -> float:
    """Run over what is whole; when to run again even if nothing comes, time.monotonic()."""
    from acfd_stream.archive.records import EpisodeStatus

    look.arrivals.note_run()
    end, _ = run_once(call, showing, stop, lambda: look.find().only(look.arrivals.is_whole))
    if not showing.is_quiet:
        print_note("waiting for videos; Ctrl-C ends")
    has_failed = end.snapshot.counts[EpisodeStatus.FAILING] > 0
    return time.monotonic() + RETRY_SECONDS if has_failed else float("inf")
