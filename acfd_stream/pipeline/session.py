"""One stream from its source to its tracks: frames in, results out, in order.

Three kinds of thread share the work: one decodes ahead into a bounded queue, the detector's look at
one batch, and the caller's finds shots and tracks in the batch before. Results come with a delay,
for a shot and a track are only sure some frames later. Of a live stream the caller's thread takes
frame by frame through to its result, and nothing waits for what comes later.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

from acfd_stream.config import DetectConfig, DropPolicy, PaceConfig, ShotConfig, TrackConfig, VideoConfig
from acfd_stream.detect.detector import Detector, device_for
from acfd_stream.errors import ConfigError
from acfd_stream.pipeline import checkpoint
from acfd_stream.pipeline.checkpoint import SessionState
from acfd_stream.pipeline.detection import DetectedFrame, DetectionStage
from acfd_stream.pipeline.engine import Engine
from acfd_stream.pipeline.live import configs_for, verdict_now
from acfd_stream.pipeline.stage_times import StageTimes
from acfd_stream.pipeline.stream_tracker import SettledFrame, StreamTracker, packed, position_of
from acfd_stream.types import DropReason, Frame, FrameResult, MediaInfo
from acfd_stream.video import FrameFeed, Source, open_video
from acfd_stream.video.feed import FedVideo
from acfd_stream.video.readahead import Decoded, FrameSource, ReadAhead


def track_video(
    source: Source | FrameFeed,
    *,
    detector: Engine | None = None,
    model: str | Path = "acfd-n",
    device: str = "auto",
    video_config: VideoConfig | None = None,
    detect_config: DetectConfig | None = None,
    track_config: TrackConfig | None = None,
    shot_config: ShotConfig | None = None,
    pace: PaceConfig | None = None,
    resume: SessionState | None = None,
) -> Iterator[FrameResult]:
    """Face tracks of a video, a result a frame, in order.

    The source and the model are opened before this returns. Closing the iterator, or dropping it,
    frees everything. A video that breaks in the middle ends the iteration early without an error:
    use ``TrackSession`` to see whether it was complete.

    Args:
        source: path, URL, binary file object, ByteStream or FrameFeed.
        detector: one to share between videos; it stays open. None: ``model`` is opened for this one.
        model: a shipped model's name or the path of an ONNX file.
        device: "auto", "cpu" or "cuda".
        video_config: range, threads and queue of decoding.
        detect_config: sizes, thresholds and batch; only without ``detector``, which has its own.
        track_config: how detections become tracks.
        shot_config: how shots are told apart.
        pace: whether every frame or the time to its result counts. None: every frame.
        resume: where an earlier session stood; results go on behind the last one that it handed out, and are those
            it would have given.

    Raises:
        MediaError: the source holds nothing that can be decoded.
        RunnerError: no such model, its file is refused, or it fails in the middle.
        BackendUnavailable: the device was asked for by name and cannot be used.
        ConfigError: no such device, or both ``detector`` and ``detect_config``.
        ResumeError: ``resume`` is of another video, model or settings; may also be raised by the iteration.
    """
    return iter(
        TrackSession(
            source,
            detector=detector,
            model=model,
            device=device,
            video_config=video_config,
            detect_config=detect_config,
            track_config=track_config,
            shot_config=shot_config,
            pace=pace,
            resume=resume,
        )
    )


class TrackSession:
    """One video on its way to tracks; iterate over it once, or over ``with_frames()``.

    A context manager. Takes what ``track_video`` takes and raises what it raises. ``is_complete``, ``error`` and
    ``warnings`` are final after the iteration.
    """

    def __init__(
        self,
        source: Source | FrameFeed,
        *,
        detector: Engine | None = None,
        model: str | Path = "acfd-n",
        device: str = "auto",
        video_config: VideoConfig | None = None,
        detect_config: DetectConfig | None = None,
        track_config: TrackConfig | None = None,
        shot_config: ShotConfig | None = None,
        pace: PaceConfig | None = None,
        resume: SessionState | None = None,
    ) -> None:
        if detector is not None and detect_config is not None:
            raise ConfigError("detect_config must be None with a detector, which has its own")
        self.pace = pace or PaceConfig()
        configs = configs_for(self.pace, video_config, track_config, shot_config)
        self.video_config, self.track_config, self.shot_config = configs
        self.ledger = StageTimes()
        self._is_started = self._is_finished = self._is_closed = self._is_stopped = False
        self._closing = threading.Lock()
        self._batches: ThreadPoolExecutor | None = None
        self._stream = StreamTracker(self.track_config, self.shot_config)
        self._ready: deque[SettledFrame] = deque()  # settled, not handed out yet
        self._handed_out = 0  # results, from the beginning of the video
        self._swallowed = 0  # results to come that were handed out before the checkpoint
        self._at_end: tuple[dict[str, Any], int] | None = None  # the stream's state and results before the last ones
        self._is_resumed = resume is not None
        with ExitStack() as opened:
            planes = device_for(device) if detector is None else detector.device
            self._video = _open(opened, source, self.video_config, planes)
            if detector is None:
                detector = opened.enter_context(Detector.open(model, device, detect_config))
            self._detector: Engine = detector
            self._looker = DetectionStage(detector, every_frame=self.video_config.every_frame)
            if resume is not None:
                self._go_on(resume)
            self._first_index = self._stream.next_index
            self._ahead = self._read_ahead()
            self._opened = opened.pop_all()

    @property
    def info(self) -> MediaInfo:
        """What the container says of the video."""
        return self._video.info

    @property
    def detector(self) -> Engine:
        """The detector, or what stands in for one, that sees the frames."""
        return self._detector

    @property
    def warnings(self) -> list[str]:
        """What is odd about the source but lost no frame that can be decoded."""
        return self._video.warnings

    @property
    def is_complete(self) -> bool:
        """Whether every frame of the source came out."""
        return self._is_finished and self._video.is_complete

    @property
    def is_finished(self) -> bool:
        """Whether the iteration came to the end of the source, broken or not: nobody stopped or closed it before."""
        return self._is_finished

    @property
    def error(self) -> str | None:
        """What broke the source in the middle; the frames before it came out."""
        return self._video.error

    @property
    def tracks(self) -> int:
        """Tracks started so far."""
        return self._stream.tracks

    @property
    def waiting_bytes(self) -> int:
        """Bytes of decoded frames that wait for the network."""
        return self._ahead.waiting_bytes

    def __iter__(self) -> Iterator[FrameResult]:
        """Results in order; pixels are given back as soon as they have been seen."""
        return (result for _, result in self._run(lambda: False))

    def with_frames(self) -> Iterator[tuple[Frame, FrameResult]]:
        """Frames with their results, for what draws on them; frames that were dropped are left out.

        Pixels stay until a result is settled: at most the delays of the shot detector and the tracker
        and two groups of frames for the network are held, besides the queue of decoded ones.
        """
        if self._is_resumed:
            raise ConfigError("a resumed session has no pixels of its first results; iterate over the results alone")
        return ((frame, result) for frame, result in self._run(lambda: True) if frame is not None)

    def with_wanted_frames(self, is_wanted: Callable[[], bool]) -> Iterator[tuple[Frame | None, FrameResult]]:
        """Every result, with its frame where ``is_wanted`` said so when the network had seen it."""
        return self._run(is_wanted)

    def checkpoint(self) -> SessionState:
        """Where the session stands: behind the last result that it handed out.

        To be called by the thread that iterates, between two results, or by any once the iteration has ended,
        ``close`` included.
        """
        return self.snapshot()()

    def snapshot(self) -> Callable[[], SessionState]:
        """As ``checkpoint``, put off: what is returned makes the checkpoint of now, later, by any thread.

        So a live stream does not wait for it.
        """
        handed_out = self._handed_out + self._swallowed
        stream, ready, base = self._stream.state(), list(self._ready), self._handed_out
        if self._at_end is not None:
            stream, ready, base = self._at_end[0], [], self._at_end[1]
        values = {
            "format": checkpoint.FORMAT,
            **self._signature(),
            "stream": stream,
            "ready": [settled.values() for settled in ready],
            "handed_out": handed_out,
            "swallowed": handed_out - base,
        }
        return lambda: SessionState({**values, "stream": packed(stream)})

    def stop(self) -> None:
        """End the iteration at the next result, as if the video paused there; from any thread, does not wait.

        What was read and not handed out is not lost: ``checkpoint`` says where to go on.
        """
        self._is_stopped = True
        self._ahead.stop()

    def close(self) -> None:
        """Stop and free the source, the threads and a detector of its own; from any thread, and more than once.

        Whoever iterates gets no further result. Waits for the batch that the detector is at.
        """
        self._is_closed = True
        self._ahead.close()
        with self._closing:
            if self._batches is not None:
                self._batches.shutdown(cancel_futures=True)
            self._opened.close()

    def __enter__(self) -> TrackSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Opening

    def _read_ahead(self) -> ReadAhead:
        queue_bytes, pace = self.video_config.queue_bytes, self.pace
        if not pace.is_live:
            return ReadAhead(self._video, queue_bytes)
        stale_seconds = None if pace.policy is DropPolicy.WAIT else pace.stale_seconds
        return ReadAhead(self._video, queue_bytes, pace.policy, pace.queue_frames, stale_seconds)

    def _signature(self) -> dict[str, Any]:
        own = checkpoint.signature(self._detector, self.track_config, self.shot_config, self.video_config)
        return {**own, "media": checkpoint.media_signature(self.info)}

    def _go_on(self, state: SessionState) -> None:
        """Become the session that ``state`` was taken from."""
        checkpoint.check(state, self._signature())
        values = state.values
        with checkpoint.telling_damage(is_resumed=True):
            self._stream.restore(values["stream"])
            self._ready.extend(map(SettledFrame.from_values, values["ready"]))
            self._handed_out, self._swallowed = int(values["handed_out"]), int(values["swallowed"])
            place = position_of(values["stream"])
        self._looker.go_on(self._stream.held)
        self._handed_out -= self._swallowed
        self._video.resume_after(place, self._stream.next_index)

    # Running

    def _run(self, keeps_frames: Callable[[], bool]) -> Iterator[tuple[Frame | None, FrameResult]]:
        if self._is_started:
            raise ConfigError("a TrackSession can be iterated over once; open another one")
        self._is_started = True
        try:
            self._ahead.start()
            steps = self._frame_by_frame(keeps_frames) if self.pace.is_live else self._batch_by_batch(keeps_frames)
            for _ in chain([None], steps):
                while self._ready and not self._is_over:
                    settled = self._ready.popleft()
                    self._handed_out += 1
                    if self._swallowed:
                        self._swallowed -= 1
                        continue
                    yield from self._handed(settled)
                if self._is_over:
                    return
            self._is_finished = not self._is_over
        except Exception:
            if not self._is_closed:  # else it is but the noise of another thread's close()
                raise
        finally:
            self.close()

    @property
    def _is_over(self) -> bool:
        return self._is_closed or self._is_stopped

    def _handed(self, settled: SettledFrame) -> Iterator[tuple[Frame | None, FrameResult]]:
        """Hand out one result, and watch how long it takes until the next one is wanted."""
        result = settled.result(self.info.time_base, verdict_now(settled, self.pace))
        self.ledger.add(result.timings)
        self._ahead.drop_reason = DropReason.CLIENT_SLOW
        begin = time.perf_counter()
        yield settled.frame, result
        self._ahead.drop_reason = DropReason.QUEUE_FULL
        self.ledger.add({"send": time.perf_counter() - begin})

    def _batch_by_batch(self, keeps_frames: Callable[[], bool]) -> Iterator[None]:
        """Push frames into the stream, while the network looks at the next ones; a step a frame."""
        with self._closing:
            if self._is_closed:
                return
            self._batches = batches = ThreadPoolExecutor(1, thread_name_prefix="acfd-batch")
        waiting: tuple[list[DetectedFrame], Future[None]] | None = None
        started: tuple[list[DetectedFrame], Future[None]] | None = None
        try:
            for group in self._looker.groups(self._decoded()):
                started = (group, batches.submit(self._looker.look, group))
                if waiting is not None:
                    waiting[1].result()
                    yield from self._pushed(waiting[0], keeps_frames)
                waiting = started
            if waiting is not None:
                waiting[1].result()
                yield from self._pushed(waiting[0], keeps_frames)
            yield from self._flushed()
        finally:
            waiting = started = None  # a fault's traceback holds this frame, and the future holds the fault

    def _frame_by_frame(self, keeps_frames: Callable[[], bool]) -> Iterator[None]:
        """Push every frame into the stream before the next one is taken; a step a frame."""
        for decoded in self._decoded():
            group = [self._looker.take(decoded)]
            self._looker.look(group)
            yield from self._pushed(group, keeps_frames)
        yield from self._flushed()

    def _decoded(self) -> Iterator[Decoded]:
        while (decoded := self._ahead.get()) is not None:
            if decoded.frame.index >= self._first_index:
                yield decoded

    def _pushed(self, group: list[DetectedFrame], keeps_frames: Callable[[], bool]) -> Iterator[None]:
        for sight in group:
            with checkpoint.telling_damage(is_resumed=self._is_resumed):
                self._ready += self._stream.push(sight, keeps_frames())
            yield

    def _flushed(self) -> Iterator[None]:
        """What was still open at the end, unless it is not the end: stopped, or a resumed source that broke early."""
        if not self._is_over and self._video.is_at_position:
            self._at_end = (self._stream.state(), self._handed_out)
            with checkpoint.telling_damage(is_resumed=self._is_resumed):
                self._ready += self._stream.flush()
            yield


def _open(opened: ExitStack, source: Source | FrameFeed, config: VideoConfig, device: str) -> FrameSource:
    video = FedVideo(source, config) if isinstance(source, FrameFeed) else open_video(source, config, device)
    opened.callback(video.close)
    return video
