"""A shot ends at a seam, and a drawing is not held over one."""

from __future__ import annotations

from pathlib import Path

import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.types import Seam
from tests.clips import encode
from tests.pipeline.conftest import SIZE, draw
from tests.pipeline.square_finder import SquareFinder

FRAMES = 12


@pytest.fixture(scope="module", params=["ts", "mkv"])
def joined_stills(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twice the recording of one drawing that does not move."""
    folder = tmp_path_factory.mktemp("stills")
    data = encode(folder / f"still.{request.param}", [draw(10)] * FRAMES, SIZE).read_bytes()
    path = folder / f"joined.{request.param}"
    path.write_bytes(data + data)
    return path


@pytest.mark.parametrize("every_frame", [False, True])
def test_a_shot_and_its_tracks_end_at_a_seam(joined_stills: Path, every_frame: bool) -> None:
    finder = SquareFinder()
    config = VideoConfig(every_frame=every_frame)
    results = list(TrackSession(joined_stills, detector=finder, video_config=config))
    assert [result.shot for result in results] == [0] * FRAMES + [1] * FRAMES
    assert Seam.CLOCK in results[FRAMES].seams
    halves = results[:FRAMES], results[FRAMES:]
    before, behind = ({face.track_id for result in half for face in result.faces} for half in halves)
    assert before
    assert behind
    assert not before & behind
    if not every_frame:
        assert finder.pictures == 2
        assert not results[FRAMES].reused
