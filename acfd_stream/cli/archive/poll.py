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
            has_news = look.has_news()
            if has_news or (time.monotonic() >= retry_at and not look.is_away):
                retry_at = _run(call, showing, stop, look.whole())
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                stop.check()
                time.sleep(_TICK_SECONDS)


class _Look:
    """Looks at the places of a run; one that is away after the first look, such as a disk, may come back."""

    def __init__(self, call: ArchiveOptions, arrivals: Arrivals) -> None:
        self.is_away = False
        self._call, self._arrivals, self._said = call, arrivals, ""
        self._findings: Findings | None = None  # of the last look that was possible

    def has_news(self) -> bool:
        """Look; whether a run has something to do."""
        from acfd_stream.archive.find import find

        try:
            self._findings = find(self._call.places, self._call.out, may_be_empty=True)
        except MediaError as error:
            if self._findings is None:
                raise
            self.is_away = True
            if str(error) != self._said:
                self._said = str(error)
                print_error(f"{self._said}; it is looked for again")
            return False
        self.is_away, self._said = False, ""
        return self._arrivals.look(self._findings)

    def whole(self) -> Findings:
        """What a run takes now."""
        from acfd_stream.archive.find import Findings

        self._arrivals.note_run()
        return (self._findings or Findings()).only(self._arrivals.is_whole)


def _run(call: ArchiveOptions, showing: Showing, stop: Stop, findings: Findings) -> float:
    """Run over ``findings``; when to run again even if nothing comes, time.monotonic()."""
    from acfd_stream.archive.records import EpisodeStatus

    end, _ = run_once(call, showing, stop, lambda: findings)
    if not showing.is_quiet:
        print_note("waiting for videos; Ctrl-C ends")
    has_failed = end.snapshot.counts[EpisodeStatus.FAILING] > 0
    return time.monotonic() + RETRY_SECONDS if has_failed else float("inf")
