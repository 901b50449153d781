"""The final answer to who is who, in results whose frames say what was known when they were settled.

A character belongs to whole tracks, so the table at the end of a result decides about every face of it. Each line is
read and written once, and only the table stays in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from acfd_stream.characters import Character
from acfd_stream.outputs.jsonl import json_line
from acfd_stream.types import Face, FrameResult

_NOBODY = (0, "")


class FinalCharacters:
    """Who every track is in the end; what frames say replaces nothing of it.

    Args:
        characters: of the whole video; a track that none of them has is nobody.
    """

    def __init__(self, characters: Iterable[Character]) -> None:
        self._by_track = {track: (each.number, each.name) for each in characters for track in each.tracks}

    def result(self, result: FrameResult) -> FrameResult:
        """``result`` with the final character of every face, and without links."""
        faces = tuple(map(self._face, result.faces))
        is_final = not result.links and all(face is before for face, before in zip(faces, result.faces, strict=True))
        return result if is_final else replace(result, faces=faces, links=())

    def line(self, line: bytes) -> bytes:
        """The same for a line of a JSONL result; a line about which nothing is to be said stays as it is."""
        if b'"faces": [{' not in line and b'"links": [' not in line:
            return line
        values = json.loads(line)
        if values.get("type") != "frame":
            return line
        values.pop("links", None)
        for face in values["faces"]:
            self._settle(face)
        return json_line(values)

    def _face(self, face: Face) -> Face:
        found = self._by_track.get(face.track_id, _NOBODY)
        return face if found == (face.character, face.name) else replace(face, character=found[0], name=found[1])

    def _settle(self, face: dict[str, Any]) -> None:
        character, name = self._by_track.get(face["id"], _NOBODY)
        for key, value in (("character", character), ("name", name)):
            face.pop(key, None)
            if value:
                face[key] = value


def settled_lines(lines: Iterable[bytes], characters: Sequence[Character]) -> Iterator[bytes]:
    """Lines of a JSONL result with the final answer; all else in them stays, byte for byte.

    Args:
        lines: with their newlines; the closing line may be missing.
        characters: of the closing line.
    """
    return map(FinalCharacters(characters).line, lines)
