"""The poster of a video: one of its frames as a small JPEG, for the page of its folder and for a player that waits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from acfd_stream.files import POSTER_COMMENT, writing
from acfd_stream.outputs import ResultFile
from acfd_stream.outputs.thumbnails import poster_index
from acfd_stream.types import FrameResult
from acfd_stream.video.frame import Frame

_SIDE = 640
_START, _COMMENT_MARKER = b"\xff\xd8", b"\xff\xfe"  # of a JPEG


def write_poster(results: ResultFile, frames: Iterable[tuple[Frame, FrameResult]], path: Path) -> None:
    """Write the poster of ``results``; without a frame there is none.

    Args:
        results: of the video.
        frames: the video read once more, from where tracking began; no further than to the poster.
        path: the JPEG, whose comment says that this program made it.

    Raises:
        MediaError: the results or the video cannot be read.
        OutputError: it cannot be written.
    """
    from acfd_stream.video.snapshot import cut_jpeg

    index = poster_index(results)
    for frame, _ in frames if index is not None else ():
        if frame.index == index:
            height, width = frame.picture.display_size
            picture = cut_jpeg(frame, (0, 0, width, height), longer_side=_SIDE)
            with writing(path):
                path.write_bytes(_commented(picture))
            return


def _commented(jpeg: bytes) -> bytes:
    """``jpeg`` with a comment right behind its start."""
    text = POSTER_COMMENT.encode()
    return _START + _COMMENT_MARKER + (len(text) + 2).to_bytes(2, "big") + text + jpeg.removeprefix(_START)
