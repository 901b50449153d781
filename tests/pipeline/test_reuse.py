"""A drawing that is held is looked at once, whatever the batch and the pace, and not at all otherwise."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from acfd_stream.config import DropPolicy, Pace, PaceConfig, VideoConfig
from acfd_stream.errors import ResumeError
from acfd_stream.pipeline.checkpoint import SessionState
from acfd_stream.pipeline.session import TrackSession
from tests.clips import encode
from tests.pipeline.conftest import SIZE, draw
from tests.pipeline.square_finder import SquareFinder

FRAMES = 36
EVERY = VideoConfig(every_frame=True)


@pytest.fixture(scope="module")
def clip_on_threes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The face jumps by six pixels every third frame."""
    drawings = [draw(6 * (index // 3) % 30) for index in range(FRAMES)]
    return encode(tmp_path_factory.mktemp("clips") / "threes.mkv", drawings, SIZE)


@pytest.mark.parametrize("batch", [1, 4, 8])
def test_a_held_drawing_is_looked_at_once(clip_on_threes: Path, batch: int) -> None:
    finder = SquareFinder(batch)
    results = list(TrackSession(clip_on_threes, detector=finder))
    assert [result.reused for result in results] == [index % 3 > 0 for index in range(FRAMES)]
    assert finder.pictures == FRAMES // 3
    assert results == list(TrackSession(clip_on_threes, detector=SquareFinder(4)))


def test_a_live_stream_reuses_the_same_frames(clip_on_threes: Path) -> None:
    pace = PaceConfig(Pace.LIVE, DropPolicy.WAIT)
    live = list(TrackSession(clip_on_threes, detector=SquareFinder(), pace=pace))
    assert [result.reused for result in live] == [index % 3 > 0 for index in range(FRAMES)]


def test_every_frame_can_be_asked_for(clip_on_threes: Path) -> None:
    finder = SquareFinder()
    every = list(TrackSession(clip_on_threes, detector=finder, video_config=EVERY))
    assert finder.pictures == FRAMES
    assert not any(result.reused for result in every)
    for result, own in zip(TrackSession(clip_on_threes, detector=SquareFinder()), every, strict=True):
        assert [face.box_xyxy for face in result.faces] == [pytest.approx(face.box_xyxy, abs=1.5) for face in own.faces]


@pytest.mark.parametrize("count", [1, 4, 5, 17, 30])
def test_a_resumed_session_reuses_what_the_first_one_found(clip_on_threes: Path, count: int) -> None:
    expected = list(TrackSession(clip_on_threes, detector=SquareFinder()))
    with TrackSession(clip_on_threes, detector=SquareFinder()) as first:
        results = list(islice(first, count))
        state = SessionState(json.loads(json.dumps(first.checkpoint().values)))
    finder = SquareFinder()
    results += TrackSession(clip_on_threes, detector=finder, resume=state)
    assert results == expected
    assert finder.pictures <= FRAMES // 3
    with pytest.raises(ResumeError, match="settings every_frame False, and here it is True"):
        TrackSession(clip_on_threes, detector=SquareFinder(), video_config=EVERY, resume=state)
