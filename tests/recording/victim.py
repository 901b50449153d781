"""An episode worked on by a process that is killed on the way, and what it leaves behind.

The process dies by SIGKILL of its own at a line of the program that is drawn by lot, which a test can draw again, or
from outside at any moment. Time is counted in lines of the archive's and the outputs' code.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

from acfd_stream.outputs.formats import ARCHIVE_SUFFIXES
from acfd_stream.recording.episode import record_episode
from acfd_stream.recording.task import STATE_FOLDER, RecordingOutcome, RecordingTask
from tests.pipeline.square_finder import SquareFinder
from tests.recording.scripted_characters import install

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload([__name__, "acfd_stream.video.render", "acfd_stream.outputs.report.episode"])
_COUNTED = re.compile(r"/acfd_stream/(archive|outputs|recording)/")
_SPEED = re.compile(" *<div><dt>(Tracked at|processing time|time per frame|· [A-Za-z_ ]+)</dt>.*\n".encode())


@dataclass(frozen=True)
class Death:
    """How a process ended: by SIGKILL (no outcome), or with its work."""

    outcome: RecordingOutcome | None
    lines: int = 0  # that it ran


def attempt(
    task: RecordingTask,
    lines: int | None = None,
    before_kill: Callable[[], object] | None = None,
    in_output: str | None = None,
) -> Death:
    """Work on ``task`` in a process that dies after so many lines, when ``before_kill`` has returned, or when an
    output is made and has not got its name yet.
    """
    ours, theirs = _SERVER.Pipe()
    process = _SERVER.Process(target=_victim, args=(task, lines, in_output, theirs))
    process.start()
    theirs.close()
    try:
        if before_kill is not None:
            assert ours.recv() == "began"
            before_kill()
            process.kill()
        answers = _all_from(ours)
        process.join(60)
        assert process.exitcode in (0, -signal.SIGKILL)
        return answers[-1] if answers and isinstance(answers[-1], Death) else Death(None)
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


def outputs_of(out: Path) -> dict[str, bytes]:
    """Every file below ``out`` that a user sees; of a report all but how fast the episode was tracked."""
    files = [path for path in out.rglob("*") if path.is_file() and STATE_FOLDER not in path.relative_to(out).parts]
    return {str(path.relative_to(out)): _SPEED.sub(b"", path.read_bytes()) for path in files}


def _all_from(connection: Connection) -> list[Any]:
    answers = []
    try:
        while True:
            answers.append(connection.recv())
    except (EOFError, ConnectionResetError):
        return answers


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_before_naming(output: str) -> None:
    """Have this process die as soon as a file or folder would take the final name of ``output``."""
    replace = os.replace

    def deadly(fresh: Any, place: Any, **more: Any) -> None:
        if os.fspath(place).endswith(ARCHIVE_SUFFIXES[output]):
            _die()
        replace(fresh, place, **more)

    os.replace = deadly  # type: ignore[assignment]


def _victim(task: RecordingTask, lines: int | None, in_output: str | None, connection: Connection) -> None:
    ran = 0
    if in_output is not None:
        _die_before_naming(in_output)

    def each_line(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal ran
        if event == "line":
            ran += 1
            if ran == lines:
                _die()
        return each_line

    def each_call(frame: FrameType, event: str, argument: object) -> Any:
        return each_line if _COUNTED.search(frame.f_code.co_filename) else None

    if task.characters is not None:
        install()
    connection.send("began")
    sys.settrace(each_call)
    outcome = record_episode(task, SquareFinder())
    sys.settrace(None)
    connection.send(Death(outcome, ran))
