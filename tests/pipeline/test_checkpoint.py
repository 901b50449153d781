"""A session that goes on from a checkpoint gives the bytes that an unbroken one gives."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acfd_stream.config import DetectConfig, ShotConfig, TrackConfig, VideoConfig
from acfd_stream.errors import ConfigError, ResumeError
from acfd_stream.outputs import ResultEnd, ResultHeader, open_writer
from acfd_stream.pipeline.checkpoint import SessionState
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.types import FrameResult
from acfd_stream.video import ByteStream
from acfd_stream.video import source as video_module
from tests.pipeline.conftest import CUT, FRAMES, SIZE, draw, write_clip
from tests.pipeline.square_finder import SquareFinder

GAP = range(40, 44)
POINTS = [0, 1, 8, 25, CUT - 1, CUT, CUT + 1, 36, GAP[0], GAP[2], 50, FRAMES - 9, FRAMES - 1, FRAMES]
"""Results handed out before the break: in a shot, at the cut and next to it, around a gap, while the end is flushed."""


@pytest.fixture(scope="module")
def gappy_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn clip, its face hidden for some frames of the second shot."""

    def hidden(index: int) -> np.ndarray:
        return np.minimum(draw(index), 40) if index in GAP else draw(index)

    return write_clip(tmp_path_factory.mktemp("clips") / "gappy.mkv", hidden)


def lines(results: list[FrameResult], session: TrackSession) -> list[bytes]:
    """The results as lines, with those before the first frame and behind the last."""
    file = io.BytesIO()
    writer = open_writer(
        file, "jsonl", ResultHeader("x", SIZE, session.info.time_base, {}, {}, session.info.frame_rate)
    )
    for result in results:
        writer.write(result)
    writer.close(ResultEnd(session.tracks, session.is_complete, session.error, tuple(session.warnings)))
    return file.getvalue().splitlines()


def broken_off(session: TrackSession, count: int) -> tuple[list[FrameResult], SessionState]:
    """The first results, and the checkpoint behind them as it comes back from a file."""
    with session:
        results = list(islice(session, count))
        return results, SessionState(json.loads(json.dumps(session.checkpoint().values)))


def fed(path: Path) -> ByteStream:
    stream = ByteStream()
    stream.feed(path.read_bytes())
    stream.close()
    return stream


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False


class Breaking(Unseekable):
    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data:
            raise OSError("gone")
        return data


SOURCES: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: path,
    "file": lambda path: io.BytesIO(path.read_bytes()),
    "bytes": fed,
    "pipe": lambda path: Unseekable(path.read_bytes()),
}


@pytest.mark.parametrize("batch", [1, 4, 8])
def test_a_resumed_session_gives_the_same_bytes(gappy_clip: Path, batch: int) -> None:
    whole = TrackSession(gappy_clip, detector=SquareFinder())
    expected = lines(list(whole), whole)
    assert b'"filled"' in b"".join(expected)
    for place, count in enumerate(POINTS):
        first, state = broken_off(TrackSession(gappy_clip, detector=SquareFinder(batch)), count)
        assert (state.next_result, len(first)) == (count, count)
        rest = TrackSession(gappy_clip, detector=SquareFinder((1, 4, 8)[place % 3]), resume=state)
        assert lines(first + list(rest), rest) == expected


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_source_goes_on(gappy_clip: Path, kind: str) -> None:
    whole = TrackSession(gappy_clip, detector=SquareFinder())
    expected = lines(list(whole), whole)
    first, state = broken_off(TrackSession(SOURCES[kind](gappy_clip), detector=SquareFinder()), 33)
    rest = TrackSession(SOURCES[kind](gappy_clip), detector=SquareFinder(), resume=state)
    assert lines(first + list(rest), rest) == expected


def test_a_chain_of_breaks_changes_nothing(gappy_clip: Path) -> None:
    whole = TrackSession(gappy_clip, detector=SquareFinder())
    expected = lines(list(whole), whole)
    results: list[FrameResult] = []
    state: SessionState | None = None
    while len(results) < FRAMES:
        session = TrackSession(gappy_clip, detector=SquareFinder(), resume=state)
        some, state = broken_off(session, 7)
        results += some
    last = TrackSession(gappy_clip, detector=SquareFinder(), resume=state)
    assert list(last) == []
    assert lines(results, last) == expected


def test_a_seekable_source_is_not_read_from_its_beginning(gappy_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, state = broken_off(TrackSession(gappy_clip, detector=SquareFinder(1)), 40)
    pictures: list[int] = []
    convert = video_module.to_picture
    monkeypatch.setattr(video_module, "to_picture", lambda *given: pictures.append(1) or convert(*given))
    list(TrackSession(gappy_clip, detector=SquareFinder(1), resume=state))
    assert len(pictures) == FRAMES - state.next_index + 2  # the first one, and the last that had been seen


@pytest.mark.parametrize("start", [None, 0.5])
def test_the_asked_range_is_kept(gappy_clip: Path, start: float | None) -> None:
    config = VideoConfig(start_seconds=start, end_seconds=2.2)
    whole = TrackSession(gappy_clip, detector=SquareFinder(), video_config=config)
    expected = lines(list(whole), whole)
    for count in (3, 30):
        first, state = broken_off(TrackSession(gappy_clip, detector=SquareFinder(), video_config=config), count)
        rest = TrackSession(gappy_clip, detector=SquareFinder(), video_config=config, resume=state)
        assert lines(first + list(rest), rest) == expected


def test_a_stopped_session_goes_on(gappy_clip: Path) -> None:
    expected = list(TrackSession(gappy_clip, detector=SquareFinder()))
    session = TrackSession(gappy_clip, detector=SquareFinder())
    first = []
    for result in session:
        first.append(result)
        if len(first) == 31:
            session.stop()
    assert not session.is_complete
    rest = TrackSession(gappy_clip, detector=SquareFinder(), resume=session.checkpoint())
    assert first + list(rest) == expected
    assert rest.is_complete


def changed(state: SessionState, **fields: Any) -> SessionState:
    return SessionState({**json.loads(json.dumps(state.values)), **fields})


def test_what_does_not_fit_is_refused(gappy_clip: Path, tmp_path: Path) -> None:
    _, state = broken_off(TrackSession(gappy_clip, detector=SquareFinder()), 20)
    with pytest.raises(ResumeError, match=r"settings track\.max_gap_frames 12, and here it is 3"):
        TrackSession(gappy_clip, detector=SquareFinder(), track_config=TrackConfig(max_gap_frames=3), resume=state)
    with pytest.raises(ResumeError, match=r"settings shot\.lookahead_frames 5"):
        TrackSession(gappy_clip, detector=SquareFinder(), shot_config=ShotConfig(lookahead_frames=0), resume=state)
    other = SquareFinder()
    other.config = DetectConfig(size=64)
    with pytest.raises(ResumeError, match=r"settings detect\.size 128, and here it is 64"):
        TrackSession(gappy_clip, detector=other, resume=state)
    with pytest.raises(ResumeError, match="model version"):
        TrackSession(
            gappy_clip, detector=SquareFinder(), resume=changed(state, model={**state.values["model"], "version": "0"})
        )
    with pytest.raises(ResumeError, match="media time_base"):  # of an MP4
        TrackSession(write_clip(tmp_path / "clip.mp4"), detector=SquareFinder(), resume=state)
    with pytest.raises(ResumeError, match="damaged"):
        TrackSession(gappy_clip, detector=SquareFinder(), resume=changed(state, stream={"next_index": 3}))
    with pytest.raises(ResumeError, match="format 2, got 9"):
        changed(state, format=9)


@pytest.mark.parametrize("kind", ["path", "bytes"])
def test_another_video_is_refused(gappy_clip: Path, tmp_path: Path, kind: str) -> None:
    _, state = broken_off(TrackSession(gappy_clip, detector=SquareFinder()), 20)
    mirrored = write_clip(tmp_path / "other.mkv", lambda index: draw(FRAMES - 1 - index))
    with pytest.raises(ResumeError, match="is not the picture of the checkpoint"):
        list(TrackSession(SOURCES[kind](mirrored), detector=SquareFinder(), resume=state))


def test_a_source_that_breaks_before_the_place_keeps_it(gappy_clip: Path) -> None:
    _, state = broken_off(TrackSession(gappy_clip, detector=SquareFinder()), 50)
    data = gappy_clip.read_bytes()
    session = TrackSession(Breaking(data[: len(data) // 2]), detector=SquareFinder(), resume=state)
    assert list(session) == []
    assert session.error is not None
    assert not session.is_complete
    assert json.loads(json.dumps(session.checkpoint().values)) == state.values


def test_pictures_are_not_promised_after_a_resume(gappy_clip: Path) -> None:
    _, state = broken_off(TrackSession(gappy_clip, detector=SquareFinder()), 20)
    with TrackSession(gappy_clip, detector=SquareFinder(), resume=state) as session, pytest.raises(ConfigError):
        session.with_frames()
