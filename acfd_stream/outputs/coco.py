"""Results as COCO JSON: one image per frame, one annotation per face, one category; loads in pycocotools.

Boxes are ``[x, y, width, height]`` in display pixels. What COCO does not define has TAO's names: the video, its
tracks, and the ``track_id`` of an annotation. A character, if known, is an attribute of annotations and tracks.
Annotations are written at once. Three numbers per frame are kept for the list of images, which is the second half of
the file.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from acfd_stream.characters import Character
from acfd_stream.outputs.face_values import BOX_DECIMALS, face_values, rounded
from acfd_stream.outputs.jsonl import SECONDS_DECIMALS, JsonlLines, frame_marks, header_values
from acfd_stream.outputs.writer import ResultEnd, ResultHeader
from acfd_stream.printable import escaped
from acfd_stream.types import Face, FrameResult

_VIDEO_ID = _CATEGORY_ID = 1
_IMAGES_PER_PIECE = 100


class CocoEncoder:
    """An ``Encoder`` of COCO JSON, one object per line."""

    def __init__(self, header: ResultHeader) -> None:
        self._header = header
        self._lines = JsonlLines(header)
        self._annotations = 0
        self._images = array("q")  # index, pts and shot of each frame
        self._tracks: set[int] = set()
        self._size = list(header.display_size[::-1])  # width and height of the next image
        self._marks: dict[int, dict[str, Any]] = {}  # of unusual frames, by index

    def header(self) -> bytes:
        """The category, the video and the start of the annotations."""
        height, width = self._header.display_size
        video = {"id": _VIDEO_ID, "name": self._header.source, "width": width, "height": height}
        category = {"id": _CATEGORY_ID, "name": "face", "supercategory": "character"}
        parts = (b'{"licenses": [],\n"categories": [', b'],\n"videos": [', b'],\n"annotations": [')
        return parts[0] + _json(category) + parts[1] + _json(video) + parts[2]

    def frame(self, result: FrameResult) -> bytes:
        """The frame's annotations."""
        self._lines.count(result)
        self._images.extend((result.index, result.pts, result.shot))
        if marks := frame_marks(result):
            self._marks[result.index] = marks
        return b"".join(self._annotation(_image_id(result.index), face) for face in result.faces)

    def trailer(self, end: ResultEnd) -> Iterable[bytes]:
        """The images, the tracks, and the values of the header and closing lines."""
        yield b'\n],\n"images": ['
        yield from self._image_pieces()
        yield b'\n],\n"tracks": ['
        about = {track: _attributes(each) for each in end.characters for track in each.tracks}
        common = {"video_id": _VIDEO_ID, "category_id": _CATEGORY_ID}
        tracks = ({"id": track, **common, **about.get(track, {})} for track in sorted(self._tracks))
        yield b",".join(b"\n" + _json(track) for track in tracks)
        info = {"description": "Face tracks of acfd-stream", **header_values(self._header)}
        info.update(self._lines.end_values(end))
        del info["type"]
        yield b'\n],\n"info": ' + _json(info) + b"}\n"

    def _annotation(self, image_id: int, face: Face) -> bytes:
        stored = face_values(face)
        x1, y1, x2, y2 = stored.pop("box")
        width, height = rounded(x2 - x1, BOX_DECIMALS), rounded(y2 - y1, BOX_DECIMALS)
        self._annotations += 1
        self._tracks.add(face.track_id)
        values = {
            "id": self._annotations,
            "image_id": image_id,
            "category_id": _CATEGORY_ID,
            "bbox": [x1, y1, width, height],
            "area": rounded(width * height, 2 * BOX_DECIMALS),
            "iscrowd": 0,
            "score": stored.pop("score"),
            "track_id": stored.pop("id"),
            "video_id": _VIDEO_ID,
            **stored,
        }
        return (b",\n" if self._annotations > 1 else b"\n") + _json(values)

    def _image_pieces(self) -> Iterator[bytes]:
        piece: list[bytes] = []
        for at in range(0, len(self._images), 3):
            piece.append((b",\n" if at else b"\n") + _json(self._image(*self._images[at : at + 3])))
            if len(piece) == _IMAGES_PER_PIECE:
                yield b"".join(piece)
                piece = []
        yield b"".join(piece)

    def _image(self, index: int, pts: int, shot: int) -> dict[str, Any]:
        marks = self._marks.pop(index, {})
        width, height = self._size = marks.pop("display_size", self._size)
        # As ``ffmpeg -i NAME -fps_mode passthrough FOLDER/%06d.jpg`` names the frame's picture.
        name = f"{PurePosixPath(self._header.source).stem}/{_image_id(index):06d}.jpg"
        return {
            "id": _image_id(index),
            "file_name": name,
            "width": width,
            "height": height,
            "video_id": _VIDEO_ID,
            "frame_index": index,
            "pts": pts,
            "time": rounded(float(pts * self._header.time_base), SECONDS_DECIMALS),
            "shot": shot,
            **marks,
        }


def _attributes(character: Character) -> dict[str, Any]:
    return {"character": character.number, **({"name": character.name} if character.name else {})}


def _image_id(index: int) -> int:
    return index + 1  # some readers treat 0 as none


def _json(values: dict[str, Any]) -> bytes:
    return escaped(json.dumps(values, ensure_ascii=False, allow_nan=False)).encode()
