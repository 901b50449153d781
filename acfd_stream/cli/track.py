"""``track``: one video in; results, and an overlay where asked for, out of one pass."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from acfd_stream.cli.exits import DONE, INPUT_AT_FAULT, print_error
from acfd_stream.cli.progress import TrackProgress, count
from acfd_stream.cli.signals import STOP, Terminated
from acfd_stream.config import DetectConfig, VideoConfig
from acfd_stream.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from acfd_stream.outputs import ResultEnd, Writer
    from acfd_stream.pipeline.session import TrackSession
    from acfd_stream.types import Frame, FrameResult

STDOUT = "-"
PART_SUFFIX = ".part"  # acfd_stream.outputs and the overlay leave what looks whole and is not under this name


@dataclass(frozen=True)
class TrackCall:
    """One call of the command, parsed."""

    source: str
    output: str | None  # None: beside the caller, named after the source
    format: str
    overlay: Path | None
    model: str
    device: str
    detect: DetectConfig
    video: VideoConfig
    is_quiet: bool = False
    report: Path | None = None
    has_proxy: bool = False  # of the report: the video goes into it, small

    @property
    def beside(self) -> dict[str, str]:
        """Option → place of what is made beside the results."""
        asked = {"--overlay": self.overlay, "--report": self.report}
        return {option: os.fspath(place) for option, place in asked.items() if place is not None}

    @property
    def place(self) -> str:
        """Where the results go."""
        if self.output is not None:
            return self.output
        from acfd_stream.outputs import result_suffix

        is_url = "://" in self.source
        path = PurePosixPath(unquote(urlsplit(self.source).path)) if is_url else Path(self.source)
        return (path.stem or "video") + result_suffix(self.format)


def run_track(call: TrackCall) -> int:
    """Track the video of ``call``; 1 when it broke in the middle, with what was good kept.

    Raises:
        AcfdError: nothing could be done, or the results cannot be written.
    """
    check_places(call)
    from acfd_stream.outputs import check_format
    from acfd_stream.pipeline.session import TrackSession
    from acfd_stream.recording.record import expected_frames

    check_format(call.format)
    session = TrackSession(
        call.source, model=call.model, device=call.device, video_config=call.video, detect_config=call.detect
    )
    with session:
        expected = expected_frames(session.info, call.video)
        is_screen_free = call.place != STDOUT or not sys.stdout.isatty()
        progress = TrackProgress(expected, is_quiet=call.is_quiet, is_bar_welcome=is_screen_free)
        end = _write_results(call, session, progress)
    return say_how_it_ended(call, session.info.source, end, progress)


def check_places(call: TrackCall) -> None:
    """Refuse a call that would write over its own input or over its own other output."""
    if not call.place:
        raise ConfigError("--output is empty; name a file, or leave it out")
    if call.has_proxy and call.report is None:
        raise ConfigError("--report-proxy goes with --report; name the page with --report OUT.html")
    places = {"--output": call.place} | call.beside
    for option, place in places.items():
        for name in (place, place + PART_SUFFIX):
            if place != STDOUT and _is_same_file(name, call.source):
                raise ConfigError(f"{option} {place} would write over the input, {name}; choose another place")
    for (one, first), (other, second) in combinations(places.items(), 2):
        names = [{os.path.realpath(place), os.path.realpath(place) + PART_SUFFIX} for place in (first, second)]
        if names[0] & names[1]:
            raise ConfigError(f"{one} {first} and {other} {second} would be one file; choose another place")


def _is_same_file(place: str, source: str) -> bool:
    return os.path.isfile(place) and os.path.isfile(source) and os.path.samefile(place, source)


def _write_results(call: TrackCall, session: TrackSession, progress: TrackProgress) -> ResultEnd:
    """Write all frames and the closing word; a failure leaves nothing that looks whole."""
    from acfd_stream.cli.track_extras import open_extras
    from acfd_stream.outputs import open_writer
    from acfd_stream.recording.record import end_of, header_of

    with contextlib.ExitStack() as failures:
        header = header_of(session)
        extras = open_extras(call, header)
        for extra in extras:
            failures.callback(extra.abort)
        place = sys.stdout.buffer if call.place == STDOUT else call.place
        writer = open_writer(place, call.format, header)
        failures.push(abort_on_exit(writer))
        results = _results(session, keeps_frames=any(extra.needs_frames for extra in extras))
        with naming_what_is_left(call, progress), contextlib.closing(results), progress:
            for frame, result in results:
                writer.write(result)
                for extra in extras:
                    with _naming_results(call, f"so far are in {call.place}{PART_SUFFIX}"):
                        extra.write(frame, result)
                progress.advance(result)
                STOP.check()
            end = end_of(session)
            writer.close(end)
        for extra in extras:
            with _naming_results(call, f"are in {call.place}"):
                extra.close(end)
        failures.pop_all()
    return end


def _results(session: TrackSession, *, keeps_frames: bool) -> Generator[tuple[Frame | None, FrameResult], None, None]:
    """Results in order, with their pixels only where something draws on them."""
    if keeps_frames:
        yield from session.with_frames()
    else:
        for result in session:
            yield None, result


def abort_on_exit(writer: Writer) -> Callable[[type[BaseException] | None, BaseException | None, object], None]:
    """An exit of an ExitStack: unfinished results stay, but aside when a place for output failed."""

    def leave(kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        writer.abort(is_failure=isinstance(error, OutputError))

    return leave


@contextlib.contextmanager
def naming_what_is_left(call: TrackCall, progress: TrackProgress) -> Iterator[None]:
    """Give Ctrl-C and SIGTERM a message that says what lies where."""
    try:
        yield
    except KeyboardInterrupt as error:
        how = "terminated" if isinstance(error, Terminated) else "interrupted"
        raise type(error)(f"{how} after {count(progress.frames, 'frame')}; {call.place} is unfinished") from None


@contextlib.contextmanager
def _naming_results(call: TrackCall, where: str) -> Iterator[None]:
    """Let what cannot be made beside the results, or is broken off, say where these are."""
    try:
        yield
    except KeyboardInterrupt as error:
        how = "terminated" if isinstance(error, Terminated) else "interrupted"
        raise type(error)(f"{how}; the results {where}") from None
    except OutputError as error:
        raise OutputError(f"{error}; the results {where}" if call.place != STDOUT else str(error)) from error


def say_how_it_ended(call: TrackCall, source: str, end: ResultEnd, progress: TrackProgress) -> int:
    """Warnings, then one line: what came out, or what broke. Returns the exit code."""
    for warning in end.warnings:
        print_error(f"warning: {source}: {warning}")
    if end.is_complete:
        progress.summarize(end.tracks, [call.place, *call.beside.values()])
        return DONE
    kept = call.place if call.format == "jsonl" or call.place == STDOUT else call.place + PART_SUFFIX
    frames = count(progress.frames, "frame")
    beside = f"; the overlay so far is {call.overlay}{PART_SUFFIX}" if call.overlay else ""
    beside += f"; the report of them is {call.report}" if call.report else ""
    print_error(f"{source}: {end.error}; {frames} kept in {kept}, which is marked incomplete{beside}")
    return INPUT_AT_FAULT
