"""Names of a cast while a video is read: the same however its frames come, and in the end what its views say."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from acfd_stream.characters import Character, CharacterConfig
from acfd_stream.config import DropPolicy, Pace, PaceConfig
from acfd_stream.errors import CastError, ConfigError
from acfd_stream.identity.cast.cast import Cast
from acfd_stream.identity.embedder import FaceEmbedder
from acfd_stream.pipeline.checkpoint import SessionState
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.pipeline.tracker import Tracker
from acfd_stream.recording.record import Recorder
from acfd_stream.recording.task import RecordingSettings
from acfd_stream.recording.views import ViewsSink
from acfd_stream.types import FrameResult
from tests.clips import encode
from tests.identity.tiny_embedder import write_tiny_embedder
from tests.pipeline.coloured_faces import CUTS, FRAMES, SIZE, ColourFinder, draw

CONFIG = CharacterConfig()
ANSWER = {1: "Ruby", 2: "Fern", 3: ""}
"""Character → name, by its colour; nobody has named the blue one."""


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip of coloured faces."""
    return encode(tmp_path_factory.mktemp("clips") / "faces.mkv", map(draw, range(FRAMES)), SIZE)


@pytest.fixture(scope="module")
def embedder(tiny_embedder: Path) -> Iterator[FaceEmbedder]:
    with FaceEmbedder.open(tiny_embedder) as opened:
        yield opened


@pytest.fixture(scope="module")
def cast(faces: Path, embedder: FaceEmbedder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cast of the clip; red and green have names."""
    folder = tmp_path_factory.mktemp("cast")
    sink = ViewsSink(folder / "faces.views.ndjson")
    settings = RecordingSettings(characters=CONFIG)
    Recorder(
        source=str(faces), settings=settings, engine=ColourFinder(), embedder=embedder, sinks=[sink], views=sink.lines
    ).record()
    with Cast.open(folder / "cast.db", is_new=True) as cast:
        cast.build([sink.place])
        for number, name in ANSWER.items():
            cast.name(number, name)
    return folder / "cast.db"


def opened(source: Any, embedder: FaceEmbedder, cast: Any, batch: int = 4, **options: Any) -> TrackSession:
    return TrackSession(
        source, detector=ColourFinder(batch), characters=CONFIG, embedder=embedder, cast=cast, **options
    )


Answer = tuple[list[FrameResult], tuple[Character, ...]]


def whole(session: TrackSession) -> Answer:
    with session:
        return list(session), session.characters


@pytest.fixture(scope="module")
def expected(faces: Path, embedder: FaceEmbedder, cast: Path) -> Answer:
    return whole(opened(faces, embedder, cast))


def test_a_name_comes_as_soon_as_there_are_enough_views(expected: Answer) -> None:
    results, characters = expected
    assert {each.number: each.name for each in characters} == ANSWER
    first = {face.name for result in results[:4] for face in result.faces}  # one view of small flat faces
    assert first == {""}
    for result in results[4:]:
        assert [face.name for face in result.faces] == [ANSWER[face.character] for face in result.faces]
    (link,) = results[CUTS[0]].links  # of a known face, at once
    assert (link.track_id, link.character, link.name) == (3, 2, "Fern")


def test_links_tell_the_names_of_the_faces(expected: Answer) -> None:
    told: dict[int, str] = {}
    for result in expected[0]:
        told |= {link.track_id: link.name for link in result.links}
        assert [face.name for face in result.faces] == [told[face.track_id] for face in result.faces]


@pytest.mark.parametrize("batch", [1, 7])
def test_the_batch_changes_nothing(
    faces: Path, embedder: FaceEmbedder, cast: Path, expected: Answer, batch: int
) -> None:
    assert whole(opened(faces, embedder, cast, batch)) == expected


def test_bytes_and_an_opened_cast_give_the_same(
    faces: Path, embedder: FaceEmbedder, cast: Path, expected: Answer
) -> None:
    with Cast.open(cast) as members:
        matcher = members.matcher()
    assert whole(opened(io.BytesIO(faces.read_bytes()), embedder, matcher)) == expected


def interrupted(session: TrackSession, count: int) -> tuple[list[FrameResult], SessionState]:
    with session:
        first = list(islice(session, count))
        return first, SessionState(json.loads(json.dumps(session.checkpoint().values)))


@pytest.mark.parametrize("count", [2, 5, CUTS[0] - 1, CUTS[0], CUTS[1] + 1, FRAMES])
def test_a_resumed_session_gives_the_same(
    faces: Path, embedder: FaceEmbedder, cast: Path, expected: Answer, count: int
) -> None:
    first, state = interrupted(opened(faces, embedder, cast), count)
    rest, characters = whole(opened(faces, embedder, cast, resume=state))
    assert (first + rest, characters) == expected


def test_a_session_goes_on_with_another_cast_or_none(
    faces: Path, embedder: FaceEmbedder, cast: Path, expected: Answer, tmp_path: Path
) -> None:
    _, with_names = interrupted(opened(faces, embedder, cast), 10)
    results, characters = whole(opened(faces, embedder, None, resume=with_names))
    assert not any(each.name for each in characters)
    assert not any(face.name for result in results[CUTS[0] :] for face in result.faces)
    _, without = interrupted(opened(faces, embedder, None), 10)
    results, characters = whole(opened(faces, embedder, cast, resume=without))
    assert characters == expected[1]
    assert results[-1] == expected[0][-1]
    with Cast.open(cast) as members:
        members.copy_to(tmp_path / "other.db")
    with Cast.open(tmp_path / "other.db") as other:
        other.name(1, "Rosa")
        other.forget(2)
    results, characters = whole(opened(faces, embedder, tmp_path / "other.db", resume=with_names))
    assert [each.name for each in characters] == ["Rosa", "", ""]
    assert {(link.character, link.name) for link in results[30 - 10].links + results[-1].links} <= {(1, "Rosa")}
    assert {face.name for face in results[-1].faces} == {"Rosa", ""}


def test_the_end_says_what_the_views_file_says(
    faces: Path, embedder: FaceEmbedder, cast: Path, tmp_path: Path, expected: Answer
) -> None:
    sink = ViewsSink(tmp_path / "again.views.ndjson")
    Recorder(
        source=str(faces),
        settings=RecordingSettings(characters=CONFIG, cast=cast),
        engine=ColourFinder(),
        embedder=embedder,
        sinks=[sink],
        views=sink.lines,
    ).record()
    sink.place.write_bytes(sink.place.read_bytes() + b"\n")  # no file that the cast knows
    with Cast.open(cast) as members:
        by_looks = {number: match.name for number, match in members.names(sink.place).items()}
    assert by_looks == {each.number: each.name for each in expected[1]}


def test_a_live_stream_has_names(faces: Path, embedder: FaceEmbedder, cast: Path) -> None:
    live = PaceConfig(Pace.LIVE, DropPolicy.WAIT)
    results, characters = whole(opened(faces, embedder, cast, pace=live))
    assert sorted(each.name for each in characters) == ["", "Fern", "Ruby"]
    assert {face.name for face in results[-1].faces} == {"Ruby", ""}


def test_a_tracker_gives_the_names_of_a_session(embedder: FaceEmbedder, cast: Path) -> None:
    with Tracker(detector=ColourFinder(), characters=CONFIG, embedder=embedder, cast=cast) as tracker:
        results = [each for index in range(FRAMES) for each in tracker.push(draw(index), seconds=index / 24)]
        results += tracker.flush()
        assert sorted(each.name for each in tracker.characters) == ["", "Fern", "Ruby"]
    assert {face.name for face in results[-1].faces} == {"Ruby", ""}


def test_a_cast_that_does_not_fit_is_refused(faces: Path, embedder: FaceEmbedder, cast: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cast names characters; give characters, too"):
        TrackSession(faces, detector=ColourFinder(), cast=cast)
    with pytest.raises(ConfigError, match="there is no such cast"):
        opened(faces, embedder, tmp_path / "none.db")
    other = write_tiny_embedder(tmp_path / "other.onnx", version="2")
    with FaceEmbedder.open(other) as newer, Cast.open(cast) as members:
        for given in (cast, members.matcher()):
            with pytest.raises(CastError, match="rebuild"):
                opened(faces, newer, given)
