"""``archive run`` and ``archive resume``: a run over an archive, shown to whoever looks."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acfd_stream.cli.archive.watch import open_watcher, summary
from acfd_stream.cli.exits import DONE, INPUT_AT_FAULT, print_error, print_note
from acfd_stream.cli.signals import STOP, Terminated
from acfd_stream.errors import ConfigError

if TYPE_CHECKING:
    from types import FrameType

    from acfd_stream.archive.options import ArchiveCall
    from acfd_stream.archive.run import RunEnd
    from acfd_stream.archive.run_metrics import ArchiveMetrics

SHOWN_FAILURES = 20


@dataclass(frozen=True)
class Showing:
    """How a run is shown."""

    is_log_json: bool = False
    is_quiet: bool = False
    metrics: str = ""  # HOST:PORT; empty: nowhere


def run_archive(call: ArchiveCall, showing: Showing) -> int:
    """Run ``call``; 1 when not every video is done in the end.

    Args:
        call: what is asked for.
        showing: how it is shown.

    Raises:
        AcfdError: nothing can be worked on.
        KeyboardInterrupt: it was told to stop, and has.
    """
    from acfd_stream.archive.choose_workers import enlist_for
    from acfd_stream.archive.run import ArchiveRun
    from acfd_stream.archive.run_metrics import ArchiveMetrics

    metrics = ArchiveMetrics()
    call = replace(call, out=Path(os.path.abspath(call.out)))
    with ExitStack() as opened:
        expose(opened, showing.metrics, metrics)
        stop = opened.enter_context(_listening())
        watcher = opened.enter_context(open_watcher(showing.is_log_json, showing.is_quiet))
        run = ArchiveRun(call, enlist_for(call), watcher=watcher, metrics=metrics, is_stopped=stop.is_heard)
        end = run.run()
    if "report" in call.outputs and (end.has_changed or not (call.out / "index.html").exists()):
        from acfd_stream.archive.reports import write_index

        write_index(call.out)
    return _say_how_it_ended(call, showing, end, stop)


def resume_archive(out: Path, changes: Mapping[str, Any], showing: Showing) -> int:
    """Repeat the last run over ``out``; see ``run_archive``.

    Args:
        out: folder of the results.
        changes: fields of the call that are other ones this time; None: as they were.
        showing: how it is shown.
    """
    from acfd_stream.archive.manifest import Manifest
    from acfd_stream.archive.options import ArchiveCall

    out = Path(os.path.abspath(out))
    with Manifest(out) as manifest:
        last = manifest.last_run()
    if last is None:
        raise ConfigError(f"{out} has seen no run; use 'archive run'")
    call = ArchiveCall.from_values(last.call, out)
    call = replace(call, **{name: value for name, value in changes.items() if value is not None})
    enter_folder_of(last.call)
    return run_archive(call, showing)


def enter_folder_of(values: Mapping[str, Any]) -> None:
    """Go where a run began: relative places, and what results call their videos, are then as they were.

    Raises:
        ConfigError: it is not there any more.
    """
    folder = str(values.get("folder", "."))
    try:
        os.chdir(folder)
    except OSError as error:
        raise ConfigError(f"the last run began in {folder}, which cannot be entered ({error.strerror})") from error


class _Stop:
    """Whether a signal came; the second one ends the command at once."""

    def __init__(self) -> None:
        self.number = 0

    def is_heard(self) -> bool:
        """Whether one came."""
        return self.number != 0

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self.number:
            raise _interrupt(number)
        self.number = number


@contextmanager
def _listening() -> Iterator[_Stop]:
    """Let Ctrl-C, SIGTERM and SIGHUP be asked for: workers save where they are before the run ends."""
    stop = _Stop()
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the last one: the terminal was closed
        if signal.getsignal(number) is not signal.SIG_IGN:
            try:
                before[number] = signal.signal(number, stop.hear)
            except ValueError:  # not the main thread: whoever runs us handles signals
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


def _say_how_it_ended(call: ArchiveCall, showing: Showing, end: RunEnd, stop: _Stop) -> int:
    out = os.path.relpath(call.out)
    if end.is_stopped:
        STOP.check()
        about = f"; {end.view.settled} of {end.view.total} videos settled; 'acfd-stream archive resume {out}' goes on"
        raise _interrupt(stop.number, about)
    for name, reason in end.view.failures[:SHOWN_FAILURES]:
        print_error(reason if name in reason else f"{name}: {reason}")
    rest = len(end.view.failures) - SHOWN_FAILURES
    if rest > 0:
        print_error(f"… and {rest} more; 'acfd-stream archive status {out} --all' lists them")
    if not showing.is_quiet:
        print_note(f"{summary(end.view)} → {out}")
    return DONE if end.is_all_done else INPUT_AT_FAULT


def expose(opened: ExitStack, address: str, metrics: ArchiveMetrics) -> int:
    """Serve the metrics at HOST:PORT until ``opened`` is closed; the port. Port 0: a free one. Empty: nowhere.

    Raises:
        ConfigError: there is no such place, or it is taken.
    """
    if not address:
        return 0
    from prometheus_client import start_http_server

    host, _, port = address.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host or "127.0.0.1", registry=metrics.registry)
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigError(f"--metrics must be a free HOST:PORT, got {address!r}: {error}") from error

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    opened.callback(close)
    return server.server_port
