from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acfd_stream.config import DetectConfig, ShotConfig, TrackConfig, VideoConfig
from acfd_stream.detect import Detector
from acfd_stream.errors import ConfigError, MediaError, RunnerError
from acfd_stream.pipeline import session as module
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.pipeline.stage_times import STAGES
from acfd_stream.pipeline.track_video import track_video
from acfd_stream.types import FrameResult, Gap, MediaInfo, Picture
from acfd_stream.video.decode_position import LossCounts
from acfd_stream.video.frame import Frame
from acfd_stream.video.readahead import Decoded
from tests.pipeline.conftest import CUT, DETECT, FRAMES, SIZE, draw, face_box

PIXELS = 5  # the stride-8 anchor next to a face that stands between two


def own_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("acfd-batch", "acfd-decode"))]


class DrawnVideo:
    """A source of drawn frames that breaks off after ``good`` of them, and watches who holds their pixels."""

    def __init__(self, good: int = FRAMES, error: str | None = None) -> None:
        self.info = MediaInfo("drawn", SIZE, Fraction(1, 24), Fraction(24), FRAMES, FRAMES / 24, "none")
        self.warnings, self.gaps = ["drawn by hand"], list[Gap]()
        self.last_seconds = None
        self.error: str | None = None
        self.is_complete = self.is_closed = False
        self.is_at_position, self.loss_counts = True, LossCounts()
        self._good, self._ends_with = good, error
        self._pixels: list[weakref.ref[np.ndarray]] = []

    @property
    def alive(self) -> int:
        """Frames whose pixels somebody holds."""
        return sum(pixels() is not None for pixels in self._pixels)

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._good):
            image = draw(index)
            self._pixels.append(weakref.ref(image))
            yield Frame(index, index, Fraction(1, 24), Picture.from_rgb(image))
            del image
        self.error, self.is_complete = self._ends_with, self._ends_with is None

    def __enter__(self) -> DrawnVideo:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.is_closed = True


class NoQueue:
    """Decodes when a frame is asked for."""

    drop_reason = None

    def __init__(self, video: DrawnVideo, queue_bytes: int, budget: None = None) -> None:
        self._video, self._frames = video, iter(video)

    def start(self) -> None:
        pass

    def get(self) -> Decoded | None:
        frame = next(self._frames, None)
        return None if frame is None else Decoded(frame, 0.0, self._video.loss_counts)

    def close(self) -> None:
        self._video.close()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> DrawnVideo:
    video = DrawnVideo()
    monkeypatch.setattr(module, "open_video", lambda *_: video)
    return video


def test_every_frame_comes_out_in_order_with_its_time(clip: Path, detector: Detector) -> None:
    results = list(track_video(clip, detector=detector))
    assert [result.index for result in results] == list(range(FRAMES))
    assert [result.pts_seconds for result in results] == pytest.approx([index / 24 for index in range(FRAMES)])
    assert own_threads() == []


def test_one_face_is_one_track_a_shot(clip: Path, detector: Detector) -> None:
    results = list(track_video(clip, detector=detector))
    assert [result.shot for result in results] == [0] * CUT + [1] * (FRAMES - CUT)
    for result in results:
        (face,) = result.faces
        assert face.track_id == result.shot + 1
        assert face.box_xyxy == pytest.approx(face_box(result.index), abs=PIXELS)


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("threads", [1, 3])
def test_batch_and_threads_change_no_bit(
    clip: Path, tiny_model: Path, detector: Detector, batch: int, threads: int
) -> None:
    config = DetectConfig(size=128, batch=batch, threads=threads)
    assert detector.config.batch == 4
    with Detector.open(tiny_model, config=config) as other:
        assert list(track_video(clip, detector=other)) == list(track_video(clip, detector=detector))


def test_the_smallest_queue_changes_nothing(clip: Path, detector: Detector) -> None:
    small = track_video(clip, detector=detector, video_config=VideoConfig(queue_bytes=2**20))
    assert list(small) == list(track_video(clip, detector=detector))


def test_a_frame_comes_with_its_own_result(drawn: DrawnVideo, detector: Detector) -> None:
    pairs = list(TrackSession("drawn", detector=detector).with_frames())
    assert [(frame.index, frame.pts) for frame, _ in pairs] == [(result.index, result.pts) for _, result in pairs]
    assert all(np.array_equal(frame.picture.planes[0], draw(frame.index)) for frame, _ in pairs)
    assert [result for _, result in pairs] == list(TrackSession("drawn", detector=detector))


@pytest.mark.parametrize("keeps_frames", [False, True])
def test_pixels_are_held_no_longer_than_said(
    drawn: DrawnVideo, detector: Detector, monkeypatch: pytest.MonkeyPatch, keeps_frames: bool
) -> None:
    monkeypatch.setattr(module, "ReadAhead", NoQueue)  # no frames wait decoded
    track_config, shot_config = TrackConfig(), ShotConfig()
    session = TrackSession("drawn", detector=detector, track_config=track_config, shot_config=shot_config)
    most = 0
    for given in session.with_frames() if keeps_frames else session:
        most = max(most, drawn.alive)
        del given
    delay = track_config.delay_frames + shot_config.lookahead_frames + 1 if keeps_frames else 0
    assert 0 < most <= delay + 4 * detector.config.batch + 1  # half of a group may repeat drawings
    assert drawn.alive == 0


def test_a_break_in_the_middle_keeps_the_good_frames(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = DrawnVideo(good=17, error="frame 17: broken")
    monkeypatch.setattr(module, "open_video", lambda *_: broken)
    with TrackSession("drawn", detector=detector) as session:
        results = list(session)
    assert [result.index for result in results] == list(range(17))
    assert (session.error, session.is_complete, session.warnings) == ("frame 17: broken", False, ["drawn by hand"])
    assert session.tracks == 1


def test_a_whole_video_is_complete(clip: Path, detector: Detector) -> None:
    session = TrackSession(clip, detector=detector)
    assert session.info.display_size == SIZE
    list(session)
    assert (session.is_complete, session.error, session.warnings, session.tracks) == (True, None, [], 2)


def test_stage_times_of_every_frame_are_in_the_ledger(clip: Path, detector: Detector) -> None:
    session = TrackSession(clip, detector=detector)
    results = list(session)
    met = [stage for stage in STAGES if stage != "encode"]  # that is the service's
    unmet = {"send"}, {"send", "infer", "decode_boxes", "nms"}  # a repeat does not meet the network
    assert all(set(result.timings) == set(met) - unmet[result.reused] for result in results)
    assert all(min(result.timings.values()) >= 0 for result in results)
    summary = session.stage_times.summary()
    looked_at = [result for result in results if not result.reused]
    counts = {stage: len(looked_at) if stage in unmet[1] - unmet[0] else FRAMES for stage in met}
    assert {stage: times.count for stage, times in summary.items()} == counts
    total = sum(result.timings["infer"] for result in looked_at)
    assert summary["infer"].mean_seconds == pytest.approx(total / len(looked_at))


def test_an_iterator_closed_early_leaves_nothing(drawn: DrawnVideo, detector: Detector) -> None:
    results: Any = track_video("drawn", detector=detector)
    assert next(results).index == 0
    assert own_threads() != []
    results.close()
    assert own_threads() == []
    assert drawn.is_closed


def test_a_session_closed_early_leaves_nothing(drawn: DrawnVideo, detector: Detector) -> None:
    with TrackSession("drawn", detector=detector) as session:
        results = iter(session)
        next(results)
    assert own_threads() == []
    assert drawn.is_closed


def test_an_interrupt_leaves_nothing(drawn: DrawnVideo, detector: Detector) -> None:
    def interrupted() -> None:
        for result in track_video("drawn", detector=detector):
            if result.index == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert own_threads() == []
    assert drawn.is_closed


def test_a_network_that_fails_ends_the_stream_with_its_error(
    drawn: DrawnVideo, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    see, calls = detector.detect_timed, iter(range(100))

    def failing(pictures: list[Picture]) -> Any:
        if next(calls) == 5:
            raise RunnerError("the network broke")
        return see(pictures)

    monkeypatch.setattr(detector, "detect_timed", failing)
    results: list[FrameResult] = []
    with pytest.raises(RunnerError, match="the network broke"):
        results.extend(track_video("drawn", detector=detector))
    assert own_threads() == []
    assert drawn.is_closed


def test_a_detector_that_is_given_stays_open_and_its_own_does_not(
    clip: Path, tiny_model: Path, detector: Detector
) -> None:
    given = list(track_video(clip, detector=detector))
    assert len(detector.detect(draw(0))) > 0
    session = TrackSession(clip, model=tiny_model, detect_config=DETECT)
    assert list(session) == given
    with pytest.raises(RunnerError, match="closed"):
        session.detector.detect(draw(0))


def test_a_source_without_video_is_refused_at_the_call(tmp_path: Path, detector: Detector) -> None:
    with pytest.raises(MediaError, match=r"gone\.mp4"):
        track_video(tmp_path / "gone.mp4", detector=detector)


def test_a_refused_model_closes_the_source(drawn: DrawnVideo, tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match=r"gone\.onnx"):
        track_video("drawn", model=tmp_path / "gone.onnx")
    assert drawn.is_closed


def test_two_ways_to_configure_the_detector_are_refused(clip: Path, detector: Detector) -> None:
    with pytest.raises(ConfigError, match="detect_config must be None with a detector"):
        track_video(clip, detector=detector, detect_config=DETECT)


def test_a_session_is_iterated_over_once(drawn: DrawnVideo, detector: Detector) -> None:
    session = TrackSession("drawn", detector=detector)
    list(session)
    with pytest.raises(ConfigError, match="can be iterated over once"):
        list(session)
