"""One picture a track, cut out of the frame that shows it best: ``FOLDER/<track id>.jpg``.

The frames come from a second reading of the video, begun where tracking began; only those of a thumbnail are looked at.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from acfd_stream.errors import MediaError, OutputError
from acfd_stream.outputs.thumbnails import ENOUGH_PIXELS, BestFace, cut_around
from acfd_stream.types import Frame
from acfd_stream.video.snapshot import cut_jpeg

PART_SUFFIX = ".part"


class ThumbnailWriter:
    """Writes thumbnails to ``FOLDER.part``, which takes its name, and the place of an older one, when all are there.

    Exactly one of ``close`` and ``abort`` ends it; a second call does nothing.
    """

    def __init__(self, folder: Path, faces: Iterable[BestFace]) -> None:
        """Make ``FOLDER.part``, anew.

        Raises:
            OutputError: it cannot be made.
        """
        self._folder = folder
        self._part = folder.with_name(folder.name + PART_SUFFIX)
        self._is_open = True
        self._wanted: dict[int, list[BestFace]] = {}  # by frame
        for face in faces:
            self._wanted.setdefault(face.index, []).append(face)
        try:
            if self._part.exists():
                shutil.rmtree(self._part)
            self._part.mkdir()
        except OSError as error:
            raise OutputError(self._complaint(error)) from error

    def write(self, frame: Frame) -> None:
        """Cut the thumbnails of ``frame`` out; most frames have none.

        Raises:
            OutputError: they cannot be written.
        """
        for face in self._wanted.pop(frame.index, ()):
            box = cut_around(face.box_xyxy, frame.picture.display_size)
            picture = cut_jpeg(frame, box, longer_side=int(ENOUGH_PIXELS))
            try:
                (self._part / f"{face.track_id}.jpg").write_bytes(picture)
            except OSError as error:
                raise OutputError(self._complaint(error)) from error

    def close(self) -> None:
        """Give the folder its name.

        Raises:
            MediaError: the video had fewer frames than its results.
            OutputError: it cannot be renamed.
        """
        if not self._is_open:
            return
        if self._wanted:
            self.abort()
            missing = min(self._wanted)
            raise MediaError(f"{self._folder}: the results have a frame {missing}, the video has not; track it again")
        self._is_open = False
        try:
            if self._folder.exists():
                shutil.rmtree(self._folder)
            os.replace(self._part, self._folder)
        except OSError as error:
            raise OutputError(self._complaint(error)) from error

    def abort(self) -> None:
        """Leave nothing; a folder of before stays. Never raises."""
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(OSError):
                shutil.rmtree(self._part)

    def _complaint(self, error: OSError) -> str:
        return f"cannot write {self._folder}: {error.strerror}; choose another place"
