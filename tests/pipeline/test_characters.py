"""Characters of a stream: the same however its frames come, and none where nobody asks."""

from __future__ import annotations

import contextlib
import io
import json
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acfd_stream.characters import Character, CharacterConfig
from acfd_stream.config import DropPolicy, Pace, PaceConfig, TrackConfig
from acfd_stream.errors import ConfigError, ResumeError, RunnerError
from acfd_stream.identity.embedder import FaceEmbedder
from acfd_stream.identity.views import TrackView
from acfd_stream.pipeline.characters import CharacterStage
from acfd_stream.pipeline.checkpoint import SessionState
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.pipeline.settled_frame import SettledFrame
from acfd_stream.pipeline.tracker import Tracker
from acfd_stream.types import Face, FrameResult
from tests.clips import encode
from tests.pipeline.coloured_faces import CHARACTERS, CUTS, FRAMES, SIZE, ColourFinder, draw
from tests.pipeline.test_checkpoint_forged import ODD, changed, places

POINTS = [0, 1, 7, CUTS[0] - 1, CUTS[0], CUTS[0] + 2, CUTS[1], FRAMES - 2, FRAMES - 1, FRAMES]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip of coloured faces."""
    return encode(tmp_path_factory.mktemp("clips") / "faces.mkv", map(draw, range(FRAMES)), SIZE)


@pytest.fixture(scope="module")
def embedder(tiny_embedder: Path) -> Iterator[FaceEmbedder]:
    with FaceEmbedder.open(tiny_embedder) as opened:
        yield opened


def opened(source: Any, embedder: FaceEmbedder, batch: int = 4, **options: Any) -> TrackSession:
    config = CharacterConfig()
    return TrackSession(
        source, detector=ColourFinder(batch), characters=config, embedder=embedder, keeps_views=True, **options
    )


Answer = tuple[list[FrameResult], list[Any], tuple[Character, ...]]


def whole(session: TrackSession) -> Answer:
    """Results, views as they are stored, characters."""
    results, views = [], []
    with session:
        for result in session:
            results.append(result)
            views += session.take_views()
        views += session.take_views()
    return results, [view.values() for view in views], session.characters


@pytest.fixture(scope="module")
def expected(faces: Path, embedder: FaceEmbedder) -> Answer:
    return whole(opened(faces, embedder))


def test_faces_get_the_same_character_after_a_cut(expected: Answer) -> None:
    results, _, characters = expected
    assert [(each.number, each.tracks) for each in characters] == CHARACTERS
    online = {face.track_id: face.character for result in results for face in result.faces}
    assert online == {track: each.number for each in characters for track in each.tracks}


def test_links_tell_what_the_faces_of_a_frame_carry(expected: Answer) -> None:
    known: dict[int, int] = {}
    for result in expected[0]:
        known |= {link.track_id: link.character for link in result.links}
        assert [face.character for face in result.faces] == [known.get(face.track_id, 0) for face in result.faces]
        numbers = [face.character for face in result.faces]
        assert len(set(numbers)) == len(numbers)
    assert len(known) == 5


def test_the_first_frame_of_a_track_has_its_character(expected: Answer) -> None:
    for index in (0, *CUTS):
        assert expected[0][index].faces
        assert all(face.character for face in expected[0][index].faces)


def test_views_come_when_their_track_has_ended(faces: Path, embedder: FaceEmbedder) -> None:
    taken: dict[int, list[TrackView]] = {}
    with opened(faces, embedder) as session:
        for result in session:
            if views := session.take_views():
                taken[result.index] = views
        last = session.take_views()
        assert session.take_views() == []
    assert {index: sorted({view.track_id for view in views}) for index, views in taken.items()} == {
        CUTS[0]: [1, 2],
        CUTS[1]: [3],
    }
    assert {view.track_id for view in last} == {4, 5}
    middle = last[0].crop[56:88, 56:88].reshape(-1, 3).mean(axis=0)
    assert middle.max() > middle.min() + 90  # a coloured face fills the middle
    assert all(view.frame_index < CUTS[0] for view in taken[CUTS[0]])


@pytest.mark.parametrize("batch", [1, 7])
def test_the_batch_changes_nothing(faces: Path, embedder: FaceEmbedder, expected: Answer, batch: int) -> None:
    assert whole(opened(faces, embedder, batch)) == expected


def test_a_stream_of_bytes_gives_the_same(faces: Path, embedder: FaceEmbedder, expected: Answer) -> None:
    assert whole(opened(io.BytesIO(faces.read_bytes()), embedder)) == expected


@pytest.mark.parametrize("count", POINTS)
def test_a_resumed_session_gives_the_same(faces: Path, embedder: FaceEmbedder, expected: Answer, count: int) -> None:
    first, views = [], []
    with opened(faces, embedder, 1 + count % 5) as session:
        for result in islice(session, count):
            first.append(result)
            views += session.take_views()
        state = SessionState(json.loads(json.dumps(session.checkpoint().values)))
    rest, rest_views, characters = whole(opened(faces, embedder, resume=state))
    assert (first + rest, [view.values() for view in views] + rest_views, characters) == expected


def stored_state(faces: Path, embedder: FaceEmbedder, **options: Any) -> dict[str, Any]:
    with opened(faces, embedder, **options) as session:
        list(islice(session, CUTS[0] + 5))
        return dict(json.loads(json.dumps(session.checkpoint().values)))


def test_a_state_without_its_body_goes_on_with_new_numbers(faces: Path, embedder: FaceEmbedder) -> None:
    state = stored_state(faces, embedder)
    state["stream"]["characters"]["body"] = None
    results, _, characters = whole(opened(faces, embedder, resume=SessionState(state)))
    numbers = {face.character for result in results for face in result.faces}
    assert numbers == {0, 3, 4, 5}  # 0: of frames whose views were in the body
    assert min(each.number for each in characters) >= 3


def test_a_checkpoint_of_other_characters_is_refused(faces: Path, embedder: FaceEmbedder) -> None:
    state = SessionState(stored_state(faces, embedder))
    with pytest.raises(ResumeError, match=r"settings characters\.digest '[0-9a-f]+', and here it is None"):
        TrackSession(faces, detector=ColourFinder(), resume=state)
    with pytest.raises(ResumeError, match=r"settings characters\.views 5, and here it is 3"):
        TrackSession(
            faces, detector=ColourFinder(), characters=CharacterConfig(views=3), embedder=embedder, resume=state
        )


def test_an_odd_value_anywhere_in_the_state_is_refused_or_harmless(faces: Path, embedder: FaceEmbedder) -> None:
    dice, state = random.Random(4), stored_state(faces, embedder, pace=PaceConfig(Pace.LIVE, DropPolicy.WAIT))
    inside = state["stream"]["characters"]
    live = TrackConfig(fills_gaps=False)
    tried = [(place, odd) for place in places(inside) for odd in ODD]
    taken = 0
    for place, odd in dice.sample(tried, 600):
        stage = CharacterStage(CharacterConfig(), embedder, live)
        try:
            stage.restore(changed(inside, place, odd))
        except ResumeError:
            continue
        taken += 1
        frame = SettledFrame(CUTS[0] + 5, 0, False, shot=1, faces=(Face(3, (30.0, 40.0, 62.0, 72.0), 0.9),))
        with contextlib.suppress(ResumeError):
            stage.settle(frame)
            stage.end()
            stage.characters()
    assert taken < 200


def test_a_session_without_a_config_gives_no_characters(faces: Path) -> None:
    with TrackSession(faces, detector=ColourFinder()) as session:
        results = list(session)
        assert "characters" not in session.checkpoint().values["stream"]
    assert {face.character for result in results for face in result.faces} == {0}
    assert not any(result.links for result in results)
    assert session.characters == ()
    assert session.take_views() == []
    assert session.embedder is None


def test_views_are_not_kept_unless_they_are_wanted(faces: Path, embedder: FaceEmbedder) -> None:
    with TrackSession(faces, detector=ColourFinder(), characters=CharacterConfig(), embedder=embedder) as session:
        list(session)
        assert session.take_views() == []
        assert '"/9j/' not in json.dumps(session.checkpoint().values)  # no JPEG


def test_a_live_stream_has_characters_from_the_frame_that_confirms_a_track(faces: Path, embedder: FaceEmbedder) -> None:
    results, views, characters = whole(opened(faces, embedder, pace=PaceConfig(Pace.LIVE, DropPolicy.WAIT)))
    assert sorted(len(each.tracks) for each in characters) == [1, 2, 2]
    for result in results:
        numbers = [face.character for face in result.faces]
        assert len(set(numbers)) == len(numbers)
        assert all(numbers)
    assert {view[0] for view in views} == {1, 2, 3, 4, 5}
    assert sum(len(result.faces) for result in results) > FRAMES


def test_a_drawing_that_is_held_is_not_embedded_again(faces: Path, embedder: FaceEmbedder) -> None:
    counted = Counting(embedder)
    still = [draw(4)] * 30
    with Tracker(detector=ColourFinder(), characters=CharacterConfig(), embedder=counted) as tracker:
        for index, image in enumerate(still):
            tracker.push(image, seconds=index / 24)
        tracker.flush()
    assert counted.crops == 2  # two faces


class Counting:
    """An embedder that counts crops."""

    def __init__(self, embedder: FaceEmbedder) -> None:
        self._embedder, self.crops = embedder, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedder, name)

    def embed(self, crops: np.ndarray) -> np.ndarray:
        self.crops += len(crops)
        return self._embedder.embed(crops)


def test_a_tracker_gives_the_characters_of_a_session(faces: Path, embedder: FaceEmbedder) -> None:
    with Tracker(detector=ColourFinder(), characters=CharacterConfig(), embedder=embedder, keeps_views=True) as tracker:
        for index in range(FRAMES):
            tracker.push(draw(index), seconds=index / 24)
        assert tracker.characters == ()
        taken = tracker.take_views()
        tracker.flush()
        taken += tracker.take_views()
        assert [len(each.tracks) for each in tracker.characters] == [2, 2, 1]
    assert {view.track_id for view in taken} == {1, 2, 3, 4, 5}


def test_a_change_of_size_ends_tracks_and_keeps_characters(embedder: FaceEmbedder) -> None:
    large = [np.kron(draw(index), np.ones((2, 2, 1), np.uint8)) for index in range(12)]
    with Tracker(detector=ColourFinder(), characters=CharacterConfig(), embedder=embedder) as tracker:
        for index, image in enumerate([draw(index) for index in range(12)] + large):
            tracker.push(image, seconds=index / 24)
        tracker.flush()
        assert sorted(each.tracks for each in tracker.characters) == [(1, 3), (2, 4)]


def test_faces_below_the_least_side_have_no_character(faces: Path, embedder: FaceEmbedder) -> None:
    config = CharacterConfig(least_side=40)
    with TrackSession(faces, detector=ColourFinder(), characters=config, embedder=embedder) as session:
        assert {face.character for result in session for face in result.faces} == {0}
        assert session.characters == ()


def test_wrong_arguments_are_refused(faces: Path) -> None:
    with pytest.raises(ConfigError, match="characters must be a CharacterConfig, got True"):
        TrackSession(faces, detector=ColourFinder(), characters=True)  # type: ignore[arg-type]
    with pytest.raises(RunnerError, match="no embedding network 'nobody'"):
        TrackSession(faces, detector=ColourFinder(), characters=CharacterConfig(model="nobody"))
