"""What ``track`` makes beside its results, out of the same pass: an overlay, a report."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from acfd_stream.cli.exits import print_error
from acfd_stream.cli.signals import STOP
from acfd_stream.config import VideoConfig
from acfd_stream.errors import MediaError, OutputError

if TYPE_CHECKING:
    from acfd_stream.cli.track import TrackCall
    from acfd_stream.outputs import ResultEnd, ResultHeader
    from acfd_stream.outputs.report.episode import EpisodeSpeed
    from acfd_stream.types import Frame, FrameResult
    from acfd_stream.video.render import OverlayWriter

_PROXY_SIDE = 640


class Extra(Protocol):
    """Something made of frames and their results; exactly one of ``close`` and ``abort`` ends it."""

    place: Path
    needs_frames: bool

    def write(self, frame: Frame | None, result: FrameResult) -> None:
        """Take one frame; its pixels are there when ``needs_frames``.

        Raises:
            OutputError: it cannot be written.
        """

    def close(self, end: ResultEnd) -> None:
        """Finish it.

        Raises:
            OutputError: it cannot be written.
        """

    def abort(self) -> None:
        """Leave nothing; never raises, does nothing after ``close``."""


class Overlay:
    """The video with boxes drawn in."""

    needs_frames = True

    def __init__(self, place: Path, source: str) -> None:
        from acfd_stream.video.render import OverlayWriter

        self.place = place
        self._writer = OverlayWriter(place, source)

    def write(self, frame: Frame | None, result: FrameResult) -> None:
        """Draw and append a frame."""
        if frame is not None:
            self._writer.write(frame, result)

    def close(self, end: ResultEnd) -> None:
        """Give the file its name, or another one where the video broke."""
        self._writer.close(is_complete=end.is_complete)
        for warning in self._writer.warnings:
            print_error(f"warning: {self.place}: {warning}")

    def abort(self) -> None:
        """Leave nothing."""
        self._writer.abort()


class Report:
    """One HTML file with a player, boxes and lanes; made from the results at the end.

    A report of a video that broke is made all the same: it says so where it begins.
    """

    def __init__(self, place: Path, source: str, video: VideoConfig, header: ResultHeader, *, has_proxy: bool) -> None:
        from acfd_stream.outputs import open_writer

        _require_writable(place)
        self.place = place
        self.needs_frames = has_proxy
        self._source, self._video = source, video
        self._folder = tempfile.TemporaryDirectory(prefix="acfd-report-", ignore_cleanup_errors=True)
        self._results = Path(self._folder.name, "results.jsonl")
        self._writer = open_writer(self._results, "jsonl", header)
        self._proxy = _proxy_writer(Path(self._folder.name, "proxy.mp4"), source) if has_proxy else None
        self._costs = _Costs()

    def write(self, frame: Frame | None, result: FrameResult) -> None:
        """Note a frame."""
        self._writer.write(result)
        self._costs.count(result)
        if self._proxy is not None and frame is not None:
            self._proxy.write(frame, result)

    def close(self, end: ResultEnd) -> None:
        """Make the page."""
        from acfd_stream.outputs.report.episode import write_episode_report

        speed = self._costs.speed()
        self._writer.close(end)
        if self._proxy is not None:
            self._proxy.close()
        proxy = None if self._proxy is None or not self._proxy.path.exists() else self._proxy.path
        write_episode_report(self._results, self._reachable(), self.place, self._thumbnails(), speed, proxy)
        self._folder.cleanup()

    def abort(self) -> None:
        """Leave nothing."""
        self._writer.abort()
        if self._proxy is not None:
            self._proxy.abort()
        self._folder.cleanup()

    def _reachable(self) -> str | None:
        """The video, as far as it can be read again."""
        return self._source if "://" in self._source or os.path.isfile(self._source) else None

    def _thumbnails(self) -> Path | None:
        """A picture a track, from a second reading; a video that cannot be read twice has none."""
        if self._reachable() is None:
            return None
        from acfd_stream.outputs import read_results
        from acfd_stream.recording.thumbnails import write_thumbnails

        folder = Path(self._folder.name, "thumbnails")
        try:
            write_thumbnails(read_results(self._results), self._frames_again(), folder)
        except MediaError as error:
            print_error(f"warning: {self.place}: the tracks have no pictures: {error}")
        return folder

    def _frames_again(self) -> Iterator[tuple[Frame, FrameResult]]:
        from acfd_stream.outputs import read_results
        from acfd_stream.video import open_video

        with open_video(self._source, self._video) as video:
            for frame, result in zip(video, read_results(self._results), strict=False):
                STOP.check()
                yield frame, result


class _Costs:
    """What frames cost, from the first one on."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._stages: dict[str, float] = {}
        self._work = array("d")

    def count(self, result: FrameResult) -> None:
        from acfd_stream.outputs.report.text_format import WAITING_STAGES

        work = {stage: seconds for stage, seconds in result.timings.items() if stage not in WAITING_STAGES}
        for stage, seconds in work.items():
            self._stages[stage] = self._stages.get(stage, 0.0) + seconds
        self._work.append(sum(work.values()))

    def speed(self) -> EpisodeSpeed:
        from acfd_stream.outputs.report.episode import EpisodeSpeed

        frames, seconds = len(self._work), time.perf_counter() - self._began
        if not self._stages:
            return EpisodeSpeed(seconds, frames)
        ranked = sorted(self._work)
        middle, late = (ranked[min(frames - 1, int(frames * share))] for share in (0.5, 0.95))
        means = {stage: total / frames for stage, total in self._stages.items()}
        return EpisodeSpeed(seconds, frames, means, middle, late)


def open_extras(call: TrackCall, header: ResultHeader) -> list[Extra]:
    """What ``call`` asks for beside its results.

    Raises:
        OutputError: one of them cannot be written.
    """
    extras: list[Extra] = []
    with contextlib.ExitStack() as failures:
        if call.overlay is not None:
            extras.append(Overlay(call.overlay, call.source))
            failures.callback(extras[-1].abort)
        if call.report is not None:
            extras.append(Report(call.report, call.source, call.video, header, has_proxy=call.has_proxy))
        failures.pop_all()
    return extras


def _require_writable(place: Path) -> None:
    """Refuse now what could not be written after hours of work.

    Raises:
        OutputError: nothing can be written to ``place``.
    """
    number = 0
    if place.is_dir():
        number = errno.EISDIR
    elif not place.parent.is_dir():
        number = errno.ENOENT
    elif not os.access(place if place.exists() else place.parent, os.W_OK):
        number = errno.EACCES
    if number:
        raise OutputError(f"cannot write {place}: {os.strerror(number)}; choose another place")


def _proxy_writer(place: Path, source: str) -> OverlayWriter:
    from acfd_stream.video.render import OverlayWriter

    return OverlayWriter(place, source, is_drawn=False, longest_side=_PROXY_SIDE)
