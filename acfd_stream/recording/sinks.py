"""What is written of a video in one pass: results in any format, an overlay, a report."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from acfd_stream.config import VideoConfig
from acfd_stream.errors import MediaError, OutputError
from acfd_stream.outputs import ResultEnd, ResultFile, Writer, open_writer, read_results
from acfd_stream.outputs.formats import RESULTS, encoder_of
from acfd_stream.outputs.settle import settled_lines
from acfd_stream.outputs.writer import Encoder
from acfd_stream.recording.header import RecordingStart
from acfd_stream.recording.kept_results import KeptResults
from acfd_stream.recording.proxy import PROXY_SIDE
from acfd_stream.recording.remote import is_remote
from acfd_stream.recording.stats import FrameCosts
from acfd_stream.types import FrameResult
from acfd_stream.video.frame import Frame
from acfd_stream.video.origin import local_path

if TYPE_CHECKING:
    from acfd_stream.video.render import OverlayWriter

_WEB = ("http://", "https://")


class ResultSink(Protocol):
    """Takes frames and their results; after ``begin`` exactly one of ``close`` and ``abort`` ends it."""

    @property
    def needs_frames(self) -> bool:
        """Whether ``write`` needs the pixels of frames; asked after ``begin``."""

    def begin(self, start: RecordingStart) -> None:
        """Open what is written to.

        Raises:
            OutputError: it cannot be written.
        """

    def write(self, frame: Frame | None, result: FrameResult) -> None:
        """Take one frame; its pixels are there when ``needs_frames``.

        Raises:
            OutputError: it cannot be written.
        """

    def close(self, end: ResultEnd) -> None:
        """Finish, also where the video broke.

        Raises:
            OutputError: it cannot be written.
        """

    def abort(self, *, is_failure: bool = False) -> None:
        """Stop without a closing word; never raises, does nothing after ``close``.

        Args:
            is_failure: an output could not be written: leave nothing under a final name.
        """


@contextlib.contextmanager
def open_sinks(sinks: Sequence[ResultSink], start: RecordingStart) -> Iterator[None]:
    """Begin all ``sinks``, the last one first, and abort those that are not closed inside."""
    begun: list[ResultSink] = []
    is_failure = False
    try:
        for sink in reversed(sinks):
            sink.begin(start)
            begun.append(sink)
        yield
    except OutputError:
        is_failure = True
        raise
    finally:
        for sink in begun:
            sink.abort(is_failure=is_failure)


class FormatSink:
    """Results in a format of ``FORMATS``. A file holds the final characters; a stream says what is known so far.

    Args:
        place: a file, which is replaced, or a binary stream.
        format: one of ``FORMATS``.
    """

    needs_frames = False
    _writer: Writer
    _kept: KeptResults | None = None  # for a format that is made anew when the characters are final

    def __init__(self, place: str | Path | BinaryIO, format: str) -> None:
        self._place, self._format = place, format
        self.is_closed = False

    def begin(self, start: RecordingStart) -> None:
        """See ``ResultSink``."""
        self._header = start.header
        self._writer = open_writer(self._place, self._format, start.header)
        self._is_settled = start.has_characters and self._writer.can_rewrite
        if self._is_settled and self._format != RESULTS:
            self._kept = KeptResults(start.header)

    def write(self, frame: Frame | None, result: FrameResult) -> None:
        """See ``ResultSink``."""
        self._writer.write(result)
        if self._kept is not None:
            self._kept.write(result)

    def close(self, end: ResultEnd) -> None:
        """See ``ResultSink``."""
        if not self._is_settled:
            self._writer.close(end)
        elif self._kept is None:
            with self._writer.written() as lines:
                self._writer.rewrite(settled_lines(lines, end.characters), end)
        else:
            encoder = encoder_of(self._format, self._header)
            self._writer.rewrite(_encoded(encoder, self._kept.final(end)), end, encoder)
            self._kept.close()
        self.is_closed = True

    def abort(self, *, is_failure: bool = False) -> None:
        """Keep what was written so far."""
        self._writer.abort(is_failure=is_failure)
        if self._kept is not None:
            self._kept.close()


def _encoded(encoder: Encoder, results: Iterable[FrameResult]) -> Iterator[bytes]:
    yield encoder.header()
    yield from map(encoder.frame, results)


class OverlaySink:
    """The video with boxes drawn in.

    Results with characters are drawn at the end, when these are final, in another reading of the video. What cannot be
    read again, such as a pipe or a live stream, is drawn at once, with the characters that are known then.

    Args:
        place: the MP4.
        source: path or URL of the video.
        video: what of it is tracked.
        on_frame: called at every frame of the second reading; may raise.
    """

    needs_frames = True
    _writer: OverlayWriter
    _kept: KeptResults | None = None

    def __init__(
        self, place: Path, source: str, video: VideoConfig | None = None, on_frame: Callable[[], None] = lambda: None
    ) -> None:
        self.place, self._source, self._on_frame = place, source, on_frame
        self._video = video or VideoConfig()

    def begin(self, start: RecordingStart) -> None:
        """See ``ResultSink``."""
        from acfd_stream.video.render import OverlayWriter

        self._writer = OverlayWriter(self.place, _sound_of(self._source))
        if start.has_characters and can_be_read_again(self._source):
            self._kept, self.needs_frames = KeptResults(start.header), False

    @property
    def warnings(self) -> list[str]:
        """What is odd about the overlay."""
        return self._writer.warnings

    def write(self, frame: Frame | None, result: FrameResult) -> None:
        """Draw and append a frame, or keep its result."""
        if self._kept is not None:
            self._kept.write(result)
        elif frame is not None:
            self._writer.write(frame, result)

    def close(self, end: ResultEnd) -> None:
        """Give the file its name, or leave ``NAME.part`` where the video broke."""
        if self._kept is not None:
            self._draw(self._kept.final(end))
            self._kept.close()
        self._writer.close(is_complete=not end.is_broken)

    def abort(self, *, is_failure: bool = False) -> None:
        """Leave nothing."""
        self._writer.abort()
        if self._kept is not None:
            self._kept.close()

    def _draw(self, results: ResultFile) -> None:
        from acfd_stream.recording.derived import frames_again

        with contextlib.closing(frames_again(self._source, self._video, results, self._on_frame)) as frames:
            for frame, result in frames:
                self._writer.write(frame, result)


class ReportSink:
    """One HTML file with a player, boxes and lanes; made from the results at the end.

    A report of a video that broke is made too: it says so at its top.

    Args:
        place: the file.
        source: path or URL of the video, which is read once more for the pictures of the tracks.
        video: what of it was tracked.
        has_proxy: put the video into the page, small.
        on_frame: called at every frame of the second reading; may raise.
    """

    _proxy: OverlayWriter | None = None

    def __init__(
        self,
        place: Path,
        source: str,
        video: VideoConfig,
        *,
        has_proxy: bool = False,
        on_frame: Callable[[], None] = lambda: None,
    ) -> None:
        self.place, self.needs_frames = place, has_proxy
        self.warnings: list[str] = []
        self._source, self._video, self._on_frame = source, video, on_frame

    def begin(self, start: RecordingStart) -> None:
        """See ``ResultSink``."""
        _require_writable(self.place)
        self._folder = tempfile.TemporaryDirectory(prefix="acfd-report-", ignore_cleanup_errors=True)
        self._results = Path(self._folder.name, "results.jsonl")
        self._writer = open_writer(self._results, "jsonl", start.header)
        if self.needs_frames:
            from acfd_stream.video.render import OverlayWriter

            proxy = Path(self._folder.name, "proxy.mp4")
            self._proxy = OverlayWriter(proxy, _sound_of(self._source), is_drawn=False, longest_side=PROXY_SIDE)
        self._costs = FrameCosts()

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
        is_reachable = "://" in self._source or os.path.isfile(self._source)
        thumbnails, poster = Path(self._folder.name, "thumbnails"), Path(self._folder.name, "poster.jpg")
        if is_reachable:
            self._draw(thumbnails, poster)
        source = self._source if is_reachable else None
        write_episode_report(self._results, source, self.place, thumbnails, speed, proxy, poster=poster)
        self._folder.cleanup()

    def abort(self, *, is_failure: bool = False) -> None:
        """Leave nothing."""
        self._writer.abort()
        if self._proxy is not None:
            self._proxy.abort()
        self._folder.cleanup()

    def _draw(self, thumbnails: Path, poster: Path) -> None:
        """The pictures of the tracks and of the video, each from another reading."""
        from acfd_stream.recording.derived import frames_again, write_thumbnails
        from acfd_stream.recording.poster import write_poster

        results = read_results(self._results)
        try:
            for write, place in ((write_poster, poster), (write_thumbnails, thumbnails)):
                with contextlib.closing(frames_again(self._source, self._video, results, self._on_frame)) as frames:
                    write(results, frames, place)
        except MediaError as error:
            self.warnings.append(f"the tracks have no pictures: {error}")


def can_be_read_again(source: str) -> bool:
    """Whether another reading of ``source`` gives the same video: of a file, or of a web or remote store."""
    path = local_path(source)
    if path is not None:
        return os.path.isfile(path)
    return is_remote(source) or source.lower().startswith(_WEB)


def _sound_of(source: str) -> str | None:
    """What the sound is read from; None: FFmpeg cannot read it."""
    return None if is_remote(source) else source


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
