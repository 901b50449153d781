"""Characters in results: what a stream says frame by frame, and the final answer that files hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from acfd_stream.characters import Character, CharacterLink
from acfd_stream.errors import MediaError
from acfd_stream.outputs import ResultEnd, open_writer, read_results
from acfd_stream.outputs.settle import settled_lines
from acfd_stream.types import FrameResult
from tests.outputs.made_up import HEADER, made_up, write_made_up

CHARACTERS = (Character(2, (1,), 0.75), Character(4, (3,), 0.912345, 'Vélma "V" \u202e'))
END = ResultEnd(tracks=3, characters=CHARACTERS)
FINAL = {1: (2, ""), 2: (0, ""), 3: (4, CHARACTERS[1].name)}


def online(count: int = 90) -> Iterator[FrameResult]:
    """The made-up results, whose tracks are first nobody, then the wrong character."""
    for result in made_up(count):
        faces = tuple(
            replace(face, character=result.index // 20 and 5, name="Fred" if result.index > 40 else "")
            for face in result.faces
        )
        links = (CharacterLink(1, 5, 0.51234567), CharacterLink(2, 5, 1.0, is_tentative=False, name="Fred"))
        yield replace(result, faces=faces, links=links if result.index == 20 else ())


def final() -> Iterator[FrameResult]:
    for result in made_up(90):
        faces = tuple(
            replace(face, character=FINAL[face.track_id][0], name=FINAL[face.track_id][1]) for face in result.faces
        )
        yield replace(result, faces=faces)


def write(place: Path, results: Iterator[FrameResult], end: ResultEnd = END) -> Path:
    writer = open_writer(place, "jsonl", HEADER)
    for result in results:
        writer.write(result)
    writer.close(end)
    return place


def test_a_stream_says_links_where_they_change_and_the_table_at_its_end(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in write(tmp_path / "a", online()).read_bytes().splitlines()]
    assert [line["index"] for line in lines if "links" in line] == [20]
    assert lines[21]["links"] == [
        {"id": 1, "character": 5, "confidence": 0.5123, "tentative": True},
        {"id": 2, "character": 5, "confidence": 1.0, "tentative": False, "name": "Fred"},
    ]
    assert "character" not in lines[1]["faces"][0]
    assert lines[21]["faces"][0]["character"] == 5
    assert lines[-1]["characters"] == [
        {"character": 2, "tracks": [1], "confidence": 0.75},
        {"character": 4, "name": CHARACTERS[1].name, "tracks": [3], "confidence": 0.9123},
    ]


@pytest.mark.parametrize("characters", [CHARACTERS, ()])
def test_settled_lines_are_those_of_results_that_were_final_from_the_start(
    characters: tuple[Character, ...], tmp_path: Path
) -> None:
    end = replace(END, characters=characters)
    wanted = write(tmp_path / "final", final() if characters else made_up(90), end).read_bytes()
    for results in (online(), made_up(90), final()):
        lines = write(tmp_path / "online", results, end).read_bytes().splitlines(keepends=True)
        assert b"".join(settled_lines(lines, characters)) == wanted


def test_lines_without_characters_keep_their_bytes(tmp_path: Path) -> None:
    lines = write_made_up(tmp_path / "a", "jsonl").read_bytes().splitlines(keepends=True)
    assert list(settled_lines(lines, ())) == lines


def test_a_stream_that_was_kept_is_read_with_the_final_answer(tmp_path: Path) -> None:
    results = read_results(write(tmp_path / "a", online()))
    assert [(c.number, c.tracks, c.name) for c in results.end.characters] == [(2, (1,), ""), (4, (3,), FINAL[3][1])]
    again = [(face.track_id, face.character, face.name) for result in results for face in result.faces]
    assert again == [(face.track_id, *FINAL[face.track_id]) for result in made_up(90) for face in result.faces]
    assert not any(result.links for result in results)


def test_final_results_are_read_and_written_again_with_the_same_bytes(tmp_path: Path) -> None:
    first = write(tmp_path / "a", final())
    results = read_results(first)
    assert write(tmp_path / "b", iter(results), results.end).read_bytes() == first.read_bytes()


@pytest.mark.parametrize("table", ['{"a": 1}', '[{"character": 1}]', '[{"character": "x", "tracks": [1]}]', "[[1]]"])
def test_a_damaged_table_is_named(table: str, tmp_path: Path) -> None:
    place = write(tmp_path / "a", online())
    lines = place.read_bytes().splitlines(keepends=True)
    lines[-1] = lines[-1].split(b'"characters": ')[0] + b'"characters": ' + table.encode() + b"}\n"
    place.write_bytes(b"".join(lines))
    with pytest.raises(MediaError, match="closing line is not as written"):
        read_results(place)
