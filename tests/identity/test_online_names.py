"""Names while a video is read, checked by hand: members are axes, and views are directions between them."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from acfd_stream.errors import ResumeError
from acfd_stream.identity.cast.matching import CastMatcher, Prototype
from acfd_stream.identity.cast.online import LEAST_WEIGHT, OnlineNames
from acfd_stream.identity.linked_track import LinkedTrack
from acfd_stream.identity.views import EmbeddingArray
from tests.identity.test_cast_matching import row

MATCHER = CastMatcher([Prototype(10, "Ada", row(1, 0)), Prototype(20, "Bob", row(0, 1))], 0.5, margin=0.1)


def look(ada: float, bob: float) -> EmbeddingArray:
    """A view that is so similar to Ada and Bob."""
    return row(ada, bob)[0].astype(np.float16)


class Stream:
    """Tracks with views and links by hand, and the names that they get."""

    def __init__(self) -> None:
        self.names = OnlineNames(MATCHER)
        self.tracks: dict[int, LinkedTrack] = {}

    def view(self, track: int, character: int, ada: float, bob: float, weight: float = 1.0) -> None:
        self.tracks[track] = LinkedTrack(track, 0, 0, character=character, weight=weight, vector=look(ada, bob))

    def show(self, *changed: int) -> dict[int, str]:
        """The characters that are called otherwise after a frame in which these tracks are."""
        present = {self.tracks[track].character for track in changed} - {0}
        return {number: self.names.name_of(number) for number in self.names.update(self.tracks, changed, present)}


@pytest.fixture
def stream() -> Stream:
    return Stream()


def test_a_character_with_few_views_has_no_name_yet(stream: Stream) -> None:
    stream.view(1, 1, 0.9, 0, weight=LEAST_WEIGHT - 0.01)
    assert stream.show(1) == {}
    stream.view(1, 1, 0.9, 0, weight=LEAST_WEIGHT)
    assert stream.show(1) == {1: "Ada"}
    assert stream.show(1) == {}  # it is told once
    stream.view(2, 1, 0, 0, weight=0.1)  # all tracks of a character count together
    assert stream.show(2) == {}


def test_a_name_changes_and_is_taken_back(stream: Stream) -> None:
    stream.view(1, 1, 0.9, 0)
    assert stream.show(1) == {1: "Ada"}
    stream.view(1, 1, 0.6, 0.55)
    assert stream.show(1) == {1: ""}  # it could be both
    stream.view(1, 1, 0.2, 0.9)
    assert stream.show(1) == {1: "Bob"}


def test_a_link_that_changes_takes_its_views_along(stream: Stream) -> None:
    stream.view(1, 1, 0.9, 0)
    stream.view(2, 1, 0.9, 0)
    assert stream.show(1, 2) == {1: "Ada"}
    stream.view(1, 2, 0.9, 0)
    assert stream.show(1) == {2: "Ada"}  # they are in no frame together
    assert stream.names.newest_track(1) == 2
    stream.view(2, 0, 0.9, 0)
    assert stream.show(2) == {1: ""}
    assert stream.names.newest_track(1) == 0


def test_a_character_that_loses_its_views_loses_its_name_to_who_gets_them(stream: Stream) -> None:
    stream.view(1, 1, 0.9, 0)
    stream.view(2, 2, 0.1, 0.9)
    assert stream.show(1, 2) == {1: "Ada", 2: "Bob"}
    stream.view(1, 2, 0.9, 0)
    stream.view(2, 1, 0.1, 0.9)
    assert stream.show(1, 2) == {1: "Bob", 2: "Ada"}
    stream.view(1, 1, 0.9, 0, weight=0.0)
    stream.view(2, 2, 0.1, 0.9)
    assert stream.show(1, 2) == {1: "", 2: "Bob"}


def test_in_one_frame_the_more_similar_one_is_the_member(stream: Stream) -> None:
    stream.view(1, 1, 0.8, 0)
    assert stream.show(1) == {1: "Ada"}
    stream.view(2, 2, 0.9, 0)
    assert stream.show(2) == {2: "Ada"}
    assert stream.show(1, 2) == {1: ""}
    stream.view(3, 3, 0.9, 0)  # equally similar: the one that was there first
    assert stream.show(2, 3) == {}
    stream.view(4, 4, 0.7, 0.65)  # it can only be Bob beside somebody who is Ada
    assert stream.show(2, 4) == {4: "Bob"}


def test_a_state_is_restored_with_what_was_told(stream: Stream) -> None:
    stream.view(1, 1, 0.8, 0)
    stream.view(2, 2, 0.9, 0)
    stream.show(1, 2)
    again = Stream()
    again.tracks = stream.tracks
    again.names.restore(json.loads(json.dumps(stream.names.state())), again.tracks)
    assert [again.names.name_of(number) for number in (1, 2)] == ["", "Ada"]
    assert again.show(1, 2) == stream.show(1, 2) == {}
    assert again.names.state() == stream.names.state()


@pytest.mark.parametrize("odd", [7, [7], [[1, 10]], [[0, 10, ""]], [[1, -1, ""]], [[1, 10, 5]], [[1, 10, "x" * 999]]])
def test_a_damaged_state_is_refused(odd: object) -> None:
    with pytest.raises(ResumeError, match="checkpoint is damaged"):
        OnlineNames(MATCHER).restore(odd, {})


def test_a_cast_of_nobody_gives_no_names() -> None:
    stream = Stream()
    stream.names = OnlineNames(CastMatcher([], 0.5))
    stream.view(1, 1, 0.9, 0)
    assert stream.show(1) == {}


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_no_two_of_a_frame_share_a_name_and_a_state_goes_on(seed: int) -> None:
    dice, stream, again = random.Random(seed), Stream(), Stream()
    again.tracks, before = stream.tracks, dict(stream.tracks)
    for frame in range(60):
        shown = dice.sample(range(1, 9), dice.randint(1, 4))
        numbers = dice.sample(range(6), len(shown))
        for track, number in zip(shown, numbers, strict=True):
            stream.view(track, number, dice.random() * 0.7, dice.random() * 0.7, dice.choice((0.0, 0.2, 1.0)))
        if frame % 20 == 10:
            again.names = OnlineNames(MATCHER)
            again.names.restore(json.loads(json.dumps(stream.names.state())), before)
        changed = stream.show(*shown)
        if frame >= 10:
            assert again.show(*shown) == changed
            assert again.names.state() == stream.names.state()
        before = dict(stream.tracks)
        named = [stream.names.name_of(number) for number in numbers if number]
        assert len(set(filter(None, named))) == len(list(filter(None, named)))
