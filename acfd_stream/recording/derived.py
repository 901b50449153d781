"""What is made of an episode's finished JSON lines: every other output, each a function of them and of the video.

An output is made under a name of the state folder and takes its own when it is whole and on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from acfd_stream.errors import MediaError
from acfd_stream.files import put_in_place, remove, sync_folder, sync_tree, writing
from acfd_stream.outputs import ResultFile, convert
from acfd_stream.outputs.formats import OUTPUTS, RESULTS
from acfd_stream.recording.remote import is_remote, opened
from acfd_stream.recording.task import EpisodeTask
from acfd_stream.types import Frame, FrameResult
from acfd_stream.video import open_video

if TYPE_CHECKING:
    from acfd_stream.outputs.report.episode import EpisodeSpeed


class Stopped(Exception):
    """The work was told to stop, and has; not a fault."""


@dataclass(frozen=True)
class Finishing:
    """What an output is made of."""

    task: EpisodeTask
    results: ResultFile
    is_stopped: Callable[[], bool] = lambda: False
    speed: EpisodeSpeed | None = None  # how fast it was tracked; only the report says so
    tell: Callable[[], None] = lambda: None  # called at every frame and output

    def pulse(self) -> None:
        """Show that the work goes on; raises Stopped where it should end."""
        self.tell()
        if self.is_stopped():
            raise Stopped

    def frames(self) -> Generator[tuple[Frame, FrameResult], None, None]:
        """The video once more, each frame with its result.

        Raises:
            MediaError: it is not the video that was tracked, or cannot be read any more.
        """
        name = self.results.header.source
        with opened(self.task.source) as source, open_video(source, self.task.video) as video:
            results = iter(self.results)
            for frame in video:
                result = next(results, None)
                if result is None or (frame.index, frame.pts) != (result.index, result.pts):
                    raise MediaError(f"{name}: frame {frame.index} is not the one that was tracked; run it again")
                self.pulse()
                yield frame, result
            if next(results, None) is not None:
                raise MediaError(f"{name}: has fewer frames than were tracked ({video.error}); run it again")


def missing_outputs(task: EpisodeTask, made: tuple[str, ...]) -> list[str]:
    """What is still to be made, in the order in which it should be: the results themselves are not in it."""
    return [name for name in OUTPUTS if name in task.outputs and name != RESULTS and name not in made]


def make_output(output: str, finishing: Finishing) -> None:
    """Make one output and give it its name.

    Raises:
        Stopped: told to; nothing of it is there.
        MediaError: the results or the video cannot be read any more.
        OutputError: it cannot be written.
        BackendUnavailable: a library that it takes is not installed.
    """
    finishing.pulse()
    with writing(finishing.task.part):
        finishing.task.part.parent.mkdir(parents=True, exist_ok=True)
    if output == "report":
        _make_report(finishing)
        return
    fresh = _fresh_place(finishing.task, output)
    with _leaving_nothing(fresh):
        if output == "overlay":
            _make_overlay(finishing, fresh)
        elif output == "thumbnails":
            _make_thumbnails(finishing, fresh)
        else:
            convert(finishing.results, fresh, output)
        put_in_place(fresh, finishing.task.place(output))


def remove_outputs(task: EpisodeTask) -> None:
    """Remove what an earlier run made of results that are replaced now; without such results nothing is touched."""
    if task.place(RESULTS).exists():
        for output in OUTPUTS:
            if output != RESULTS:
                with writing(task.place(output)):
                    remove(task.place(output))


def _make_overlay(finishing: Finishing, fresh: Path) -> None:
    from acfd_stream.video.render import OverlayWriter

    source = finishing.task.source
    sound = None if is_remote(source) else source
    with OverlayWriter(fresh, sound) as overlay, closing(finishing.frames()) as frames:
        for frame, result in frames:
            overlay.write(frame, result)


def _make_thumbnails(finishing: Finishing, folder: Path) -> None:
    from acfd_stream.recording.thumbnails import write_thumbnails

    with closing(finishing.frames()) as frames:
        write_thumbnails(finishing.results, frames, folder)


def _make_report(finishing: Finishing) -> None:
    """The page names the video by the way from where it stands, so it is made there."""
    from acfd_stream.outputs.report.episode import write_episode_report

    task, place = finishing.task, finishing.task.place("report")
    thumbnails, own = task.place("thumbnails"), _fresh_place(task, "report_thumbnails")
    with _leaving_nothing(own):
        if "thumbnails" not in task.outputs:
            thumbnails = own
            _make_thumbnails(finishing, own)
        source = task.source
        write_episode_report(task.place(RESULTS), source, place, thumbnails, finishing.speed)
    with writing(place):
        sync_tree(place)
        sync_folder(place.parent)


def _fresh_place(task: EpisodeTask, output: str) -> Path:
    return task.part.with_name(f"{task.part.stem}.{output}")


@contextmanager
def _leaving_nothing(fresh: Path) -> Iterator[None]:
    """Begin without what a kill may have left there, and leave nothing."""
    names = [fresh, Path(f"{os.fspath(fresh)}.part")]  # under the second the writers keep what is unfinished
    for name in names:
        with writing(name):
            remove(name)
    try:
        yield
    finally:
        for name in names:
            with writing(name):
                remove(name)
