"""``Tracker`` gives a loop of one's own the results that ``track_video`` gives for the same frames."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from acfd_stream.config import DetectConfig, DropPolicy, Pace, PaceConfig, TrackConfig
from acfd_stream.detect import Detector
from acfd_stream.errors import ConfigError, MediaError, ShapeError
from acfd_stream.pipeline.track_video import track_video
from acfd_stream.pipeline.tracker import TIME_BASE, Tracker
from acfd_stream.types import FaceState, FrameResult, Seam
from acfd_stream.video import FrameFeed, open_video
from acfd_stream.video.frame import Frame
from tests.clips import drawing, encode
from tests.pipeline.conftest import CUT, SIZE, face_box

FRAMES = 60
HIDDEN = (14, 15, 16)  # frames without the face, which become a filled gap
TICKS = 40_000  # microseconds from frame to frame


def drawn(index: int) -> np.ndarray:
    """uint8 [96, 128, 3]: a face on twos that is hidden for a while, and a cut."""
    if index in HIDDEN:
        return drawing(SIZE, (999, 999), is_behind_cut=False)
    return drawing(SIZE, face_box(index // 2 * 2)[:2], is_behind_cut=index >= CUT)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clips") / "clip.mkv", map(drawn, range(FRAMES)), SIZE)


@pytest.fixture(scope="module")
def frames(clip: Path) -> list[Frame]:
    with open_video(clip) as video:
        return list(video)


def fed(images: list[np.ndarray]) -> FrameFeed:
    feed = FrameFeed(TIME_BASE)
    for index, image in enumerate(images):
        feed.push(image, index * TICKS)
    feed.close()
    return feed


def pushed(tracker: Tracker, images: list[np.ndarray]) -> Iterator[FrameResult]:
    for index, image in enumerate(images):
        yield from tracker.push(image, seconds=index * TICKS / 1e6)
    yield from tracker.flush()


def plain(result: FrameResult) -> tuple[object, ...]:
    """All of a result but its times."""
    return result.index, result.faces, result.shot, result.reused, result.is_truncated, result.seams


def test_frames_of_a_video_have_the_results_of_track_video(clip: Path, frames: list[Frame], detector: Detector) -> None:
    expected = list(track_video(clip, detector=detector))
    with Tracker(detector=detector) as tracker:
        found = [r for frame in frames for r in tracker.push(frame.picture, seconds=frame.pts_seconds)]
        assert len(found) < FRAMES  # the last ones wait for what follows
        found += tracker.flush()
        assert tracker.flush() == []
    assert [plain(result) for result in found] == [plain(result) for result in expected]
    assert [r.pts_seconds for r in found] == pytest.approx([r.pts_seconds for r in expected], abs=1e-6)
    # It is worth comparing: cuts, filled gaps and repeated drawings are in it.
    assert {result.shot for result in found} == {0, 1}
    assert any(face.state is FaceState.FILLED for result in found for face in result.faces)
    assert any(result.reused for result in found)


@pytest.mark.parametrize("is_live", [False, True])
def test_arrays_have_the_results_of_a_feed(frames: list[Frame], detector: Detector, is_live: bool) -> None:
    images = [frame.to_rgb() for frame in frames]
    pace = PaceConfig(pace=Pace.LIVE, policy=DropPolicy.WAIT) if is_live else PaceConfig()
    expected = list(track_video(fed(images), detector=detector, pace=pace))
    assert list(pushed(Tracker(detector=detector, is_live=is_live), images)) == expected


def test_a_live_push_returns_the_result_of_its_frame(frames: list[Frame], detector: Detector) -> None:
    tracker, ids = Tracker(detector=detector, is_live=True), set()
    for frame in frames:
        (result,) = tracker.push(frame.picture, seconds=frame.pts_seconds)
        assert result.index == frame.index
        ids |= {face.track_id for face in result.faces}
    assert tracker.flush() == []
    assert ids == set(range(1, tracker.tracks + 1))


def test_results_come_no_later_than_said(frames: list[Frame], detector: Detector) -> None:
    track_config = TrackConfig(max_gap_frames=6)
    tracker = Tracker(detector=detector, track_config=track_config)
    done, delay = 0, track_config.delay_frames + tracker.shot_config.lookahead_frames
    for frame in frames:
        done += len(tracker.push(frame.picture, seconds=frame.pts_seconds))
        assert frame.index - done < delay


def test_what_was_pushed_may_be_changed_and_no_thread_is_started(frames: list[Frame], detector: Detector) -> None:
    images = [frame.to_rgb() for frame in frames]
    before = set(threading.enumerate())
    expected, tracker, found = list(pushed(Tracker(detector=detector), images)), Tracker(detector=detector), []
    buffer = np.zeros_like(images[0])
    for index, image in enumerate(images):
        buffer[:] = image
        found += tracker.push(buffer, seconds=index * TICKS / 1e6)
        buffer[:] = 0
    assert found + tracker.flush() == expected
    assert {thread for thread in threading.enumerate() if thread.name.startswith("acfd-")} <= before


def test_another_size_is_a_seam_as_in_a_feed(detector: Detector) -> None:
    images = [drawn(0), drawn(1), drawn(2)[:80], drawn(3)[:80]]
    found = list(pushed(Tracker(detector=detector), images))
    assert found == list(track_video(fed(images), detector=detector))
    assert [result.seams for result in found] == [(), (), (Seam.SIZE,), ()]


def test_what_cannot_be_pushed_is_named_and_changes_nothing(detector: Detector, tmp_path: Path) -> None:
    tracker = Tracker(detector=detector)
    with pytest.raises(ShapeError, match="image must be a path"):
        tracker.push(7, seconds=0.0)  # type: ignore[arg-type]
    with pytest.raises(MediaError, match="cannot read"):
        tracker.push(tmp_path / "none.png", seconds=0.0)
    for seconds in (float("nan"), float("inf"), "1", None, 1e300, 10**400):
        with pytest.raises(ConfigError, match="seconds must be a finite number of at most 4e"):
            tracker.push(drawn(0), seconds=seconds)  # type: ignore[arg-type]
    times = (np.float32(0.5), Fraction(3, 4), np.int64(2))
    results = [tracker.push(drawn(0), seconds=seconds) for seconds in times]  # type: ignore[arg-type]
    found = [*itertools.chain(*results), *tracker.flush()]
    assert [(result.index, result.pts_seconds) for result in found] == [(0, 0.5), (1, 0.75), (2, 2.0)]
    with pytest.raises(ConfigError, match="after flush"):
        tracker.push(drawn(1), seconds=1.0)


def test_only_its_own_detector_is_closed(detector: Detector, tiny_model: Path) -> None:
    with Tracker(detector=detector):
        pass
    detector.detect(drawn(0))
    with Tracker(model=tiny_model, detect_config=DetectConfig(size=128, threads=1)) as tracker:
        tracker.push(drawn(0), seconds=0.0)
    assert tracker.flush() == []
    with pytest.raises(ConfigError, match="after close"):
        tracker.push(drawn(1), seconds=1.0)
    with pytest.raises(ConfigError, match="detect_config must be None"):
        Tracker(detector=detector, detect_config=DetectConfig())
