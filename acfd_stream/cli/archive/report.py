"""``archive report``: writes the pages of an archive."""

from __future__ import annotations

import os
from pathlib import Path

from acfd_stream.cli.archive.run import enter_folder_of
from acfd_stream.cli.exits import DONE, INPUT_AT_FAULT, print_error, print_note
from acfd_stream.cli.progress import count
from acfd_stream.cli.signals import STOP


def run_report(out: Path, *, is_quiet: bool) -> int:
    """Write the missing reports and the index; exit code 1 if a page could not be written.

    Raises:
        ConfigError: the folder has no archive.
        OutputError: a page cannot be written.
    """
    from acfd_stream.archive.manifest import Manifest
    from acfd_stream.archive.reports import write_index, write_reports

    shown, out = os.fspath(out), Path(os.path.abspath(out))
    with Manifest(out) as manifest:
        last = manifest.last_run()
    if last is not None:
        enter_folder_of(last.call)
    made = failed = 0
    for name, error in write_reports(out):
        STOP.check()
        made, failed = made + (not error), failed + bool(error)
        if error:
            print_error(error if name in error else f"{name}: {error}")
    write_index(out)
    if not is_quiet:
        print_note(f"{count(made, 'new report')} → {os.path.join(shown, 'index.html')}")
    return INPUT_AT_FAULT if failed else DONE
