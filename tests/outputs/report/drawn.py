"""Clips of one white square on black whose place tells the frame, and results that say where it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from acfd_stream.characters import Character
from acfd_stream.outputs import ResultEnd, ResultHeader, open_writer
from acfd_stream.types import Face, FaceState, FrameResult

SIZE = (180, 320)
SQUARE = 40
STEP = 8  # pixels a frame to the right
TOP = 60
MODEL = {"name": "acfd-n", "version": "1", "precision": "f32"}


@dataclass(frozen=True)
class Times:
    """When frames are shown."""

    pts: tuple[int, ...]
    time_base: Fraction

    def seconds(self, frame: int) -> float:
        return float(self.pts[frame] * self.time_base)


STEADY = Times(tuple(range(0, 32 * 128, 128)), Fraction(1, 1024))  # 8 frames a second
IRREGULAR = Times(tuple(np.cumsum([0, *([90, 40, 300, 125] * 8)][:32]).tolist()), Fraction(1, 1000))
SLOW = Times(tuple(range(0, 32 * 512, 512)), Fraction(1, 1024))  # 2 frames a second
LATE = Times(tuple(1400 + 125 * frame for frame in range(32)), Fraction(1, 1000))  # does not begin at 0


def left_of(frame: int) -> int:
    """Left edge of the square."""
    return 8 + STEP * frame


def draw_clip(path: Path, times: Times) -> None:
    """H.264 with B-frames, as players get it from others."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", options={"crf": "12", "bf": "2", "g": "12"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.time_base = stream.codec_context.time_base = times.time_base
        for frame, pts in enumerate(times.pts):
            image = np.zeros((*SIZE, 3), np.uint8)
            image[TOP : TOP + SQUARE, left_of(frame) : left_of(frame) + SQUARE] = 255
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts, picture.time_base = pts, times.time_base
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))


def square(track_id: int, frame: int, **more: Any) -> Face:
    """The face that the square is."""
    x, y = left_of(frame), TOP
    return Face(track_id, (float(x), float(y), float(x + SQUARE), float(y + SQUARE)), 0.9, **more)


def write_result(
    path: Path,
    frames: Iterable[FrameResult],
    time_base: Fraction = Fraction(1, 1000),
    end: ResultEnd | None = None,
    **header: Any,
) -> Path:
    """A JSONL result of ``frames``."""
    given = {"source": "clip.mp4", "display_size": SIZE, "model": MODEL, "frame_rate": Fraction(8)} | header
    writer = open_writer(path, "jsonl", ResultHeader(time_base=time_base, **given))
    seen = set()
    for frame in frames:
        writer.write(frame)
        seen.update(face.track_id for face in frame.faces)
    writer.close(end or ResultEnd(len(seen)))
    return path


def frame_of(times: Times, index: int, faces: Sequence[Face] = (), **more: Any) -> FrameResult:
    """The frame ``index`` of ``times``."""
    return FrameResult(index, times.pts[index], times.time_base, times.seconds(index), tuple(faces), **more)


def result_of_square(path: Path, times: Times, **header: Any) -> Path:
    """The square as track 1 in frames 0 … 9, 2 in 10 … 19 (of which two are filled), 3 from 20 on: three shots."""

    def faces(index: int) -> list[Face]:
        state = FaceState.FILLED if index in (14, 15) else FaceState.DETECTED
        return [square(1 + min(index // 10, 2), index, state=state)]

    frames = [frame_of(times, index, faces(index), shot=min(index // 10, 2)) for index in range(len(times.pts))]
    return write_result(path, frames, times.time_base, **header)


def result_of_characters(
    path: Path, names: Mapping[int, str] | None = None, times: Times = SLOW, **header: Any
) -> Path:
    """The square as tracks 1, 2, 3, and two small faces below it: 4 in frames 4 … 7, 5 in the last one.

    Tracks 1 and 3 are character 1, which has two scenes; 2 is character 2, with the name Velma; 4 is character 3, which
    is in the picture together with 1; 5 is nobody.
    """
    names = {2: "Velma"} if names is None else names
    characters = {1: 1, 2: 2, 3: 1, 4: 3}

    def faces(index: int) -> list[Face]:
        ids = [1 + min(index // 10, 2), *[4][: 4 <= index <= 7], *[5][: index == 31]]
        below = (8.0, 120.0, 28.0, 140.0)
        known = {id: {"character": characters.get(id, 0), "name": names.get(characters.get(id, 0), "")} for id in ids}
        return [square(id, index, **known[id]) if id < 4 else Face(id, below, 0.9, **known[id]) for id in ids]

    frames = [frame_of(times, index, faces(index), shot=min(index // 10, 2)) for index in range(len(times.pts))]
    given = ((1, (1, 3)), (2, (2,)), (3, (4,)))
    end = ResultEnd(5, characters=tuple(Character(each, ids, 0.83, names.get(each, "")) for each, ids in given))
    return write_result(path, frames, times.time_base, end, frame_rate=Fraction(2), **header)
