"""Links while streaming, on cases that can be checked by hand: embeddings are directions in a plane."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from acfd_stream.characters import CharacterLink
from acfd_stream.errors import ResumeError
from acfd_stream.identity.linked_track import confidence_of
from acfd_stream.identity.linking import Linker
from acfd_stream.identity.views import EmbeddingArray

THRESHOLD = float(np.cos(np.radians(30)))


def towards(degrees: float) -> EmbeddingArray:
    angle = np.radians(degrees)
    return np.array([np.cos(angle), np.sin(angle)], np.float16)


class Stream:
    """A linker, and the frames that it gets."""

    def __init__(self, linker: Linker | None = None) -> None:
        self.linker = linker or Linker(THRESHOLD, 1000)
        self.frame = -1
        self.tracks: list[int] = []

    def show(self, *tracks: int, weight: float = 1.0, **views: float) -> list[tuple[int, int, bool]]:
        """The next frame, with views "t1=30.0" of tracks; (track, character, tentative) of the links."""
        self.frame += 1
        self.linker.end(set(self.tracks) - set(tracks))
        self.tracks = list(tracks)
        links = self.linker.see(self.frame, tracks)
        evidence = {int(name[1:]): (towards(degrees), weight) for name, degrees in views.items()}
        return told(links + self.linker.add(evidence))

    def characters(self) -> list[int]:
        return [self.linker.tracks[track].character for track in sorted(self.linker.tracks)]


def told(links: Sequence[CharacterLink]) -> list[tuple[int, int, bool]]:
    return [(link.track_id, link.character, link.is_tentative) for link in links]


def test_the_same_face_after_a_cut_gets_the_same_number() -> None:
    stream = Stream()
    assert stream.show(1, t1=0.0) == [(1, 1, True)]
    assert stream.show(2, t2=90.0) == [(2, 2, True)]
    assert stream.show(3, t3=10.0) == [(3, 1, True)]
    assert stream.show(4, t4=80.0) == [(4, 2, True)]


def test_a_link_is_tentative_until_three_views_agree() -> None:
    stream = Stream()
    assert stream.show(1, t1=0.0) == [(1, 1, True)]
    assert stream.show(1, t1=1.0) == []
    assert stream.show(1, t1=2.0) == [(1, 1, False)]
    assert stream.show(1, t1=80.0) == []  # final for the stream


def test_two_faces_of_one_frame_are_never_one_character() -> None:
    stream = Stream()
    assert stream.show(1, 2, t1=0.0, t2=0.0) == [(1, 1, True), (2, 2, True)]
    assert stream.show(3, 4, t3=0.0, t4=0.0) == [(3, 1, True), (4, 2, True)]


def test_a_clearly_better_face_takes_a_tentative_link_over() -> None:
    stream = Stream()
    stream.show(1, t1=0.0)
    assert stream.show(2, t2=28.0) == [(2, 1, True)]
    assert stream.show(2, 3, t3=1.0) == [(2, 2, True), (3, 1, True)]


def test_a_slightly_better_face_does_not() -> None:
    stream = Stream()
    stream.show(1, t1=0.0)
    stream.show(2, t2=4.0)
    assert stream.show(2, 3, t3=1.0) == [(3, 2, True)]


def test_a_wrong_link_is_taken_back() -> None:
    stream = Stream()
    stream.show(1, t1=0.0)
    stream.show(2, t2=90.0)
    assert stream.show(3, t3=20.0) == [(3, 1, True)]
    assert stream.show(3, t3=85.0) == [(3, 2, True)]
    stream.show(4, t4=15.0)
    assert stream.show(4, t4=200.0) == [(4, 3, True)]  # like nobody: a new number, none is used twice


def test_a_link_does_not_change_for_evidence_that_is_hardly_better() -> None:
    stream = Stream()
    stream.show(1, t1=0.0)
    stream.show(2, t2=40.0)
    assert stream.show(3, t3=19.0) == [(3, 1, True)]
    assert stream.show(3, t3=21.0) == []


def test_a_track_without_a_good_view_founds_nothing_but_may_join() -> None:
    stream = Stream()
    assert stream.show(1, weight=0.05, t1=0.0) == []
    assert stream.show(2, t2=90.0) == [(2, 1, True)]
    assert stream.show(3, weight=0.05, t3=88.0) == [(3, 1, True)]
    assert stream.characters() == [0, 1, 1]


def test_faces_that_meet_after_they_were_linked_are_parted() -> None:
    """As in a live stream: a face comes back after a few frames, and meanwhile another one had its number."""
    linker = Linker(THRESHOLD, 1000)
    linker.see(0, [1])
    linker.add({1: (towards(0), 1.0)})
    linker.see(1, [2])
    assert told(linker.add({2: (towards(20), 1.0)})) == [(2, 1, True)]
    assert told(linker.see(2, [1, 2])) in ([(1, 2, True)], [(2, 2, True)])
    assert linker.tracks[1].character != linker.tracks[2].character


def test_no_more_tracks_are_linked_than_allowed() -> None:
    stream = Stream(Linker(THRESHOLD, 2))
    stream.show(1, t1=0.0)
    stream.show(2, t2=90.0)
    assert stream.show(3, t3=0.0) == []
    assert sorted(stream.linker.tracks) == [1, 2]


def test_confidence_is_a_half_at_the_threshold_and_one_at_a_cosine_of_one() -> None:
    assert [confidence_of(value, 0.6) for value in (-1.0, 0.0, 0.3, 0.6, 0.8, 1.0)] == [0, 0, 0.25, 0.5, 0.75, 1]


def random_frames(seed: int) -> Iterable[tuple[list[int], dict[int, tuple[EmbeddingArray, float]]]]:
    """Frames of tracks that come, go, hide and meet, with views in any direction."""
    dice = np.random.default_rng(seed)
    on_screen: list[int] = []
    newest = 0
    for _ in range(120):
        on_screen = [track for track in on_screen if dice.random() > 0.1]
        while len(on_screen) < 4 and dice.random() < 0.3:
            newest += 1
            on_screen.append(newest)
        seen = sorted(track for track in on_screen if dice.random() > 0.1)
        views = {
            track: (towards(dice.choice([0, 20, 40, 90])), float(dice.random()))
            for track in seen
            if dice.random() < 0.4
        }
        yield seen, views


@pytest.mark.parametrize("seed", range(12))
def test_no_frame_ever_has_one_character_twice(seed: int) -> None:
    linker = Linker(THRESHOLD, 1000)
    used: set[int] = set()
    for frame, (seen, views) in enumerate(random_frames(seed)):
        links = [*linker.see(frame, seen), *linker.add(views)]
        numbers = [linker.tracks[track].character for track in seen]
        assert len({number for number in numbers if number}) == sum(number > 0 for number in numbers)
        used |= {link.character for link in links}
    assert max(used) < linker.next_number
    assert len(used) > 3


def test_a_restored_linker_goes_on_with_the_same_links() -> None:
    frames = list(random_frames(3))
    whole, first, second = (Linker(THRESHOLD, 1000) for _ in range(3))
    expected = [told([*whole.see(i, seen), *whole.add(views)]) for i, (seen, views) in enumerate(frames)]
    for i, (seen, views) in enumerate(frames[:60]):
        first.see(i, seen)
        first.add(views)
    second.next_number = first.next_number
    second.restore(json.loads(json.dumps(first.state().values())), 2)
    found = [told([*second.see(i, s), *second.add(v)]) for i, (s, v) in enumerate(frames) if i >= 60]
    assert found == expected[60:]
    assert second.state().values() == whole.state().values()


def test_a_damaged_state_is_refused() -> None:
    stream = Stream()
    stream.show(1, t1=0.0)
    stream.show(2, t2=90.0)
    values = json.loads(json.dumps(stream.linker.state().values()))
    for name, odd in (
        ("prototypes", [[1, 7]]),
        ("prototypes", []),
        ("live", [7]),
        ("tracks", values["tracks"][:1] * 2),
    ):
        other = Linker(THRESHOLD, 1000)
        other.next_number = 3
        with pytest.raises(ResumeError):
            other.restore({**values, name: odd}, 2)
    with pytest.raises(ResumeError, match="embeddings of 3 numbers"):
        other.restore(values, 3)
