"""One stream from its source to its tracks: frames in, results out, in order.

A file uses three kinds of threads: one decodes ahead into a bounded queue, the detector's threads run one batch, and
the caller's thread finds shots and tracks in the batch before. Results come with a delay, because shots and tracks are
final only some frames later. For a live stream, the caller's thread processes frame by frame, without a delay.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acfd_stream.characters import Character, CharacterConfig
from acfd_stream.checked import or_default, require
from acfd_stream.config import DetectConfig, DropPolicy, PaceConfig, ShotConfig, TrackConfig, VideoConfig
from acfd_stream.detect.detector import Detector, device_for
from acfd_stream.errors import ConfigError
from acfd_stream.identity.views import TrackView
from acfd_stream.picture_budget import PictureBudget
from acfd_stream.pipeline import checkpoint
from acfd_stream.pipeline.characters import open_characters
from acfd_stream.pipeline.checkpoint import SessionState
from acfd_stream.pipeline.detection import DetectedFrame, DetectionStage
from acfd_stream.pipeline.engine import Embedder, Engine, check_engine
from acfd_stream.pipeline.live import Gate, configs_for, verdict_now
from acfd_stream.pipeline.settled_frame import SettledFrame
from acfd_stream.pipeline.stage_times import StageTimes
from acfd_stream.pipeline.stream_tracker import StreamTracker, packed, position_of
from acfd_stream.types import Closeable, DropReason, FrameResult, Gap, MediaInfo
from acfd_stream.video import FrameFeed, Source, open_video
from acfd_stream.video.feed import FedVideo
from acfd_stream.video.frame import Frame
from acfd_stream.video.readahead import Decoded, FrameSource, ReadAhead
from acfd_stream.video.source import OpenVideo

if TYPE_CHECKING:
    from acfd_stream.identity.cast.matching import CastMatcher


class TrackSession(Closeable):
    """Tracks one video; iterate over it once, or over ``with_frames()``.

    A context manager, with the options and errors of ``track_video``; ``gate`` holds back its frames, ``budget``
    bounds those that wait, and ``opener`` opens the source. With ``keeps_views``, ``take_views`` gives the views of
    tracks. ``is_complete``, ``error``, ``gaps``, ``warnings`` and ``characters`` are final after the iteration.
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
        gate: Gate | None = None,
        budget: PictureBudget | None = None,
        opener: OpenVideo | None = None,
        characters: CharacterConfig | None = None,
        embedder: Embedder | None = None,
        keeps_views: bool = False,
        cast: str | Path | CastMatcher | None = None,
    ) -> None:
        check_engine(detector, detect_config)
        self.pace = or_default(pace, "pace", PaceConfig)
        configs = configs_for(self.pace, video_config, track_config, shot_config)
        self.video_config, self.track_config, self.shot_config = configs
        self.stage_times = StageTimes()
        self._gate, self._budget = gate, budget
        self._is_started = self._is_finished = self._is_closed = self._is_stopped = False
        self._closing = threading.Lock()
        self._batches: ThreadPoolExecutor | None = None
        require(isinstance(characters, CharacterConfig | None), "characters", characters, "a CharacterConfig")
        self.character_config = characters
        self._views: list[TrackView] = []  # of tracks that ended by the last returned result, not taken yet
        self._ready: deque[SettledFrame] = deque()  # settled, not returned yet
        self._handed_out = 0  # results returned, counted from the start of the video
        self._skipped = 0  # results to skip: they were returned before the checkpoint
        self._at_end: tuple[dict[str, Any], int] | None = None  # before the flush: state, results
        require(isinstance(resume, SessionState | None), "resume", resume, "a SessionState")
        self._is_resumed = resume is not None
        with ExitStack() as opened:
            planes = device_for(device) if detector is None else detector.device
            self._video: FrameSource
            if isinstance(source, FrameFeed):
                self._video = FedVideo(source, self.video_config)
            else:
                self._video = (opener or open_video)(source, self.video_config, planes)
            opened.callback(self._video.close)
            if detector is None:
                detector = opened.enter_context(Detector.open(model, device, detect_config))
            self._detector: Engine = detector
            self._detection = DetectionStage(detector, every_frame=self.video_config.every_frame)
            self._characters = open_characters(
                characters, embedder, self.track_config, opened, keeps_views=keeps_views, cast=cast
            )
            self._stream = StreamTracker(self.track_config, self.shot_config, self._characters)
            if resume is not None:
                self._restore(resume)
            self._first_index = self._stream.next_index
            self._ahead = self._read_ahead()
            self._opened = opened.pop_all()

    @property
    def info(self) -> MediaInfo:
        """What the container says of the video."""
        return self._video.info

    @property
    def detector(self) -> Engine:
        """The detector of the session, its own or the one that was given."""
        return self._detector

    @property
    def warnings(self) -> list[str]:
        """Oddities of the source in words, its gaps included."""
        return self._video.warnings

    @property
    def gaps(self) -> list[Gap]:
        """Holes in the source, in order of time."""
        return self._video.gaps

    @property
    def last_seconds(self) -> Fraction | None:
        """How long the last frame is on screen; None: one frame at the rate."""
        return self._video.last_seconds

    @property
    def is_complete(self) -> bool:
        """Whether the results of every frame of the source were returned, and no frame is missing in it."""
        return self._is_finished and self._video.is_complete

    @property
    def is_finished(self) -> bool:
        """Whether the iteration reached the end of the source, broken or not, without ``stop`` or ``close``."""
        return self._is_finished

    @property
    def error(self) -> str | None:
        """Error that broke the source in the middle; the frames before it have results."""
        return self._video.error

    @property
    def tracks(self) -> int:
        """Tracks started so far."""
        return self._stream.tracks

    @property
    def embedder(self) -> Embedder | None:
        """The network of the characters, the session's own or the one that was given; None without characters."""
        return None if self._characters is None else self._characters.embedder

    @property
    def characters(self) -> tuple[Character, ...]:
        """The characters of the whole video, by number, once it is finished; they replace all links. Before: none."""
        return self._characters.characters() if self._characters is not None and self._is_finished else ()

    def take_views(self) -> list[TrackView]:
        """The best views of the tracks that have ended since the last call, by track and frame.

        A track has ended when a result without it was returned, or at the end of the iteration. Take them before
        ``checkpoint``, which does not contain them.
        """
        views, self._views = self._views, []
        if self._characters is not None and self._is_finished:
            views += self._characters.take_last_views()
        return views

    @property
    def waiting_bytes(self) -> int:
        """Bytes of decoded frames that wait for the network."""
        return self._ahead.waiting_bytes

    @property
    def frames_read(self) -> int:
        """Frames that were decoded so far, dropped ones included."""
        return self._ahead.frames_read

    def __iter__(self) -> Iterator[FrameResult]:
        """Results in order; pixels are freed after detection."""
        return (result for _, result in self._run(lambda: False))

    def with_frames(self) -> Iterator[tuple[Frame, FrameResult]]:
        """Frames with their results, without dropped frames.

        Pixels stay in memory until a result is settled: besides the decoder's queue, these are two groups of frames for
        the network, and the delays of the shot detector and the tracker.
        """
        if self._is_resumed:
            raise ConfigError("a resumed session has no pixels of its first results; iterate over the results alone")
        return ((frame, result) for frame, result in self._run(lambda: True) if frame is not None)

    def with_wanted_frames(self, is_wanted: Callable[[], bool]) -> Iterator[tuple[Frame | None, FrameResult]]:
        """Every result, with its frame if ``is_wanted`` was true when the frame reached the tracker."""
        return self._run(is_wanted)

    def checkpoint(self) -> SessionState:
        """The state after the last returned result.

        Call it in the thread that iterates, between two results, or in any thread after the iteration or ``close``.
        """
        return self.snapshot()()

    def snapshot(self) -> Callable[[], SessionState]:
        """A function that builds the checkpoint of now later, in any thread, so that a live stream does not wait."""
        handed_out = self._handed_out + self._skipped
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
        """End the iteration at the next result; from any thread, without waiting.

        Frames that were read but not returned are not lost: a session can resume from ``checkpoint``.
        """
        self._is_stopped = True
        self._ahead.stop()

    def close(self) -> None:
        """Stop, and free the source, the threads and the session's own detector; from any thread, and more than once.

        The iteration ends without another result. Waits for the running batch of the detector.
        """
        self._is_closed = True
        self._ahead.close()
        with self._closing:
            if self._batches is not None:
                self._batches.shutdown(cancel_futures=True)
            self._opened.close()

    # Opening

    def _read_ahead(self) -> ReadAhead:
        queue_bytes, pace = self.video_config.queue_bytes, self.pace
        if not pace.is_live:
            return ReadAhead(self._video, queue_bytes, budget=self._budget)
        stale_seconds = None if pace.policy is DropPolicy.WAIT else pace.stale_seconds
        return ReadAhead(self._video, queue_bytes, pace.policy, pace.queue_frames, stale_seconds, self._budget)

    def _signature(self) -> dict[str, Any]:
        own = checkpoint.signature(self._detector, self.track_config, self.shot_config, self.video_config)
        if self._characters is not None:
            own["settings"] |= self._characters.signature
        return {**own, "media": checkpoint.media_signature(self.info)}

    def _restore(self, state: SessionState) -> None:
        """Restore the session from a checkpoint."""
        checkpoint.check(state, self._signature())
        with checkpoint.damage_as_resume_error(is_resumed=True):
            self._stream.restore(state.values["stream"])
            self._ready.extend(map(SettledFrame.from_values, state.ready))
            self._handed_out, self._skipped = state.next_result, state.skipped
            position = position_of(state.values["stream"])
        self._detection.restore(self._stream.held)
        self._handed_out -= self._skipped
        self._video.resume_after(position, self._stream.next_index)

    # Running

    def _run(self, keeps_frames: Callable[[], bool]) -> Iterator[tuple[Frame | None, FrameResult]]:
        if self._is_started:
            raise ConfigError("a TrackSession can be iterated over once; open another one")
        self._is_started = True
        try:
            self._ahead.start()
            steps = self._frame_by_frame(keeps_frames) if self.pace.is_live else self._in_batches(keeps_frames)
            for _ in chain([None], steps):
                while self._ready and not self._is_over:
                    settled = self._ready.popleft()
                    self._handed_out += 1
                    if self._skipped:
                        self._skipped -= 1
                        continue
                    self._views += settled.views
                    yield from self._return(settled)
                if self._is_over:
                    return
            self._is_finished = not self._is_over
        except Exception:
            if not self._is_closed:  # else the error is a consequence of close() in another thread
                raise
        finally:
            self.close()

    @property
    def _is_over(self) -> bool:
        return self._is_closed or self._is_stopped

    def _return(self, settled: SettledFrame) -> Iterator[tuple[Frame | None, FrameResult]]:
        """Return one result, and measure the time until the next one is requested."""
        result = settled.result(self.info.time_base, verdict_now(settled, self.pace))
        self.stage_times.add(result.timings)
        self._ahead.drop_reason = DropReason.CLIENT_SLOW
        begin = time.perf_counter()
        yield settled.frame, result
        self._ahead.drop_reason = DropReason.QUEUE_FULL
        self.stage_times.add({"send": time.perf_counter() - begin})

    def _in_batches(self, keeps_frames: Callable[[], bool]) -> Iterator[None]:
        """Track a group of frames while detection runs on the next; yields after every frame."""
        with self._closing:
            if self._is_closed:
                return
            self._batches = batches = ThreadPoolExecutor(1, thread_name_prefix="acfd-batch")
        waiting: tuple[list[DetectedFrame], Future[None]] | None = None
        started: tuple[list[DetectedFrame], Future[None]] | None = None
        try:
            for group in self._detection.groups(self._decoded()):
                started = (group, batches.submit(self._detection.detect, group))
                if waiting is not None:
                    waiting[1].result()
                    yield from self._track(waiting[0], keeps_frames)
                waiting = started
            if waiting is not None:
                waiting[1].result()
                yield from self._track(waiting[0], keeps_frames)
            yield from self._flush()
        finally:
            waiting = started = None  # breaks a reference cycle: traceback, this call, the future, its error

    def _frame_by_frame(self, keeps_frames: Callable[[], bool]) -> Iterator[None]:
        """Track every frame before taking the next one; yields after every frame."""
        for decoded in self._decoded():
            group = [self._detection.take(decoded)]
            self._detection.detect(group)
            yield from self._track(group, keeps_frames)
        yield from self._flush()

    def _decoded(self) -> Iterator[Decoded]:
        while (decoded := self._next_decoded()) is not None:
            if decoded.frame.index >= self._first_index:
                yield decoded

    def _next_decoded(self) -> Decoded | None:
        if self._gate is None:
            return self._ahead.get()
        self._gate.wait()
        decoded = self._ahead.get()
        if decoded is not None and decoded.drop_reason is None:
            self._gate.take()
        return decoded

    def _track(self, group: list[DetectedFrame], keeps_frames: Callable[[], bool]) -> Iterator[None]:
        for entry in group:
            with checkpoint.damage_as_resume_error(is_resumed=self._is_resumed):
                self._ready += self._stream.push(entry, keeps_frames())
            yield

    def _flush(self) -> Iterator[None]:
        """Settle the last frames, unless the session was stopped or a resumed source broke before its position."""
        if not self._is_over and self._video.is_at_position:
            self._at_end = (self._stream.state(), self._handed_out)
            with checkpoint.damage_as_resume_error(is_resumed=self._is_resumed):
                self._ready += self._stream.flush()
            yield
