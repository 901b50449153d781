"""Faces of a result cut out of its video, as a data set: a folder per character or track, and a table.

The folder has a journal, from which another call knows the files that it may replace: those that it wrote, and nobody
has changed since.
"""

from __future__ import annotations

import heapq
import io
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream.checked import Checked
from acfd_stream.errors import ConfigError
from acfd_stream.files import lock, writing
from acfd_stream.outputs import ResultFile
from acfd_stream.outputs.csv_rows import csv_bytes
from acfd_stream.outputs.face_values import face_columns, face_row
from acfd_stream.outputs.thumbnails import quality_of
from acfd_stream.recording.published import FinalNames, Journal
from acfd_stream.types import Closeable, Face, FaceState, FrameResult

if TYPE_CHECKING:
    from acfd_stream.video.frame import Frame

JOURNAL = ".acfd-crops.jsonl"
"""In a folder of crops: it is one, and these files of it are ours."""
TABLE = "crops.csv"
_BATCH_BYTES = 2**23  # of crops that get into the journal at once
_QUALITY = 95
_FOLDER_CHARACTERS = 60


@dataclass(frozen=True)
class CropConfig(Checked):
    """Which faces are cut out, and how."""

    size: int = 0
    """Height and width of a crop, pixels; 0: as in the video."""
    margin: float = 0.4
    """How much more than the face a crop shows on each side, as a share of its longer side, 0 … 10."""
    best: int = 0
    """Most crops of a character or track; 0: all."""
    min_side: float = 0
    """Faces whose longer side is smaller are left out, display pixels."""
    min_score: float = 0.0
    """Faces with a lower score are left out, 0 … 1."""
    by_track: bool = False
    """Whether a folder is of a track, and not of a character."""

    def _check(self) -> None:
        self._require_between(0, 4096, "size")
        self._require_between(0, 10, "margin")
        self._require_least(0, "best", "min_side")
        self._require_between(0, 1, "min_score")


def write_crops(
    results: ResultFile,
    frames: Iterable[tuple[Frame, FrameResult]],
    out: Path,
    config: CropConfig,
    on_crop: Callable[[], None] = lambda: None,
) -> int:
    """Write the crops of ``results`` to ``out``; returns how many.

    Only detected faces count, and of a held drawing only its first frame.

    Args:
        results: of the video.
        frames: the video read once more, from where tracking began.
        out: made when missing. Crops of an earlier call in it are removed, as far as nobody has changed them, when all
            new ones are made.
        config: which faces, and how.
        on_crop: called after every crop.

    Raises:
        ConfigError: ``out`` has files, and is not a folder of crops; or folders are of characters, and there are none.
        ForeignFileError: a crop would replace a file that is not ours; it is kept.
        MediaError: the results or the video cannot be read.
        OutputError: ``out`` cannot be written.
    """
    if not (results.has_characters or config.by_track):
        raise ConfigError(f"{results.path}: has no characters; track it without --no-characters, or choose --by track")
    chosen = _chosen(results, config)
    table: list[list[Any]] = [["file", "frame", "time", "shot", *face_columns(), "left", "top", "side"]]
    every = iter(frames)
    first = next(every, None)  # a video that is missing makes no folder
    with _Waiting(out) as waiting:
        for frame, result in () if first is None else chain((first,), every):
            faces = [
                face for face in _faces(result, config) if chosen is None or (result.index, face.track_id) in chosen
            ]
            image = frame.to_rgb() if faces else None
            for face in faces:
                if image is None:
                    break
                path = f"{_folder(face, config)}/{result.index:06d}_{face.track_id}.jpg"
                picture, corner = _cut(image, face, config)
                waiting.add(path, _jpeg(picture, config.size))
                time = round(result.pts_seconds, 6)
                table.append([path, result.index, time, result.shot, *face_row(face), *corner])
                on_crop()
        waiting.add(TABLE, csv_bytes(table))
        waiting.publish()
    return len(table) - 1


class _Waiting(Closeable):
    """Crops on the disk that have no names yet: those of an earlier call stay until the video has been read.

    A kill leaves nothing of them.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        with writing(out):
            self._is_new = not out.exists()
            out.mkdir(parents=True, exist_ok=True)
            if os.listdir(out) and not (out / JOURNAL).is_file():
                what = "has files and is not a folder of crops"
                raise ConfigError(f"--out {out} {what}; choose an empty or a new folder")
            self._file = tempfile.TemporaryFile(dir=out)  # noqa: SIM115  # ``close`` closes it
        self._sizes: dict[str, int] = {}  # path below ``out`` → bytes, in the order of the file

    def add(self, path: str, content: bytes) -> None:
        """Add a file.

        Raises:
            OutputError: it cannot be written.
        """
        with writing(self._out):
            self._file.write(content)
        self._sizes[path] = len(content)

    def publish(self) -> None:
        """Remove what an earlier call wrote, and give all that waits its names.

        Raises:
            ForeignFileError: a name is taken; nothing was changed.
            OutputError: the file system refuses.
        """
        with ExitStack() as opened:
            with writing(self._out):
                self._out.mkdir(parents=True, exist_ok=True)  # a failing call that made it may have removed it
                folder = os.open(self._out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                opened.callback(os.close, folder)
                lock(folder, is_patient=True)  # of two calls at once, the last one replaces all of the other's
            self._publish()

    def _publish(self) -> None:
        journal = Journal(self._out / JOURNAL)
        journal.note(())  # from now on it is a folder of crops
        known = journal.read()
        names = FinalNames(self._out, known, journal.note)
        for path in self._sizes:
            names.require_free(path)
        for path in dict.fromkeys((TABLE, *(file.path for file in known))):  # a table is of a folder that is complete
            names.withdraw(path)
        for folder in {(self._out / file.path).parent for file in known} - {self._out}:
            if folder.is_dir() and not folder.is_symlink() and not os.listdir(folder):
                with writing(folder):
                    folder.rmdir()
        with writing(self._out):
            self._file.seek(0)
        batch: dict[str, bytes] = {}
        room = _BATCH_BYTES
        for path, size in self._sizes.items():
            with writing(self._out):
                batch[path] = self._file.read(size)
            room -= size
            if room <= 0:
                names.write(batch)
                batch, room = {}, _BATCH_BYTES
        names.write(batch)

    def close(self) -> None:
        """Remove what has no name; a new folder, too, if it is empty."""
        self._file.close()
        if self._is_new:
            with suppress(OSError):
                self._out.rmdir()


def _faces(result: FrameResult, config: CropConfig) -> Iterator[Face]:
    """The faces of a frame that are large and sure enough."""
    for face in () if result.reused else result.faces:
        x1, y1, x2, y2 = face.box_xyxy
        is_seen = face.state is FaceState.DETECTED and max(x2 - x1, y2 - y1) > 0
        if is_seen and max(x2 - x1, y2 - y1) >= config.min_side and face.score >= config.min_score:
            yield face


def _chosen(results: ResultFile, config: CropConfig) -> set[tuple[int, int]] | None:
    """Frame and track of the best faces of every folder; None: all are wanted."""
    if not config.best:
        return None
    best: dict[str, list[tuple[float, int, int]]] = {}
    size = results.header.display_size
    for result in results:
        size = result.display_size or size
        for face in _faces(result, config):
            heap = best.setdefault(_folder(face, config), [])
            entry = (quality_of(face, size), -result.index, face.track_id)  # among equals the earlier one
            heapq.heappushpop(heap, entry) if len(heap) == config.best else heapq.heappush(heap, entry)
    return {(-index, track) for heap in best.values() for _, index, track in heap}


def _folder(face: Face, config: CropConfig) -> str:
    """The folder of a face, such as ``character_3_Velma``, ``track_17``, or ``nobody``."""
    if config.by_track:
        return f"track_{face.track_id}"
    if not face.character:
        return "nobody"
    name = re.sub(r"[^\w-]+", "_", face.name).strip("_")[:_FOLDER_CHARACTERS]
    return f"character_{face.character}" + (f"_{name}" if name else "")


def _cut(image: NDArray[np.uint8], face: Face, config: CropConfig) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
    """A square around a face, black outside the picture; and its left, top and side in display pixels."""
    x1, y1, x2, y2 = face.box_xyxy
    side = max(1, round(max(x2 - x1, y2 - y1) * (1 + 2 * config.margin)))
    left, top = round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2)
    crop = np.zeros((side, side, 3), np.uint8)
    part = image[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    y, x = max(0, -top), max(0, -left)
    crop[y : y + part.shape[0], x : x + part.shape[1]] = part
    return crop, (left, top, side)


def _jpeg(crop: NDArray[np.uint8], size: int) -> bytes:
    from PIL import Image

    picture = Image.fromarray(crop)
    if size and size != crop.shape[0]:
        way = Image.Resampling.BOX if size < crop.shape[0] else Image.Resampling.BICUBIC
        picture = picture.resize((size, size), way)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=_QUALITY, subsampling=0)
    return data.getvalue()
