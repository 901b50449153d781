"""Whatever stands in a checkpoint, a session goes on from it or says ResumeError: damage has no other outcome."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import random
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from acfd_stream.config import ShotConfig, TrackConfig
from acfd_stream.errors import AcfdError, ResumeError
from acfd_stream.outputs.jsonl import JsonlLines
from acfd_stream.outputs.writer import ResultHeader
from acfd_stream.pipeline.checkpoint import SessionState
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.pipeline.stream_tracker import StreamTracker
from acfd_stream.recording.stats import RecordingStats
from acfd_stream.types import FrameResult
from acfd_stream.wire.messages import results_pb
from tests.pipeline.conftest import CUT, SIZE
from tests.pipeline.square_finder import SquareFinder

ODD: list[Any] = [
    *(-1, 0, 1, 7, 2**31, 2**63, -(2**63), 10**30, 10**400),
    *(0.5, 1e308, -1e308, float("nan"), float("inf"), -float("inf")),
    *(None, True, "x", "", "9" * 1000, [], {}, [[]], [0] * 100, {"a": 1}),
]
Path_ = tuple[Any, ...]


@pytest.fixture(scope="module")
def stored_state(clip: Path) -> dict[str, Any]:
    """A checkpoint in a shot, as it comes back from a file."""
    with TrackSession(clip, detector=SquareFinder()) as session:
        list(islice(session, CUT - 4))
        return dict(json.loads(json.dumps(session.checkpoint().values)))


def places(value: Any, above: Path_ = ()) -> Iterator[Path_]:
    """The place of everything inside ``value``; of long lists the first and the last values."""
    if isinstance(value, dict):
        pairs = list(value.items())
    else:
        pairs = list(enumerate(value)) if isinstance(value, list) else []
        pairs = pairs[:3] + pairs[3:][-2:]
    for key, below in pairs:
        yield (*above, key)
        yield from places(below, (*above, key))


def changed(state: dict[str, Any], place: Path_, value: object) -> dict[str, Any]:
    state = copy.deepcopy(state)
    inner = state
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return state


def without(state: dict[str, Any], place: Path_) -> dict[str, Any]:
    state = copy.deepcopy(state)
    inner = state
    for key in place[:-1]:
        inner = inner[key]
    del inner[place[-1]]
    return state


def resumed(clip: Path, state: dict[str, Any]) -> list[FrameResult]:
    """The remaining results, which must fit into messages."""
    with TrackSession(clip, detector=SquareFinder(), resume=SessionState(state)) as session:
        results = list(session)
    results_pb(results)
    return results


def restores(state: dict[str, Any]) -> bool:
    """Whether the state is taken; a refusal is a ResumeError or names other settings."""
    try:
        SessionState(state)
        StreamTracker(TrackConfig(), ShotConfig()).restore(state["stream"])
    except AcfdError:
        return False
    return True


def test_an_odd_value_anywhere_is_refused_or_harmless(clip: Path, stored_state: dict[str, Any]) -> None:
    dice, taken = random.Random(4), []
    tried = [(place, odd) for place in places(stored_state) for odd in ODD]
    for place, odd in dice.sample(tried, 1500):
        state = changed(stored_state, place, odd)
        if restores(state):
            taken.append(state)
    assert len(taken) < 400  # most odd values are refused at once
    for state in dice.sample(taken, 12):
        with contextlib.suppress(ResumeError):
            assert len(resumed(clip, state)) < 100


def test_a_missing_value_anywhere_is_refused_or_harmless(stored_state: dict[str, Any]) -> None:
    named = [place for place in places(stored_state) if isinstance(place[-1], str)]
    found = [place for place in named if not restores(without(stored_state, place))]
    assert ("stream", "tracker", "motion", "value") in found
    assert ("stream", "shots", "numbers") in found
    assert ("handed_out",) in found


def test_the_untouched_state_is_taken(clip: Path, stored_state: dict[str, Any]) -> None:
    with TrackSession(clip, detector=SquareFinder()) as session:
        whole = list(session)
    assert whole[: CUT - 4] + resumed(clip, stored_state) == whole


def test_a_picture_in_the_state_is_inflated_no_further_than_its_size(stored_state: dict[str, Any]) -> None:
    deflater = zlib.compressobj(9)
    bomb = b"".join(deflater.compress(bytes(2**20)) for _ in range(64)) + deflater.flush()
    place = ("stream", "held", "drawing", "means", 0)
    for odd in (
        [stored_state["stream"]["held"]["drawing"]["means"][0][0], base64.b64encode(bomb).decode()],
        [[2**15, 2**15], base64.b64encode(bomb).decode()],
    ):
        with pytest.raises(ResumeError, match=r"held\.means"):
            StreamTracker(TrackConfig(), ShotConfig()).restore(changed(stored_state, place, odd)["stream"])


def test_a_gap_before_the_frames_that_are_open_is_not_filled(stored_state: dict[str, Any]) -> None:
    """Else the tracker would fill frame after frame from there, for ever."""
    state = changed(stored_state, ("stream", "tracker", "tracks", 0, 1, 1), -(2**62))
    with pytest.raises(ResumeError, match="last frame of a track"):
        StreamTracker(TrackConfig(), ShotConfig()).restore(state["stream"])


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", ["frames", "first_pts", "last_pts"])
def test_the_state_of_lines_is_checked(name: str, odd: Any) -> None:
    header = ResultHeader("x", SIZE, None, {}, {}, None)  # type: ignore[arg-type]
    state = {"frames": 3, "first_pts": 0, "last_pts": 2, name: odd}
    is_whole = isinstance(odd, int) and not isinstance(odd, bool)
    is_fine = (is_whole and abs(odd) <= 2**31 and (odd >= 0 or name != "frames")) or (
        odd is None and name == "first_pts"
    )
    if is_fine:
        assert JsonlLines(header, state).state() == state
    else:
        with pytest.raises(ResumeError, match=f"lines.{name}"):
            JsonlLines(header, state)


@pytest.mark.parametrize("odd", [odd for odd in ODD if odd not in (0, 1, 7, 2**31)])
def test_the_statistics_of_a_recording_are_checked(odd: Any) -> None:
    for name in ("frames", "worked_frames"):
        with pytest.raises(ResumeError):
            RecordingStats.from_values({**RecordingStats().values(), name: odd})
    if odd != {}:  # then all of them have their defaults
        with pytest.raises(ResumeError):
            RecordingStats.from_values(odd)
