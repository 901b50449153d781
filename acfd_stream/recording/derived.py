"""Outputs that are made of an episode's finished JSON lines and of the video, without tracking.

An output is made under a name of the state folder. It takes its own name when it is complete and on the disk.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from acfd_stream.config import VideoConfig
from acfd_stream.errors import MediaError
from acfd_stream.files import PART_SUFFIX, remove, writing
from acfd_stream.outputs import ResultFile, convert
from acfd_stream.outputs.formats import INDEX, OPTIONAL, OUTPUTS, RESULTS, VIEWS
from acfd_stream.outputs.recognise import is_result, is_thumbnails
from acfd_stream.outputs.thumbnails import ENOUGH_PIXELS, BestFace, best_faces, cut_around
from acfd_stream.recording.cancellation import Cancellation
from acfd_stream.recording.poster import write_poster
from acfd_stream.recording.proxy import is_played, write_proxy
from acfd_stream.recording.published import FinalNames
from acfd_stream.recording.remote import is_remote, opened
from acfd_stream.recording.task import RecordingTask
from acfd_stream.recording.views import write_views
from acfd_stream.types import FrameResult
from acfd_stream.video import open_video
from acfd_stream.video.frame import Frame

if TYPE_CHECKING:
    from acfd_stream.outputs.report.episode import EpisodeSpeed


@dataclass(frozen=True)
class DerivedJob:
    """What an output is made of."""

    task: RecordingTask
    results: ResultFile
    names: FinalNames
    cancellation: Cancellation = field(default_factory=Cancellation)
    speed: EpisodeSpeed | None = None  # how fast it was tracked; only the report says so
    on_frame: Callable[[], None] = lambda: None  # called at every frame and output

    def check(self) -> None:
        """Show that the work continues; raises Cancelled where it should end."""
        self.on_frame()
        self.cancellation.check()

    def frames(self) -> Generator[tuple[Frame, FrameResult], None, None]:
        """See ``frames_again``."""
        return frames_again(self.task.source, self.task.video, self.results, self.check)


def frames_again(
    source: str, config: VideoConfig, results: ResultFile, on_frame: Callable[[], None] = lambda: None
) -> Generator[tuple[Frame, FrameResult], None, None]:
    """The frames of a second reading of the video, each with its result.

    Args:
        source: path or URL.
        config: as it was tracked with.
        results: of the first reading.
        on_frame: called before every frame; may raise.

    Raises:
        MediaError: it is not the video that was tracked, or cannot be read any more.
    """
    name = results.header.source
    with opened(source) as media, open_video(media, config) as video:
        if video.info.display_size != results.header.display_size:
            sizes = (results.header.display_size, video.info.display_size)
            tracked, here = (f"{width}x{height}" for height, width in sizes)
            raise MediaError(f"{name}: pictures of {tracked} were tracked, and this video has {here}: another one")
        expected = iter(results)
        for frame in video:
            result = next(expected, None)
            if result is None or (frame.index, frame.pts) != (result.index, result.pts):
                raise MediaError(f"{name}: frame {frame.index} is not the one that was tracked; run it again")
            on_frame()
            yield frame, result
        if next(expected, None) is not None:
            reason = f" ({video.error})" if video.error else ""
            raise MediaError(f"{name}: has fewer frames than were tracked{reason}; run it again")


def missing_outputs(task: RecordingTask, made: tuple[str, ...]) -> list[str]:
    """The outputs of ``task`` that are not in ``made``, without the JSON lines, in the order in which to make them."""
    return [name for name in OUTPUTS if name in task.outputs and name != RESULTS and name not in made]


def make_output(output: str, job: DerivedJob) -> None:
    """Make one output and give it its name; one of ``OPTIONAL`` only if the video needs it.

    Raises:
        Cancelled: nothing of it is there.
        MediaError: the results or the video cannot be read any more.
        ForeignFileError: its name is taken by a file that is not ours.
        OutputError: it cannot be written.
        BackendUnavailable: a library that it needs is not installed.
    """
    job.check()
    job.names.require_free(job.task.name_of(output), is_thumbnails if output == "thumbnails" else is_result)
    with writing(job.task.part):
        job.task.part.parent.mkdir(parents=True, exist_ok=True)
    fresh = _fresh_path(job.task, output)
    with _leaving_nothing(fresh):
        if output in _MAKERS:
            _MAKERS[output](job, fresh)
        else:
            convert(job.results, fresh, output)
        if output not in OPTIONAL or fresh.exists():
            job.names.publish(fresh, job.task.name_of(output))


def remove_outputs(task: RecordingTask, names: FinalNames) -> None:
    """Remove what earlier runs made of results that are replaced now; what somebody has changed since stays."""
    for output in OUTPUTS:
        if output != RESULTS:
            names.withdraw(task.name_of(output))


def write_thumbnails(results: ResultFile, frames: Iterable[tuple[Frame, FrameResult]], folder: Path) -> None:
    """Make ``folder`` and write ``<track id>.jpg`` of every track into it, from the frame that shows it best.

    Args:
        results: of the video.
        frames: the video read once more, from where tracking began; no further than to the last thumbnail.
        folder: is not there yet.

    Raises:
        MediaError: the results or the video cannot be read, or the video ends before its results.
        OutputError: ``folder`` cannot be written.
    """
    from acfd_stream.video.snapshot import cut_jpeg

    wanted: dict[int, list[BestFace]] = defaultdict(list)  # by frame
    for face in best_faces(results, results.header.display_size):
        wanted[face.index].append(face)
    with writing(folder):
        folder.mkdir()
    for frame, _ in frames if wanted else ():
        for face in wanted.pop(frame.index, ()):
            box = cut_around(face.box_xyxy, frame.picture.display_size)
            picture = cut_jpeg(frame, box, longer_side=int(ENOUGH_PIXELS))
            with writing(folder):
                (folder / f"{face.track_id}.jpg").write_bytes(picture)
        if not wanted:
            return
    if wanted:
        name = results.header.source
        raise MediaError(f"{name}: the results have a frame {min(wanted)}, the video has not; track it again")


def _make_views(job: DerivedJob, fresh: Path) -> None:
    if job.task.found_views.exists():  # else the video was tracked without characters
        write_views(job.task.found_views, fresh, job.results)


def _make_overlay(job: DerivedJob, fresh: Path) -> None:
    from acfd_stream.video.render import OverlayWriter

    source = job.task.source
    sound = None if is_remote(source) else source
    with OverlayWriter(fresh, sound) as overlay, closing(job.frames()) as frames:
        for frame, result in frames:
            overlay.write(frame, result)


def _make_thumbnails(job: DerivedJob, folder: Path) -> None:
    with closing(job.frames()) as frames:
        write_thumbnails(job.results, frames, folder)


def _make_poster(job: DerivedJob, path: Path) -> None:
    with closing(job.frames()) as frames:
        write_poster(job.results, frames, path)


def _make_proxy(job: DerivedJob, path: Path) -> None:
    if not is_played(job.task.source, job.task.video):
        with closing(job.frames()) as frames:
            write_proxy(job.task.source, frames, path)


def _make_report(job: DerivedJob, fresh: Path) -> None:
    from acfd_stream.outputs.report.episode import ArchiveFiles, write_episode_report

    task, pictures = job.task, {}
    with ExitStack() as own:
        for output, make in (("thumbnails", _make_thumbnails), ("poster", _make_poster)):
            pictures[output] = task.path_of(output)
            if output not in task.outputs:
                pictures[output] = own.enter_context(_leaving_nothing(_fresh_path(task, f"report_{output}")))
                make(job, pictures[output])
        write_episode_report(
            task.path_of(RESULTS),
            task.source,
            fresh,
            pictures["thumbnails"],
            job.speed,
            poster=pictures["poster"],
            views=task.path_of(VIEWS),
            final_place=task.path_of("report"),
            archive=ArchiveFiles(task.out / INDEX, task.path_of(RESULTS), task.path_of("proxy")),
        )


_MAKERS: dict[str, Callable[[DerivedJob, Path], None]] = {
    VIEWS: _make_views,
    "overlay": _make_overlay,
    "thumbnails": _make_thumbnails,
    "poster": _make_poster,
    "proxy": _make_proxy,
    "report": _make_report,
}


def _fresh_path(task: RecordingTask, output: str) -> Path:
    return task.part.with_name(f"{task.part.stem}.{output}")


@contextmanager
def _leaving_nothing(fresh: Path) -> Iterator[Path]:
    """Give ``fresh``; begin without what a kill may have left there, and leave nothing."""
    paths = [fresh, Path(f"{os.fspath(fresh)}{PART_SUFFIX}")]  # under the second one writers keep what is unfinished
    for path in paths:
        with writing(path):
            remove(path)
    try:
        yield fresh
    finally:
        for path in paths:
            with writing(path):
                remove(path)
