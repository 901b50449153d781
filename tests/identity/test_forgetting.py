"""A checkpoint without the tracks that have ended."""

from __future__ import annotations

import json

import numpy as np
import pytest

from acfd_stream.errors import ResumeError
from acfd_stream.identity.forgetting import without_ended_tracks
from acfd_stream.identity.linking import Linker

NORTH, EAST, SOUTH = (np.array(values, np.float16) for values in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))


def linker() -> Linker:
    """Tracks 1 and 2 have ended, of characters 1 and 2; 3, of character 1, and 4, without views, are on screen."""
    made = Linker(0.5, 100)
    for track, vector in ((1, NORTH), (2, EAST), (3, NORTH)):
        made.see(10 * track, [track])
        made.add({track: (vector, 1.0)})
        made.end([track] if track < 3 else [])
    made.see(31, [3, 4])
    assert [each.character for each in made.tracks.values()] == [1, 2, 1, 0]
    return made


def test_tracks_on_screen_stay_with_their_numbers_and_no_number_comes_twice() -> None:
    smaller = Linker(0.5, 100)
    smaller.restore(json.loads(json.dumps(without_ended_tracks(linker().state().values()))))
    assert {track: each.character for track, each in smaller.tracks.items()} == {3: 1, 4: 0}
    smaller.end([3, 4])
    for track, vector in ((5, NORTH), (6, EAST), (7, SOUTH)):
        smaller.see(10 * track, [track])
        smaller.add({track: (vector, 1.0)})
        smaller.end([track])
    assert [smaller.tracks[track].character for track in (5, 6, 7)] == [1, 3, 4]


def test_what_is_no_state_is_refused() -> None:
    with pytest.raises(ResumeError, match="linker"):
        without_ended_tracks({"tracks": []})
