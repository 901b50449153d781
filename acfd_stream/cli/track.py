"""``track``: one video in; results, and an overlay where asked for, out of one pass."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
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
    from typing import BinaryIO

    from acfd_stream.outputs import ResultEnd
    from acfd_stream.recording.header import RecordingStart
    from acfd_stream.recording.sinks import FormatSink, OverlaySink, ReportSink, ResultSink
    from acfd_stream.recording.task import RecordingProgress
    from acfd_stream.types import Frame, FrameResult

STDOUT = "-"


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

    @property
    def target(self) -> str | BinaryIO:
        """What the results are written to."""
        return sys.stdout.buffer if self.place == STDOUT else self.place


def run_track(call: TrackCall) -> int:
    """Track the video of ``call``; 1 when it broke in the middle, with what was good kept.

    Raises:
        AcfdError: nothing could be done, or the results cannot be written.
    """
    check_places(call)
    from acfd_stream.outputs import check_format
    from acfd_stream.recording.record import Recorder
    from acfd_stream.recording.sinks import FormatSink
    from acfd_stream.recording.task import RecordingSettings
    from acfd_stream.video.origin import source_name

    check_format(call.format)
    progress: TrackProgress
    results, name = FormatSink(call.target, call.format), source_name(call.source)
    with contextlib.ExitStack() as shown:

        def begin(start: RecordingStart) -> None:
            nonlocal progress
            progress = open_progress(call, start.expected_frames)
            shown.enter_context(naming_what_is_left(call, progress, results))
            shown.enter_context(progress)

        def advance(_: RecordingProgress, result: FrameResult) -> None:
            progress.advance(result)
            STOP.check()

        recording = Recorder(
            source=call.source,
            settings=RecordingSettings(model=call.model, device=call.device, detect=call.detect, video=call.video),
            sinks=[results, *_extras(call)],
            name=name,
            on_start=begin,
            on_progress=advance,
        ).record()
    return say_how_it_ended(call, name, recording.end, progress)


def open_progress(call: TrackCall, expected_frames: int | None) -> TrackProgress:
    """The progress of ``call``; its bar stays away from a terminal that shows the results."""
    is_screen_free = call.place != STDOUT or not sys.stdout.isatty()
    return TrackProgress(expected_frames, is_quiet=call.is_quiet, is_bar_welcome=is_screen_free)


def check_places(call: TrackCall) -> None:
    """Refuse a call that would write over its own input or over its own other output."""
    if not call.place:
        raise ConfigError("--output is empty; name a file, or leave it out")
    if call.has_proxy and call.report is None:
        raise ConfigError("--report-proxy goes with --report; name the page with --report OUT.html")
    from acfd_stream.files import PART_SUFFIX

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


def _extras(call: TrackCall) -> list[ResultSink]:
    """The sinks of what ``call`` makes besides its results."""
    from acfd_stream.recording.sinks import OverlaySink, ReportSink

    extras: list[ResultSink] = []
    if call.overlay is not None:
        extras.append(_Extra(OverlaySink(call.overlay, call.source), call))
    if call.report is not None:
        report = ReportSink(call.report, call.source, call.video, has_proxy=call.has_proxy, on_frame=STOP.check)
        extras.append(_Extra(report, call))
    return extras


class _Extra:
    """A sink whose errors say where the results are, and whose warnings are printed."""

    def __init__(self, sink: OverlaySink | ReportSink, call: TrackCall) -> None:
        self._sink, self._call, self.needs_frames = sink, call, sink.needs_frames
        self.begin, self.abort = sink.begin, sink.abort

    def write(self, frame: Frame | None, result: FrameResult) -> None:
        from acfd_stream.files import PART_SUFFIX

        with self._naming_results(f"so far are in {self._call.place}{PART_SUFFIX}"):
            self._sink.write(frame, result)

    def close(self, end: ResultEnd) -> None:
        with self._naming_results(f"are in {self._call.place}"):
            self._sink.close(end)
        for warning in self._sink.warnings:
            print_error(f"warning: {self._sink.place}: {warning}")

    @contextlib.contextmanager
    def _naming_results(self, where: str) -> Iterator[None]:
        try:
            yield
        except OutputError as error:
            raise OutputError(f"{error}; the results {where}" if self._call.place != STDOUT else str(error)) from error


@contextlib.contextmanager
def naming_what_is_left(call: TrackCall, progress: TrackProgress, results: FormatSink) -> Iterator[None]:
    """Give Ctrl-C and SIGTERM a message that says where the results are."""
    try:
        yield
    except KeyboardInterrupt as error:
        how = "terminated" if isinstance(error, Terminated) else "interrupted"
        left = f" after {count(progress.frames, 'frame')}; {call.place} is unfinished"
        raise type(error)(how + (f"; the results are in {call.place}" if results.is_closed else left)) from None


def say_how_it_ended(call: TrackCall, source: str, end: ResultEnd, progress: TrackProgress) -> int:
    """Warnings, then one line: what came out, or what broke. Returns the exit code."""
    for warning in end.warnings:
        print_error(f"warning: {source}: {warning}")
    if end.is_complete:
        progress.summarize(end.tracks, [call.place, *call.beside.values()])
        return DONE
    from acfd_stream.files import PART_SUFFIX

    kept = call.place if call.format == "jsonl" or call.place == STDOUT else call.place + PART_SUFFIX
    frames = count(progress.frames, "frame")
    beside = f"; the overlay so far is {call.overlay}{PART_SUFFIX}" if call.overlay else ""
    beside += f"; the report of them is {call.report}" if call.report else ""
    print_error(f"{source}: {end.error}; {frames} kept in {kept}, which is marked incomplete{beside}")
    return INPUT_AT_FAULT
