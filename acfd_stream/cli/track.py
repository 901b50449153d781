"""``track``: tracks one video, and writes results, an overlay and a report in the same pass."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from acfd_stream.characters import CharacterConfig
from acfd_stream.cli.exits import DONE, INPUT_AT_FAULT, print_error
from acfd_stream.cli.progress import TrackProgress, count
from acfd_stream.cli.signals import STOP, Terminated
from acfd_stream.config import DetectConfig, TrackConfig, VideoConfig
from acfd_stream.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from typing import BinaryIO

    from acfd_stream.outputs import ResultEnd
    from acfd_stream.recording.header import RecordingStart
    from acfd_stream.recording.sinks import FormatSink, OverlaySink, ReportSink, ResultSink
    from acfd_stream.recording.task import RecordingProgress, RecordingSettings
    from acfd_stream.recording.views import ViewsSink
    from acfd_stream.types import FrameResult
    from acfd_stream.video.frame import Frame

STDOUT = "-"


@dataclass(frozen=True)
class TrackOptions:
    """Options of ``track``, and of the commands that get the same results from a service."""

    source: str
    output: str | None  # None: in the current folder, named after the source
    format: str
    is_quiet: bool = False
    video: VideoConfig = field(default_factory=VideoConfig)
    detect: DetectConfig = field(default_factory=DetectConfig)
    model: str = "acfd-n"
    device: str = "auto"
    overlay: Path | None = None
    report: Path | None = None
    has_proxy: bool = False  # the report contains a small copy of the video
    characters: CharacterConfig | None = None  # None: tracks do not become characters
    views: Path | None = None
    cast: Path | None = None  # gives characters their names
    overwrites: bool = False  # files that are no results, too
    min_score: float | None = None  # from which a detection starts a track; None: as by default

    @property
    def extra_paths(self) -> dict[str, str]:
        """Option → path of the overlay, the report and the views, if requested."""
        requested = {"--overlay": self.overlay, "--report": self.report, "--views": self.views}
        return {option: os.fspath(path) for option, path in requested.items() if path is not None}

    @property
    def path(self) -> str:
        """Path of the results; ``STDOUT`` for stdout."""
        if self.output is not None:
            return self.output
        from acfd_stream.outputs import result_suffix

        is_url = "://" in self.source
        path = PurePosixPath(unquote(urlsplit(self.source).path)) if is_url else Path(self.source)
        return (path.stem or "video") + result_suffix(self.format)

    @property
    def target(self) -> str | BinaryIO:
        """The stream or path to which the results are written."""
        return sys.stdout.buffer if self.path == STDOUT else self.path


def run_track(call: TrackOptions) -> int:
    """Track the video of ``call``; 1 if it broke in the middle: the results before the damage are kept.

    Raises:
        AcfdError: the video cannot be tracked, or the results cannot be written.
    """
    _require_one_video(call.source)
    check_paths(call)
    from acfd_stream.outputs import check_format
    from acfd_stream.recording.record import Recorder
    from acfd_stream.recording.sinks import FormatSink
    from acfd_stream.recording.views import ViewsSink
    from acfd_stream.video.origin import source_name

    check_format(call.format)
    progress: TrackProgress
    results, name = FormatSink(call.target, call.format), source_name(call.source)
    views = None if call.views is None else ViewsSink(call.views)
    with contextlib.ExitStack() as shown:

        def begin(start: RecordingStart) -> None:
            nonlocal progress
            progress = open_progress(call, start.expected_frames)
            shown.enter_context(naming_results(call, progress, results))
            shown.enter_context(progress)

        def advance(_: RecordingProgress, result: FrameResult) -> None:
            progress.advance(result)
            STOP.check()

        recording = Recorder(
            source=call.source,
            settings=_settings(call),
            sinks=[results, *_extras(call), *([] if views is None else [_Extra(views, call)])],
            views=None if views is None else views.lines,
            name=name,
            on_start=begin,
            on_progress=advance,
        ).record()
    return report_end(call, name, recording.end, progress)


def _settings(call: TrackOptions) -> RecordingSettings:
    from acfd_stream.recording.task import RecordingSettings

    track = TrackConfig.of_min_score(call.min_score)
    return RecordingSettings(
        model=call.model,
        device=call.device,
        detect=call.detect,
        track=track,
        video=call.video,
        characters=call.characters,
        cast=call.cast,
    )


def open_progress(call: TrackOptions, expected_frames: int | None) -> TrackProgress:
    """The progress of ``call``, which is not shown if the results go to the terminal."""
    is_screen_free = call.path != STDOUT or not sys.stdout.isatty()
    return TrackProgress(expected_frames, is_quiet=call.is_quiet, is_screen_free=is_screen_free)


def check_paths(call: TrackOptions) -> None:
    """Refuse options that would overwrite the input, the cast, a file that is no result, or one output by another."""
    if not call.path:
        raise ConfigError("--output is empty; name a file, or leave it out")
    if call.has_proxy and call.report is None:
        raise ConfigError("--report-proxy goes with --report; name the page with --report OUT.html")
    _check_characters(call)
    from acfd_stream.files import PART_SUFFIX

    paths = {"--output": call.path} | call.extra_paths
    for option, path in paths.items():
        for name in (path, path + PART_SUFFIX):
            for what, read in (("input", _local(call.source)), ("cast", os.fspath(call.cast or ""))):
                if path != STDOUT and _is_same_file(name, read):
                    raise ConfigError(f"{option} {path} would write over the {what}, {name}; choose another path")
    for (one, first), (other, second) in combinations(paths.items(), 2):
        names = [{os.path.realpath(path), os.path.realpath(path) + PART_SUFFIX} for path in (first, second)]
        if names[0] & names[1]:
            raise ConfigError(f"{one} {first} and {other} {second} would be one file; choose another path")
    if call.overlay is not None and call.overlay.suffix.lower() != ".mp4":
        raise ConfigError(f"--overlay must end in .mp4, got {call.overlay}; the overlay is an MP4 file")
    _require_replaceable(paths, call.overwrites)


def _check_characters(call: TrackOptions) -> None:
    """Refuse what needs characters where there are none, and a file that is no cast, before the video is opened."""
    for option, path in (("--views", call.views), ("--cast", call.cast)):
        if path is not None and call.characters is None:
            raise ConfigError(f"{option} goes with characters; leave out --no-characters")
    if call.cast is not None:
        from acfd_stream.identity.cast.cast import Cast

        Cast.open(call.cast).close()


def _require_one_video(source: str) -> None:
    if os.path.isdir(folder := _local(source)):
        folder = os.path.join(os.curdir, folder) if folder.startswith("-") else folder
        run = f"acfd-stream archive run {shlex.quote(folder)} --out RESULTS"
        raise ConfigError(f"{source} is a folder; to track all its videos, run: {run}")


def _require_replaceable(paths: Mapping[str, str], overwrites: bool) -> None:
    from acfd_stream.outputs.recognise import require_replaceable

    for option, path in paths.items():
        if path != STDOUT:
            require_replaceable(option, path, overwrites=overwrites)


def _local(source: str) -> str:
    """The path of a source, also of one with the scheme ``file:``."""
    if ":" not in source:
        return source
    from acfd_stream.video.origin import local_path

    return local_path(source) or source


def _is_same_file(path: str, source: str) -> bool:
    return os.path.isfile(path) and os.path.isfile(source) and os.path.samefile(path, source)


def _extras(call: TrackOptions) -> list[ResultSink]:
    """The sinks of the overlay and the report."""
    from acfd_stream.recording.sinks import OverlaySink, ReportSink

    extras: list[ResultSink] = []
    if call.overlay is not None:
        extras.append(_Extra(OverlaySink(call.overlay, call.source, call.video, STOP.check), call))
    if call.report is not None:
        report = ReportSink(call.report, call.source, call.video, has_proxy=call.has_proxy, on_frame=STOP.check)
        extras.append(_Extra(report, call))
    return extras


class _Extra:
    """A sink that adds the path of the results to errors, and prints warnings."""

    def __init__(self, sink: OverlaySink | ReportSink | ViewsSink, call: TrackOptions) -> None:
        self._sink, self._call = sink, call
        self.begin, self.abort = sink.begin, sink.abort

    @property
    def needs_frames(self) -> bool:
        """See ``ResultSink``."""
        return self._sink.needs_frames

    def write(self, frame: Frame | None, result: FrameResult) -> None:
        from acfd_stream.files import PART_SUFFIX

        with self._adding_path(f"so far are in {self._call.path}{PART_SUFFIX}"):
            self._sink.write(frame, result)

    def close(self, end: ResultEnd) -> None:
        with self._adding_path(f"are in {self._call.path}"):
            self._sink.close(end)
        for warning in self._sink.warnings:
            print_error(f"warning: {self._sink.place}: {warning}")

    @contextlib.contextmanager
    def _adding_path(self, where: str) -> Iterator[None]:
        try:
            yield
        except OutputError as error:
            raise OutputError(f"{error}; the results {where}" if self._call.path != STDOUT else str(error)) from error


@contextlib.contextmanager
def naming_results(call: TrackOptions, progress: TrackProgress, results: FormatSink) -> Iterator[None]:
    """Add to Ctrl-C and SIGTERM where the results are."""
    try:
        yield
    except KeyboardInterrupt as error:
        how = "terminated" if isinstance(error, Terminated) else "interrupted"
        left = f" after {count(progress.frames, 'frame')}; {call.path} is unfinished"
        raise type(error)(how + (f"; the results are in {call.path}" if results.is_closed else left)) from None


def _names_note(call: TrackOptions, end: ResultEnd) -> str:
    """How many characters the cast has named; "": there is no cast."""
    if call.cast is None:
        return ""
    named = sum(bool(each.name) for each in end.characters)
    return f"{named} of {count(len(end.characters), 'character')} got a name from {call.cast}"


def report_end(call: TrackOptions, source: str, end: ResultEnd, progress: TrackProgress) -> int:
    """Print warnings, and the results with their paths or the damage; returns the exit code."""
    for warning in end.warnings:
        print_error(f"warning: {source}: {warning}")
    if not end.is_broken:
        paths = [path for path in (call.path, *call.extra_paths.values()) if path != STDOUT]
        progress.summarize(end.tracks, paths, end.gaps, _names_note(call, end))
        return DONE
    from acfd_stream.files import PART_SUFFIX

    kept = call.path if call.format == "jsonl" or call.path == STDOUT else call.path + PART_SUFFIX
    frames = count(progress.frames, "frame")
    extra = f"; the overlay so far is {call.overlay}{PART_SUFFIX}" if call.overlay else ""
    extra += f"; the report of them is {call.report}" if call.report else ""
    reason = end.error or "not all of it can be read"  # a warning says what
    print_error(f"{source}: {reason}; {frames} kept in {kept}, which is marked incomplete{extra}")
    return INPUT_AT_FAULT
