"""What a page knows about characters, by hand: figures, pictures, the key of a numbering, and the index."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.characters import Character
from acfd_stream.errors import MediaError
from acfd_stream.outputs import read_results
from acfd_stream.outputs.report import read_summary, write_episode_report
from acfd_stream.outputs.report.characters import character_rows, numbering_key, read_portraits
from acfd_stream.outputs.report.folder_characters import Video, character_values
from acfd_stream.outputs.report.gather import gather
from acfd_stream.outputs.report.page import data_url
from acfd_stream.outputs.report.summary import CharacterFigures
from tests.outputs.report.drawn import SLOW, STEADY, result_of_characters, result_of_square


def jpeg(level: int, side: int = 16) -> bytes:
    """A grey picture."""
    return bytes(cv2.imencode(".jpg", np.full((side, side, 3), level, np.uint8))[1])


def level_of(url: str) -> int:
    """The grey of a picture."""
    data = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
    return round(float(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE).mean()))


def thumbnails(folder: Path) -> Path:
    """A grey picture per track: 10 × its number."""
    folder.mkdir()
    for track in range(1, 6):
        (folder / f"{track}.jpg").write_bytes(jpeg(10 * track))
    return folder


def write_views(path: Path) -> Path:
    """A views file: one view of character 1, two of character 2, one of nobody."""
    views = [(1, 1, 0.5, 100), (2, 2, 0.5, 120), (2, 2, 0.75, 140), (2, 2, 0.75, 160), (5, 0, 1.0, 180)]
    lines: list[dict[str, object]] = [
        {"type": "views", "version": 1, "model": "a", "model_version": "1", "digest": "b"}
    ]
    for track, character, quality, level in views:
        crop = base64.b64encode(jpeg(level)).decode("ascii")
        lines.append({"track": track, "character": character, "quality": quality, "embedding": "", "crop": crop})
    lines.append({"type": "end", "together": [[1, 2]]})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_the_figures_of_characters(tmp_path: Path) -> None:
    results = read_results(result_of_characters(tmp_path / "a.jsonl"))
    rows = character_rows(results.end.characters, gather(results))
    assert [(row.number, row.name, row.tracks) for row in rows] == [(1, "", (1, 3)), (2, "Velma", (2,)), (3, "", (4,))]
    assert [(row.seconds, row.scenes, row.begin_seconds) for row in rows] == [(11.0, 2, 0), (5.0, 1, 5), (2.0, 1, 2)]


def test_stays_that_are_close_together_are_one_scene(tmp_path: Path) -> None:
    results = read_results(result_of_characters(tmp_path / "a.jsonl", times=STEADY))  # a second and a quarter apart
    assert [row.scenes for row in character_rows(results.end.characters, gather(results))] == [1, 1, 1]


def test_a_character_whose_tracks_are_not_in_the_result_is_left_out(tmp_path: Path) -> None:
    columns = gather(read_results(result_of_square(tmp_path / "a.jsonl", SLOW)))
    rows = character_rows([Character(1, (9,), 1.0), Character(2, (2, 9), 1.0)], columns)
    assert [(row.number, row.tracks) for row in rows] == [(2, (2,))]


def test_characters_of_one_name_are_one_unless_they_are_in_one_frame(tmp_path: Path) -> None:
    columns = gather(read_results(result_of_characters(tmp_path / "a.jsonl")))
    given = [
        Character(1, (1, 3), 0.9, "A"),
        Character(2, (2,), 0.5, "A"),
        Character(3, (4,), 0.8, "A"),
        Character(4, (5,), 1.0),
    ]
    rows = character_rows(given, columns)
    assert [(row.number, row.tracks, row.confidence) for row in rows] == [
        (1, (1, 2, 3), 0.5),
        (3, (4,), 0.8),
        (4, (5,), 1.0),
    ]
    assert [(row.seconds, row.scenes) for row in rows] == [(16.0, 1), (2.0, 1), (0.5, 1)]


def test_names_do_not_change_the_key_of_a_numbering_but_tracks_do() -> None:
    one = [Character(1, (1, 3), 0.5), Character(2, (2,), 0.5)]
    text = '["a",[[1,[1,3]],[2,[2]]]]'
    assert numbering_key("a", reversed(one)) == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert numbering_key("a", [Character(1, (1, 3), 0.9, "Velma"), one[1]]) == numbering_key("a", one)
    others = [
        numbering_key("b", one),
        numbering_key("a", one[:1]),
        numbering_key("a", [one[0], Character(3, (2,), 0.5)]),
    ]
    assert numbering_key("a", one) not in others


def test_pictures_come_from_the_views_and_else_from_the_best_track(tmp_path: Path) -> None:
    jsonl = result_of_characters(tmp_path / "a.jsonl")
    pictures = thumbnails(tmp_path / "pictures")
    write_episode_report(jsonl, None, tmp_path / "a.html", pictures)
    assert {number: level_of(url) for number, url in read_portraits(tmp_path / "a.html").items()} == {
        "1": 10, "2": 20, "3": 40,
    }  # fmt: skip
    views = write_views(tmp_path / "a.views.ndjson")
    write_episode_report(jsonl, None, tmp_path / "b.html", pictures, views=views)
    assert {number: level_of(url) for number, url in read_portraits(tmp_path / "b.html").items()} == {
        "1": 100, "2": 140, "3": 40,
    }  # fmt: skip
    write_episode_report(jsonl, None, tmp_path / "c.html", pictures, views=tmp_path / "none")
    assert (tmp_path / "c.html").read_bytes() == (tmp_path / "a.html").read_bytes()


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"type": "header"}\n',
        '{"type": "views"}\nno JSON\n',
        '{"type": "views"}\n{"track": 1, "character": 1}\n',
        '{"type": "views"}\n{"track": 1, "character": 1, "quality": 1, "crop": "?"}\n',
    ],
)
def test_damaged_views_are_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "views").write_text(text)
    jsonl = result_of_characters(tmp_path / "a.jsonl")
    with pytest.raises(MediaError, match="views: is no file of views"):
        write_episode_report(jsonl, None, tmp_path / "a.html", views=tmp_path / "views")


def test_a_report_gives_its_characters_back(tmp_path: Path) -> None:
    found = write_episode_report(result_of_characters(tmp_path / "a.jsonl"), None, tmp_path / "a.html")
    assert found.characters[1] == CharacterFigures(2, "Velma", 5.0, 1, 5.0)
    assert read_summary(tmp_path / "a.html") == found


def test_a_report_without_characters_says_nothing_about_them(tmp_path: Path) -> None:
    write_episode_report(result_of_square(tmp_path / "a.jsonl", STEADY), None, tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    assert '"characters":' not in text
    assert 'id="portraits"' not in text
    assert 'id="gallery"' not in text
    assert read_portraits(tmp_path / "a.html") == {}


def page_with(path: Path, pictures: dict[str, str]) -> Path:
    path.write_text(f'{"<p>" * 40_000}<script type="application/json" id="portraits">{json.dumps(pictures)}</script>')
    return path


def test_a_name_has_one_picture_in_the_folder_that_of_its_longest_time(tmp_path: Path) -> None:
    one = page_with(tmp_path / "1.html", {"1": data_url("image/jpeg", jpeg(50)), "2": data_url("image/jpeg", jpeg(60))})
    two = page_with(
        tmp_path / "2.html", {"7": data_url("image/jpeg", jpeg(70, 200)), "8": "data:image/jpeg;base64,AAAA"}
    )
    videos = [
        Video(one, [CharacterFigures(2, "", 9.0, 3, 0.0), CharacterFigures(1, "Velma", 5.0, 2, 0.0)]),
        Video(two, [CharacterFigures(7, "Velma", 6.0, 1, 0.0), CharacterFigures(8, "", 3.0, 1, 0.0)]),
        Video(None, [CharacterFigures(1, "Shaggy", 1.0, 1, 0.0)]),
    ]
    rows, faces = character_values(videos)
    assert [level_of(url) for url in faces] == [70, 60]
    assert rows == [
        [[1, "Velma", 5.0, 2, 0], [2, "", 9.0, 3, 1]],
        [[7, "Velma", 6.0, 1, 0], [8, "", 3.0, 1, -1]],
        [[1, "Shaggy", 1.0, 1, -1]],
    ]


def test_a_row_of_the_index_has_all_names_and_few_strangers() -> None:
    characters = [
        CharacterFigures(number, "Velma" if number == 90 else "", 100.0 - number, 1, 0.0) for number in range(1, 95)
    ]
    (row,), faces = character_values([Video(None, characters)])
    assert [values[0] for values in row] == [90, 1, 2, 3, 4, 5, 6]
    assert faces == []
