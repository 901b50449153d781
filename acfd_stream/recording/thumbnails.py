"""One picture a track, cut out of the frame that shows it best: ``FOLDER/<track id>.jpg``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from acfd_stream.errors import MediaError
from acfd_stream.files import writing
from acfd_stream.outputs import ResultFile
from acfd_stream.outputs.thumbnails import ENOUGH_PIXELS, BestFace, best_faces, cut_around
from acfd_stream.types import Frame, FrameResult
from acfd_stream.video.snapshot import cut_jpeg


def write_thumbnails(results: ResultFile, frames: Iterable[tuple[Frame, FrameResult]], folder: Path) -> None:
    """Make ``folder`` and write a thumbnail of every track into it.

    Args:
        results: of the video.
        frames: the video read once more, from where tracking began; no further than to the last thumbnail.
        folder: is not there yet.

    Raises:
        MediaError: the results or the video cannot be read, or the video ends before its results.
        OutputError: ``folder`` cannot be written.
    """
    wanted: dict[int, list[BestFace]] = defaultdict(list)  # by frame
    for face in best_faces(results, results.header.display_size):
        wanted[face.index].append(face)
    with writing(folder):
        folder.mkdir()
    for frame, _ in frames if wanted else ():
        for face in wanted.pop(frame.index, ()):
            picture = _thumbnail(frame, face)
            with writing(folder):
                (folder / f"{face.track_id}.jpg").write_bytes(picture)
        if not wanted:
            return
    if wanted:
        name = results.header.source
        raise MediaError(f"{name}: the results have a frame {min(wanted)}, the video has not; track it again")


def _thumbnail(frame: Frame, face: BestFace) -> bytes:
    box = cut_around(face.box_xyxy, frame.picture.display_size)
    return cut_jpeg(frame, box, longer_side=int(ENOUGH_PIXELS))
