"""The views file of a recording: written while tracks end, and finished when the characters are known."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from acfd_stream.characters import Character
from acfd_stream.files import writing
from acfd_stream.identity.views_file import StoredView, finished_lines, view_line
from acfd_stream.outputs import ResultEnd, ResultFile
from acfd_stream.outputs.target import OutputTarget
from acfd_stream.recording.header import RecordingStart
from acfd_stream.recording.lines import FileLines
from acfd_stream.types import FrameResult
from acfd_stream.video.frame import Frame

if TYPE_CHECKING:
    from acfd_stream.identity.views import TrackView


def view_lines(views: Iterable[TrackView]) -> bytes:
    """The lines of views that belong to no character yet."""
    return b"".join(
        view_line(StoredView(view.track_id, 0, view.frame_index, view.seconds, view.quality, view.embedding, view.jpeg))
        for view in views
    )


class TracksTogether:
    """Pairs of tracks that are in one frame; grows with the pairs, not with the frames."""

    def __init__(self, results: Iterable[FrameResult] = ()) -> None:
        self._pairs: set[tuple[int, int]] = set()
        for result in results:
            self.count(result)

    def count(self, result: FrameResult) -> None:
        """Enter a frame."""
        self._pairs.update(combinations((face.track_id for face in result.faces), 2))

    def finished(self, found: Iterable[bytes], characters: Sequence[Character]) -> Iterator[bytes]:
        """The lines of the finished views file.

        Args:
            found: the lines that were written while the video was tracked.
            characters: of the whole video.
        """
        return finished_lines(found, character_of_tracks(characters), self.between(characters))

    def between(self, characters: Iterable[Character]) -> set[tuple[int, int]]:
        """Pairs of characters that are in one frame."""
        of_track = character_of_tracks(characters)
        pairs = {(of_track.get(one, 0), of_track.get(other, 0)) for one, other in self._pairs}
        return {pair for pair in pairs if all(pair)}


def character_of_tracks(characters: Iterable[Character]) -> dict[int, int]:
    """Track → number of its character."""
    return {track: character.number for character in characters for track in character.tracks}


def write_views(found: Path, target: Path, results: ResultFile) -> None:
    """Write the finished views file of ``results``.

    Args:
        found: what was written while the video was tracked.
        target: the new file.
        results: finished.

    Raises:
        MediaError: the results cannot be read.
        OutputError: a file cannot be read or written.
    """
    together = TracksTogether(results)
    with writing(target), open(found, "rb") as lines, open(target, "wb") as file:
        file.writelines(together.finished(lines, results.end.characters))


class ViewsSink:
    """A ``ResultSink`` that writes the views file of a video at its end; ``lines`` are the views of its recorder."""

    needs_frames = False

    def __init__(self, place: Path) -> None:
        self.place = place
        self.warnings: list[str] = []
        self._folder = tempfile.TemporaryDirectory(prefix="acfd-views-", ignore_cleanup_errors=True)
        self.lines = FileLines(Path(self._folder.name, "views.ndjson"))
        self._together = TracksTogether()

    def begin(self, start: RecordingStart) -> None:
        """See ``ResultSink``."""
        self._target = OutputTarget(self.place, is_streamed=False)

    def write(self, frame: Frame | None, result: FrameResult) -> None:
        """Note which tracks are in one frame."""
        self._together.count(result)

    def close(self, end: ResultEnd) -> None:
        """Write the file."""
        with open(self.lines.path, "rb") as found:
            for line in self._together.finished(found, end.characters):
                self._target.write(line)
        self._target.finish()
        self._folder.cleanup()

    def abort(self, *, is_failure: bool = False) -> None:
        """Leave nothing."""
        self._target.discard()
        self._folder.cleanup()
