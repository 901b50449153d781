"""The registry of streams that the dashboard reads, with the metrics of each stream.

A stream reports each frame to its ``StreamMetrics``, which counts it in the Prometheus metrics, in the history of all
streams and in its own. Memory does not grow with the length of a stream. The last few closed streams are kept.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from acfd_stream.metrics import DecodeFault, InputKind, Metrics, StreamState
from acfd_stream.service.streams.history import History
from acfd_stream.service.streams.preview import Preview
from acfd_stream.types import FrameResult, Gap, MediaInfo, Mode, Outcome

ENDED_STREAMS = 12
_STREAM_STEP_SECONDS, _STREAM_STEPS = 5.0, 60
Clock = Callable[[], float]


@dataclass(frozen=True)
class StreamInfo:
    """What is known about a stream before its first byte."""

    stream_id: str
    name: str = ""  # chosen by its client
    mode: Mode = Mode.FILE
    input_kind: InputKind = InputKind.BYTES
    objective_seconds: float | None = None  # None: in file mode
    shows_overlay: bool = False  # its client allows a preview


class StreamMetrics:
    """Metrics of one stream. One thread writes, any may read."""

    def __init__(self, info: StreamInfo, registry: StreamRegistry, clock: Clock) -> None:
        self.info = info
        self.began_at = clock()
        self.ended_at: float | None = None
        self.media: MediaInfo | None = None
        self.error = ""
        self.tracks = 0
        self.shots = 0
        self.state: StreamState | None = StreamState.OPENING
        self.history = History(_STREAM_STEP_SECONDS, _STREAM_STEPS, clock)
        self.overlay = Preview(clock) if info.shows_overlay else None
        self._registry = registry
        self._clock = clock
        self._last_shot = 0
        registry.metrics.stream_moved(None, StreamState.OPENING)

    def understood(self, media: MediaInfo) -> None:
        """The container is open."""
        self.media = media
        self._move(StreamState.RUNNING)

    def frame(self, result: FrameResult) -> None:
        """Count a result that was sent; its timings include the time to send it."""
        metrics, verdict = self._registry.metrics, result.verdict
        outcome = verdict.outcome
        if outcome in (Outcome.OK, Outcome.LATE):
            latency, reused = verdict.latency_seconds or 0.0, result.reused
            metrics.frame_answered(
                self.info.mode, self.info.input_kind, outcome, latency, result.timings, reused=reused
            )
            for history in self._histories():
                history.answered(verdict, result.timings, is_reused=reused)
        else:
            if outcome is Outcome.DROPPED and verdict.drop_reason is not None:
                metrics.frame_dropped(verdict.drop_reason)
            else:
                metrics.frames.of(Outcome.FAILED).inc()
                metrics.decode_error(self.media.codec if self.media else None, DecodeFault.FRAME)
            for history in self._histories():
                history.lost(outcome, reason=verdict.drop_reason)
        if result.is_damaged:
            metrics.damaged.inc()
        metrics.links(result.links)
        self._note_shot(result)

    def tracks_started(self, total: int) -> None:
        """The stream has started ``total`` tracks so far."""
        if total > self.tracks:
            self._registry.metrics.tracks.inc(total - self.tracks)
            self.tracks = total

    def media_error(self, fault: DecodeFault, error: str) -> None:
        """Its media cannot be opened, broke off, or is unusual."""
        self.error = error
        self._registry.metrics.decode_error(self.media.codec if self.media else None, fault)

    def gaps(self, gaps: Sequence[Gap]) -> None:
        """Its media ended and has these holes."""
        self._registry.metrics.gaps(gaps)

    def draining(self) -> None:
        """The server drains: the stream sends its last results."""
        self._move(StreamState.DRAINING)

    def end(self, error: str = "") -> None:
        """The stream has ended; a second call does nothing."""
        if self.state is None:
            return
        self.error = self.error or error
        self.ended_at = self._clock()
        if self.overlay is not None:
            self.overlay.close()
        self._move(None)
        self._registry.forget(self)

    def _histories(self) -> tuple[History, ...]:
        return self.history, self._registry.history(self.info.mode)

    def _note_shot(self, result: FrameResult) -> None:
        if result.shot > self._last_shot:
            self._registry.metrics.shots.inc(result.shot - self._last_shot)
            self.shots += result.shot - self._last_shot
            self._last_shot = result.shot

    def _move(self, state: StreamState | None) -> None:
        if self.state is not None and self.state is not state:
            self._registry.metrics.stream_moved(self.state, state)
            self.state = state


class StreamRegistry:
    """The open and recently closed streams of a server.

    Args:
        metrics: the Prometheus metrics, which count the same frames.
        clock: seconds that never decrease.
    """

    def __init__(self, metrics: Metrics | None = None, clock: Clock = time.monotonic) -> None:
        self.metrics = metrics or Metrics.none()
        self.clock = clock
        self.began_at = clock()
        self._histories = {mode: History(clock=clock) for mode in Mode}
        self._lock = threading.Lock()
        self._open: dict[str, StreamMetrics] = {}
        self._ended: deque[StreamMetrics] = deque(maxlen=ENDED_STREAMS)

    def open_stream(self, info: StreamInfo) -> StreamMetrics:
        """The metrics of an admitted stream; the caller must call ``end``."""
        meter = StreamMetrics(info, self, self.clock)
        with self._lock:
            self._open[info.stream_id] = meter
        return meter

    def forget(self, meter: StreamMetrics) -> None:
        """Move a stream that has ended to the recently closed ones."""
        with self._lock:
            if self._open.pop(meter.info.stream_id, None) is not None:
                self._ended.append(meter)

    def streams(self) -> list[StreamMetrics]:
        """The open streams, oldest first."""
        with self._lock:
            return sorted(self._open.values(), key=lambda meter: meter.began_at)

    def ended(self) -> list[StreamMetrics]:
        """The recently closed streams, latest first."""
        with self._lock:
            return list(reversed(self._ended))

    def stream(self, stream_id: str) -> StreamMetrics | None:
        """The open stream with that id; None if there is none."""
        with self._lock:
            return self._open.get(stream_id)

    def history(self, mode: Mode) -> History:
        """The history of all streams of a mode."""
        return self._histories[mode]
