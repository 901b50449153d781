"""Live streams: results at once, verdicts on their age, frames left out by policy."""

from __future__ import annotations

import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice, pairwise
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest

from acfd_stream.config import DropPolicy, Pace, PaceConfig, TrackConfig
from acfd_stream.outputs.jsonl import json_line
from acfd_stream.pipeline import session as module
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.pipeline.stage_times import STAGES
from acfd_stream.types import DropReason, FaceState, FrameResult, Outcome, Picture
from acfd_stream.video import ByteStream, FrameFeed
from acfd_stream.video.frame import Frame
from tests.pipeline.conftest import CUT, FRAMES, SIZE, draw
from tests.pipeline.square_finder import SquareFinder
from tests.pipeline.test_session import DrawnVideo, own_threads

TICK = Fraction(1, 24)
PATIENT = PaceConfig(Pace.LIVE, DropPolicy.WAIT, objective_seconds=1000.0, stale_seconds=1000.0)


class Drawn(DrawnVideo):
    """Drawn frames; those behind the first wait for ``goes_on``, and ``exhausted`` is set behind the last."""

    def __init__(self) -> None:
        super().__init__()
        self.exhausted, self.goes_on = threading.Event(), threading.Event()
        self.goes_on.set()

    def __iter__(self) -> Iterator[Frame]:
        frames = super().__iter__()
        yield next(frames)
        assert self.goes_on.wait(30)
        yield from frames
        self.exhausted.set()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    video = Drawn()
    monkeypatch.setattr(module, "open_video", lambda *_: video)
    return video


def fed(*pictures: Any) -> FrameFeed:
    feed = FrameFeed(TICK)
    for index, picture in enumerate(pictures):
        feed.push(picture, index)
    feed.close()
    return feed


def live_pieces(frames: int) -> list[bytes]:
    """A live encoder's fragmented MP4: what opens it and its first frame, then a piece a frame."""
    file, rng = io.BytesIO(), np.random.default_rng(1)
    options = {"movflags": "frag_every_frame+empty_moov+default_base_moof", "flush_packets": "1"}
    with av.open(file, "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=24, options={"tune": "zerolatency", "qp": "10"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for index in range(frames):
            noise = rng.integers(0, 40, (*SIZE, 3), np.uint8)  # FFmpeg looks at some kilobytes before it opens
            frame = av.VideoFrame.from_ndarray(np.maximum(draw(index), noise), format="rgb24")
            frame.pts, frame.time_base = index, TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = file.getvalue()
    begins = [found.start() - 4 for found in re.finditer(b"moof", data)]  # behind the length of its box
    return [data[a:b] for a, b in pairwise([0, *begins[1:], len(data)])]


def test_a_result_needs_no_later_frame() -> None:
    feed = FrameFeed(TICK)
    feed.push(draw(0), 0)
    with TrackSession(feed, detector=SquareFinder(), pace=PATIENT) as session:
        results = iter(session)
        found = [next(results)]
        for index in range(1, FRAMES):
            feed.push(draw(index), index)
            found.append(next(results))
        feed.close()
        assert list(results) == []
        assert session.is_complete
    assert [result.index for result in found] == list(range(FRAMES))
    assert [result.shot for result in found] == [0] * CUT + [1] * (FRAMES - CUT)
    assert [len(result.faces) for result in found] == [0] * 3 + [1] * (CUT - 3) + [0] * 3 + [1] * (FRAMES - CUT - 3)
    assert own_threads() == []


def test_an_encoded_frame_is_answered_before_the_next_one_is_sent() -> None:
    stream = ByteStream()
    pieces = live_pieces(30)
    assert len(pieces) == 30
    stream.feed(pieces[0])
    with TrackSession(stream, detector=SquareFinder(), pace=PATIENT) as session:
        results = iter(session)
        assert next(results).index == 0
        for index in range(1, 30):
            stream.feed(pieces[index])
            result = next(results)
            assert result.index == index
            assert result.verdict.latency_seconds is not None
        stream.close()
        assert list(results) == []


@pytest.mark.parametrize(("objective", "outcome"), [(1000.0, Outcome.OK), (1e-9, Outcome.LATE)])
def test_a_result_is_judged_by_its_age(objective: float, outcome: Outcome) -> None:
    pace = PaceConfig(Pace.LIVE, DropPolicy.WAIT, objective_seconds=objective)
    results = list(TrackSession(fed(*map(draw, range(5))), detector=SquareFinder(), pace=pace))
    for result in results:
        verdict = result.verdict
        assert verdict.outcome is outcome
        assert verdict.latency_seconds is not None
        assert verdict.latency_seconds >= max(result.timings.values())
        assert (verdict.cause in STAGES) == (outcome is Outcome.LATE)


def test_a_file_is_never_late() -> None:
    results = list(TrackSession(fed(*map(draw, range(5))), detector=SquareFinder()))
    assert {result.verdict.outcome for result in results} == {Outcome.OK}
    assert all(result.verdict.latency_seconds for result in results)


def dropping(video: Drawn, policy: DropPolicy, **settings: Any) -> list[FrameResult]:
    """Results of a session whose first frame stays with the network until all others have come."""
    engine = SquareFinder(before=lambda: video.exhausted.wait(30))
    pace = PaceConfig(Pace.LIVE, policy, queue_frames=5, objective_seconds=1000.0)
    results = list(TrackSession("drawn", detector=engine, pace=pace, **settings))
    assert [result.index for result in results] == list(range(FRAMES))
    return results


@pytest.mark.parametrize("policy", [DropPolicy.DROP_OLDEST, DropPolicy.DROP_LATEST])
def test_dropped_frames_come_out_in_order_with_their_reason(drawn: Drawn, policy: DropPolicy) -> None:
    results = dropping(drawn, policy)
    dropped = [result for result in results if result.verdict.outcome is Outcome.DROPPED]
    assert {result.verdict.drop_reason for result in dropped} == {DropReason.QUEUE_FULL}
    assert FRAMES - 6 <= len(dropped) <= FRAMES - 5  # the first frame may have been taken before it was pressed out
    assert (results[-1].verdict.outcome is Outcome.OK) == (policy is DropPolicy.DROP_OLDEST)
    assert all(result.faces == () for result in dropped)


def test_nothing_is_dropped_from_what_waits(drawn: Drawn) -> None:
    pace = PaceConfig(Pace.LIVE, DropPolicy.WAIT, queue_frames=1, stale_seconds=1e-9)
    results = list(TrackSession("drawn", detector=SquareFinder(), pace=pace))
    assert [result.index for result in results] == list(range(FRAMES))
    assert {result.verdict.drop_reason for result in results} == {None}


def test_a_client_that_does_not_read_is_named(drawn: Drawn) -> None:
    pace = PaceConfig(Pace.LIVE, DropPolicy.DROP_LATEST, queue_frames=1)
    results = iter(TrackSession("drawn", detector=SquareFinder(), pace=pace))
    drawn.goes_on.clear()
    next(results)
    drawn.goes_on.set()  # the others come while the first result is looked at
    assert drawn.exhausted.wait(30)
    reasons = [result.verdict.drop_reason for result in results]
    assert DropReason.CLIENT_SLOW in reasons
    assert reasons[-1] is DropReason.CLIENT_SLOW


def test_gaps_over_dropped_frames_are_filled_where_that_is_wanted() -> None:
    pictures: list[Any] = [draw(index) for index in range(20)]
    pictures[10:13] = [b"no picture"] * 3
    session = TrackSession(fed(*pictures), detector=SquareFinder(), pace=PATIENT, track_config=TrackConfig())
    results = list(session)
    assert [result.verdict.outcome for result in results[9:14]] == [Outcome.OK, *[Outcome.FAILED] * 3, Outcome.OK]
    assert all(result.verdict.failure for result in results[10:13])
    assert [result.faces[0].state for result in results[10:13]] == [FaceState.FILLED] * 3
    assert {result.faces[0].track_id for result in results} == {1}


@pytest.mark.parametrize("pace", [PATIENT, None])
def test_encoded_pictures_give_what_arrays_give(pace: PaceConfig | None) -> None:
    pictures = [draw(index) for index in range(40)]
    pngs = [cv2.imencode(".png", picture[..., ::-1])[1].tobytes() for picture in pictures]
    expected = list(TrackSession(fed(*pictures), detector=SquareFinder(), pace=pace))
    assert list(TrackSession(fed(*pngs), detector=SquareFinder(), pace=pace)) == expected
    assert expected[-1].faces


def test_a_feed_goes_on_from_a_checkpoint() -> None:
    expected = list(TrackSession(fed(*map(draw, range(FRAMES))), detector=SquareFinder()))
    session = TrackSession(fed(*map(draw, range(FRAMES))), detector=SquareFinder())
    first = list(islice(session, 33))
    session.close()
    state = session.checkpoint()
    feed = FrameFeed(TICK)
    for index in range(state.next_index, FRAMES):
        feed.push(draw(index), index)
    feed.close()
    assert first[: state.next_result] + list(TrackSession(feed, detector=SquareFinder(), resume=state)) == expected


@pytest.mark.parametrize("pace", [PATIENT, None])
def test_how_long_a_reader_takes_is_in_the_ledger(pace: PaceConfig | None) -> None:
    session = TrackSession(fed(*map(draw, range(9))), detector=SquareFinder(), pace=pace)
    for result in session:
        time.sleep(0.05 * (result.index == 4))
    sent = session.stage_times.summary()["send"]
    assert sent.count == 9
    assert sent.longest_seconds >= 0.05


def test_when_bytes_came_is_known_by_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    now: Callable[[], float] = iter([1.0, 2.0, 3.0]).__next__
    stream = ByteStream()
    monkeypatch.setattr("acfd_stream.video.bytestream.time", SimpleNamespace(perf_counter=now))
    for size in (100, 50, 10):
        stream.feed(bytes(size))
    assert [stream.fed_at(offset) for offset in (1, 100, 101, 150, 160, 161)] == [1.0, 1.0, 2.0, 2.0, 3.0, None]


def test_a_frame_of_rgb_has_pixels_in_a_session_with_frames() -> None:
    pairs = list(TrackSession(fed(draw(0), b"junk", draw(2)), detector=SquareFinder(), pace=PATIENT).with_frames())
    assert [frame.index for frame, _ in pairs] == [0, 2]
    assert all(isinstance(frame.picture, Picture) and np.any(frame.picture.planes[0]) for frame, _ in pairs)
    assert json_line({"index": pairs[0][1].index})
