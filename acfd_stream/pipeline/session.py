"""One stream from its source to its tracks: frames in, results out, in order.

Three kinds of thread share the work: one decodes ahead into a bounded queue, the detector's look at
one batch, and the caller's finds shots and tracks in the batch before. Results come with a delay,
for a shot and a track are only sure some frames later.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import cast

from acfd_stream.config import DetectConfig, ShotConfig, TrackConfig, VideoConfig
from acfd_stream.detect.detector import Detector
from acfd_stream.errors import ConfigError
from acfd_stream.pipeline.engine import Engine, StageSeconds
from acfd_stream.pipeline.ledger import Ledger
from acfd_stream.track.tracker import FaceTracker
from acfd_stream.types import Detections, Face, Frame, FrameResult, MediaInfo, ShotChange
from acfd_stream.video import Source, VideoSource, open_video, read_ahead
from acfd_stream.video.shots import ShotDetector

Settled = tuple[Frame | None, FrameResult]
"""A result and, where pixels are wanted, its frame."""
_Seen = tuple[Detections, StageSeconds]


def track_video(
    source: Source,
    *,
    detector: Engine | None = None,
    model: str | Path = "acfd-n",
    device: str = "auto",
    video_config: VideoConfig | None = None,
    detect_config: DetectConfig | None = None,
    track_config: TrackConfig | None = None,
    shot_config: ShotConfig | None = None,
) -> Iterator[FrameResult]:
    """Face tracks of a video, a result a frame, in order.

    The source and the model are opened before this returns. Closing the iterator, or dropping it,
    frees everything. A video that breaks in the middle ends the iteration early without an error:
    use ``TrackSession`` to see whether it was complete.

    Args:
        source: path, URL, binary file object or ByteStream.
        detector: one to share between videos; it stays open. None: ``model`` is opened for this one.
        model: a shipped model's name or the path of an ONNX file.
        device: "auto", "cpu" or "cuda".
        video_config: range, threads and queue of decoding.
        detect_config: sizes, thresholds and batch; only without ``detector``, which has its own.
        track_config: how detections become tracks.
        shot_config: how shots are told apart.

    Raises:
        MediaError: the source holds nothing that can be decoded.
        RunnerError: no such model, its file is refused, or it fails in the middle.
        BackendUnavailable: the device was asked for by name and cannot be used.
        ConfigError: no such device, or both ``detector`` and ``detect_config``.
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
        )
    )


class TrackSession:
    """One video on its way to tracks; iterate over it once, or over ``with_frames()``.

    A context manager. Takes what ``track_video`` takes and raises what it raises. ``is_complete``,
    ``error`` and ``warnings`` are the source's and final after the iteration.
    """

    def __init__(
        self,
        source: Source,
        *,
        detector: Engine | None = None,
        model: str | Path = "acfd-n",
        device: str = "auto",
        video_config: VideoConfig | None = None,
        detect_config: DetectConfig | None = None,
        track_config: TrackConfig | None = None,
        shot_config: ShotConfig | None = None,
    ) -> None:
        if detector is not None and detect_config is not None:
            raise ConfigError("detect_config must be None with a detector, which has its own")
        self.track_config = track_config or TrackConfig()
        self.shot_config = shot_config or ShotConfig()
        self.ledger = Ledger()
        self._queue_bytes = (video_config or VideoConfig()).queue_bytes
        self._is_started = False
        self._stream = _Stream(self.track_config, self.shot_config)
        with ExitStack() as opened:
            self._video: VideoSource = opened.enter_context(open_video(source, video_config or VideoConfig()))
            if detector is None:
                detector = opened.enter_context(Detector.open(model, device, detect_config))
            self._detector: Engine = detector
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
        return self._video.is_complete

    @property
    def error(self) -> str | None:
        """What broke the source in the middle; the frames before it came out."""
        return self._video.error

    @property
    def tracks(self) -> int:
        """Tracks started so far."""
        return self._stream.tracks

    def __iter__(self) -> Iterator[FrameResult]:
        """Results in order; pixels are given back as soon as they have been seen."""
        return (result for _, result in self._run(keeps_frames=False))

    def with_frames(self) -> Iterator[tuple[Frame, FrameResult]]:
        """Frames with their results, for what draws on them.

        Pixels stay until a result is settled: at most the delays of the shot detector and the tracker
        and two batches of frames are held, besides the queue of decoded ones.
        """
        return ((frame, result) for frame, result in self._run(keeps_frames=True) if frame is not None)

    def close(self) -> None:
        """Stop and free the source, the threads and a detector of its own; a second call does nothing."""
        self._opened.close()

    def __enter__(self) -> TrackSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, keeps_frames: bool) -> Iterator[Settled]:
        if self._is_started:
            raise ConfigError("a TrackSession can be iterated over once; open another one")
        self._is_started = True
        clock = _Clock(self._video)
        with self._opened as running:
            frames = running.enter_context(closing(_read_ahead(clock, self._queue_bytes)))
            engine = ThreadPoolExecutor(1, thread_name_prefix="acfd-batch")
            running.callback(engine.shutdown, cancel_futures=True)
            waiting: tuple[list[Frame], Future[list[_Seen]]] | None = None
            for group in _groups(frames, self._detector.config.batch):
                started = engine.submit(self._see, group, clock)
                if waiting is not None:
                    yield from self._settled(*waiting, keeps_frames)
                waiting = (group, started)
            if waiting is not None:
                yield from self._settled(*waiting, keeps_frames)
            yield from self._noted(self._stream.flush())

    def _see(self, group: list[Frame], clock: _Clock) -> list[_Seen]:
        """Detections and stage times of a batch."""
        begin = time.perf_counter()
        found = self._detector.detect_timed([frame.picture for frame in group])
        seen = []
        for frame, (detections, seconds) in zip(group, found, strict=True):
            decode_seconds, decoded_at = clock.take(frame)
            seconds["queue"] += begin - decoded_at
            seen.append((detections, {"decode": decode_seconds, **seconds}))
        return seen

    def _settled(self, group: list[Frame], started: Future[list[_Seen]], keeps_frames: bool) -> Iterator[Settled]:
        for frame, (detections, timings) in zip(group, started.result(), strict=True):
            yield from self._noted(self._stream.push(frame, detections, timings, keeps_frames))

    def _noted(self, settled: list[Settled]) -> Iterator[Settled]:
        for frame, result in settled:
            self.ledger.add(result.timings)
            yield frame, result


def _read_ahead(video: _Clock, queue_bytes: int) -> Generator[Frame, None, None]:
    """``read_ahead`` over a watched source: it only iterates and closes, and is a generator."""
    return cast(Generator[Frame, None, None], read_ahead(cast(VideoSource, video), queue_bytes))


class _Clock:
    """A source that notes, on the decoding thread, how long a frame took and when it was there."""

    def __init__(self, video: VideoSource) -> None:
        self._video = video
        self._notes: dict[int, tuple[float, float]] = {}

    def __iter__(self) -> Iterator[Frame]:
        begin = time.perf_counter()
        for frame in self._video:
            end = time.perf_counter()
            self._notes[frame.index] = (end - begin, end)
            yield frame
            begin = time.perf_counter()

    def close(self) -> None:
        self._video.close()

    def take(self, frame: Frame) -> tuple[float, float]:
        """(seconds it took, when it was there)."""
        return self._notes.pop(frame.index)


@dataclass(slots=True)
class _Unsettled:
    """A frame between the detector and its result."""

    result: FrameResult  # what is known of it so far
    detections: Detections
    frame: Frame | None  # only where its pixels are wanted


class _Stream:
    """What a stream remembers between frames: its shot, its tracks, the frames not settled yet."""

    def __init__(self, track_config: TrackConfig, shot_config: ShotConfig) -> None:
        self._shots = ShotDetector(shot_config)
        self._tracker = FaceTracker(track_config)
        self._keep_score = track_config.keep_score  # what scores less is in no track, cut off or not
        self._shot = 0
        self._undecided: deque[_Unsettled] = deque()  # which shot?
        self._tracked: deque[_Unsettled] = deque()  # which faces?

    @property
    def tracks(self) -> int:
        return self._tracker.tracks_started

    def push(self, frame: Frame, detections: Detections, timings: StageSeconds, keeps_frame: bool) -> list[Settled]:
        """Take the next frame; the frames that are settled now, in order."""
        begin = time.perf_counter()
        result = FrameResult(
            index=frame.index,
            pts=frame.pts,
            time_base=frame.time_base,
            pts_seconds=frame.pts_seconds,
            faces=(),
            is_pts_filled=frame.is_pts_filled,
            is_truncated=detections.is_truncated and detections.cut_score >= self._keep_score,
            timings=timings,
        )
        self._undecided.append(_Unsettled(result, detections, frame if keeps_frame else None))
        settled = self._decided(self._shots.push(frame.picture))
        timings["track"] = time.perf_counter() - begin
        return settled

    def flush(self) -> list[Settled]:
        """The stream has ended; what was still open."""
        return self._decided(self._shots.flush()) + self._with_faces(self._tracker.flush())

    def _decided(self, verdicts: list[ShotChange | None]) -> list[Settled]:
        settled = []
        for verdict in verdicts:
            entry = self._undecided.popleft()
            is_new_shot = verdict is not None
            self._shot += is_new_shot
            entry.result = replace(entry.result, shot=self._shot)
            self._tracked.append(entry)
            settled += self._with_faces(self._tracker.push(entry.detections, is_new_shot=is_new_shot))
        return settled

    def _with_faces(self, faces_by_frame: list[tuple[Face, ...]]) -> list[Settled]:
        entries = [self._tracked.popleft() for _ in faces_by_frame]
        return [
            (entry.frame, replace(entry.result, faces=faces))
            for entry, faces in zip(entries, faces_by_frame, strict=True)
        ]


def _groups(frames: Iterator[Frame], size: int) -> Iterator[list[Frame]]:
    """Lists of ``size`` frames, the last one maybe shorter."""
    return iter(lambda: list(islice(frames, size)), [])
