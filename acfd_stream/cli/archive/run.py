"""``archive run`` and ``archive resume``: start a run and show its progress."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acfd_stream.cli.archive.watch import open_observer, summary
from acfd_stream.cli.exits import DONE, INPUT_AT_FAULT, print_error, print_note, print_path
from acfd_stream.cli.signals import STOP, Terminated
from acfd_stream.errors import AcfdError, ConfigError, ForeignFileError

if TYPE_CHECKING:
    from types import FrameType

    from acfd_stream.archive.find import Findings
    from acfd_stream.archive.options import ArchiveOptions
    from acfd_stream.archive.run import ArchiveRun
    from acfd_stream.archive.run_metrics import ArchiveMetrics
    from acfd_stream.archive.run_progress import RunEnd

SHOWN_FAILURES = 20


@dataclass(frozen=True)
class Showing:
    """How the progress of a run is shown."""

    out: str  # the folder as the user wrote it: a resumed run changes the current folder
    is_log_json: bool = False
    is_quiet: bool = False
    metrics: str = ""  # HOST:PORT; empty: not served


def run_archive(call: ArchiveOptions, showing: Showing) -> int:
    """Run ``call``; exit code 1 unless every video is done.

    Args:
        call: options of the run.
        showing: how its progress is shown.

    Raises:
        AcfdError: the run cannot start.
        KeyboardInterrupt: a signal stopped it.
    """
    with recorded_signals() as stop:
        _, code = run_once(replace(call, out=Path(os.path.abspath(call.out))), showing, stop)
    return code


def run_once(
    call: ArchiveOptions, showing: Showing, stop: Stop, find_videos: Callable[[], Findings] | None = None
) -> tuple[RunEnd, int]:
    """How a run ended, and its exit code.

    Args:
        call: options of the run; ``out`` is absolute.
        showing: how its progress is shown.
        stop: ends it.
        find_videos: see ``ArchiveRun``.

    Raises:
        AcfdError: the run cannot start.
        KeyboardInterrupt: a signal stopped it.
    """
    from acfd_stream.archive.choose_workers import workers_for
    from acfd_stream.archive.run import ArchiveRun
    from acfd_stream.archive.run_metrics import ArchiveMetrics

    metrics = ArchiveMetrics()
    with ExitStack() as opened:
        expose(opened, showing.metrics, metrics)
        observer = opened.enter_context(open_observer(showing.is_log_json, showing.is_quiet))
        run = ArchiveRun(
            call,
            workers_for(call),
            observer=observer,
            metrics=metrics,
            is_stopped=stop.is_requested,
            find_videos=find_videos,
        )
        end = run.run()
        fault = _cast_fault(call, end)
        refusal = _index_refusal(run, end) if "report" in call.outputs else ""
    code = _report_end(showing, end, stop)
    for line in filter(None, (fault, refusal)):
        print_error(line)
        code = max(code, INPUT_AT_FAULT)
    if not showing.is_quiet:
        has_index = "report" in call.outputs and not refusal
        print_path(os.path.join(showing.out, "index.html") if has_index else showing.out)
    return end, code


def _cast_fault(call: ArchiveOptions, end: RunEnd) -> str:
    """Add the videos of a run that was not stopped to its cast; why that failed, or ""."""
    from acfd_stream.archive.season_cast import grow

    try:
        if call.cast is not None and not end.is_stopped:
            grow(call.cast, call.out)
    except AcfdError as error:
        return f"{error}; the results are complete, 'acfd-stream archive resume {call.out}' adds them to the cast"
    return ""


def _index_refusal(run: ArchiveRun, end: RunEnd) -> str:
    """Write the index, unless it is there and nothing has changed; why it cannot have its name, or ""."""
    from acfd_stream.archive.reports import has_index

    try:
        if end.has_changed or not has_index(run.out):
            run.write_index()
    except ForeignFileError as error:
        return str(error)
    return ""


def resume_archive(out: Path, changes: Mapping[str, Any], showing: Showing) -> int:
    """Repeat the last run over ``out``; see ``run_archive``.

    Args:
        out: folder of the results.
        changes: fields that differ from the last run; None: as before.
        showing: how its progress is shown.
    """
    from acfd_stream.archive.manifest import Manifest
    from acfd_stream.archive.options import ArchiveOptions

    out = Path(os.path.abspath(out))
    with Manifest(out) as manifest:
        last = manifest.last_run()
    if last is None:
        raise ConfigError(f"{out} has no earlier run; use 'archive run'")
    call = ArchiveOptions.from_values(last.call, out)
    call = replace(call, **{name: value for name, value in changes.items() if value is not None})
    enter_folder_of(last.call)
    return run_archive(call, showing)


def enter_folder_of(values: Mapping[str, Any]) -> None:
    """Change to the folder in which a run began, so that relative paths and the names in results stay the same.

    Raises:
        ConfigError: the folder cannot be entered.
    """
    folder = str(values.get("folder", "."))
    try:
        os.chdir(folder)
    except OSError as error:
        raise ConfigError(f"the last run began in {folder}, which cannot be entered ({error.strerror})") from error


class Stop:
    """Whether a signal came; the second one ends the command at once."""

    def __init__(self) -> None:
        self.number = 0

    def is_requested(self) -> bool:
        """Whether a signal came."""
        return self.number != 0

    def check(self) -> None:
        """Raise if a signal came."""
        if self.number:
            raise _interrupt(self.number)

    def record(self, number: int, frame: FrameType | None) -> None:
        """Remember a signal; raise at the second one."""
        if self.number:
            raise _interrupt(number)
        self.number = number


@contextmanager
def recorded_signals() -> Iterator[Stop]:
    """Record Ctrl-C, SIGTERM and SIGHUP instead of raising, so that workers save checkpoints before the run ends."""
    stop = Stop()
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGHUP: the terminal was closed
        if signal.getsignal(number) is not signal.SIG_IGN:
            try:
                before[number] = signal.signal(number, stop.record)
            except ValueError:  # not the main thread: the caller handles signals
                break
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, message: str = "") -> KeyboardInterrupt:
    if number == signal.SIGINT:
        return KeyboardInterrupt(f"interrupted{message}")
    return Terminated(f"terminated{message}")


def _report_end(showing: Showing, end: RunEnd, stop: Stop) -> int:
    out = showing.out
    if end.is_stopped:
        STOP.check()
        settled = f"{end.snapshot.settled} of {end.snapshot.total} videos finished"
        raise _interrupt(stop.number, f"; {settled}; 'acfd-stream archive resume {out}' continues")
    for name, reason in end.snapshot.failures[:SHOWN_FAILURES]:
        print_error(reason if name in reason else f"{name}: {reason}")
    rest = len(end.snapshot.failures) - SHOWN_FAILURES
    if rest > 0:
        print_error(f"… and {rest} more; 'acfd-stream archive status {out} --all' lists them")
    if not showing.is_quiet:
        print_note(summary(end.snapshot))
    return DONE if end.is_all_done else INPUT_AT_FAULT


def expose(opened: ExitStack, address: str, metrics: ArchiveMetrics) -> int:
    """Serve the metrics at HOST:PORT until ``opened`` is closed; returns the port. Port 0: any free one. Empty: none.

    Raises:
        ConfigError: the address is invalid or taken.
    """
    if not address:
        return 0
    from acfd_stream.service.dashboard.http_request import Scrapes, open_connections

    host, _, port = address.rpartition(":")
    scrapes = Scrapes(metrics.registry)
    try:
        server = open_connections(
            host.strip("[]") or "127.0.0.1",
            int(port),
            lambda path, host, accept, authorization: partial(scrapes.answer, accept, time.monotonic()),
        )
    except OSError as error:
        raise ConfigError(f"--metrics must be a free HOST:PORT, got {address!r}: {error.strerror or error}") from error
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"--metrics must be a free HOST:PORT, got {address!r}") from error
    opened.callback(server.close)
    opened.callback(scrapes.close)
    server.start()
    return server.address[1]
