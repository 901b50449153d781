"""Characters of a stream: the same however its frames come, and none where nobody asks."""

from __future__ import annotations

from pathlib import Path

from acfd_stream.characters import CharacterConfig
from acfd_stream.pipeline.session import TrackSession
from tests.pipeline.square_finder import SquareFinder


def test_a_session_without_a_config_gives_no_characters(clip: Path) -> None:
    with TrackSession(clip, detector=SquareFinder()) as session:
        results = list(session)
    assert {face.character for result in results for face in result.faces} == {0}
    assert not any(result.links for result in results)
    assert session.characters == ()
    assert session.take_views() == []


def test_links_tell_what_the_faces_of_a_frame_carry(clip: Path) -> None:
    known: dict[int, int] = {}
    with TrackSession(clip, detector=SquareFinder(), characters=CharacterConfig()) as session:
        for result in session:
            known |= {link.track_id: link.character for link in result.links}
            assert [face.character for face in result.faces] == [known.get(face.track_id, 0) for face in result.faces]
        assert len(known) == session.tracks == 2
    assert sorted(track for character in session.characters for track in character.tracks) == [1, 2]
