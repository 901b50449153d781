"""Videos that come while a folder is watched: which of them are whole, and whether a run has something to do."""

from __future__ import annotations

import time
from collections.abc import Callable

from acfd_stream.archive.find import Findings, Video
from acfd_stream.video.origin import FileStamp

_Known = dict[str, FileStamp | None]


class Arrivals:
    """What was found at the last look, and before the last run.

    A video is whole when it is as it was at the look before, or when nobody has written to it for so long.

    Args:
        seconds: between two looks.
        clock: seconds since 1970.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._seconds, self._clock = seconds, clock
        self._seen: _Known = {}
        self._whole: _Known = {}
        self._done: _Known | None = None

    def look(self, findings: Findings) -> bool:
        """Take what is there now; whether a whole video has come, changed or gone since the last run."""
        now, before = self._clock(), self._seen
        self._seen = {video.name: video.stamp for video in findings.videos}
        self._whole = {
            name: stamp
            for name, stamp in self._seen.items()
            if stamp is None or before.get(name) == stamp or now - stamp.mtime_ns / 1e9 >= self._seconds
        }
        return self._whole != self._done and (bool(self._whole) or self._done is not None)

    def is_whole(self, video: Video) -> bool:
        """Whether ``video`` was whole at the last look, and nobody has written to it since."""
        return video.name in self._whole and self._whole[video.name] == video.stamp

    def note_run(self) -> None:
        """Remember that a run takes what is whole now."""
        self._done = self._whole
