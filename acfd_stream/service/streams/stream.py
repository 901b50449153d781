"""One stream, from its admission to its last message.

Three threads share it: a reader feeds the client's messages to the source, a worker runs the TrackSession and queues
its results, and the thread of the call sends them. However the stream ends, the worker releases its resources.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, BinaryIO

import grpc

from acfd_stream.errors import AcfdError, MediaError
from acfd_stream.metrics import DecodeFault, InputKind, Pool
from acfd_stream.pipeline.capacity import Reservation
from acfd_stream.pipeline.checkpoint import SessionState, damage_as_resume_error
from acfd_stream.pipeline.live import slowest_stage, verdict_for
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.pipeline.shared_engine import SharedEngine
from acfd_stream.pipeline.stage_times import StageTimes
from acfd_stream.recording.header import settings_of
from acfd_stream.service.model_messages import loaded_model_pb
from acfd_stream.service.progress import ProgressLog
from acfd_stream.service.requests import StreamRequest
from acfd_stream.service.status import StatusError, draining
from acfd_stream.service.streams.context import StreamContext
from acfd_stream.service.streams.rate import SHORT_SECONDS, RateHold, demand_of
from acfd_stream.service.streams.registry import StreamInfo, StreamMetrics
from acfd_stream.service.streams.request_reader import RequestReader
from acfd_stream.service.streams.response_queue import ControlMessage, QueuedResult, ResponseQueue
from acfd_stream.service.streams.resume_point import resume_point
from acfd_stream.types import FrameResult, Outcome
from acfd_stream.v1 import stream_pb2
from acfd_stream.video import FrameFeed, open_video
from acfd_stream.video.bytestream import ByteStream
from acfd_stream.wire.messages import characters_pb, duration_pb, gaps_pb, media_info_pb, rational_pb, results_pb

Source = ByteStream | FrameFeed | str | BinaryIO
_BLOCKED_SECONDS = 0.1  # a send that takes longer waits for the client
_LIVE_QUEUE = 8  # results; more would be late before they are sent
_log = logging.getLogger(__name__)


class StreamCall:
    """One stream; ``release`` is called once, when it holds no resource any more."""

    def __init__(
        self, context: StreamContext, stream_id: str, owner: str, caller: str, release: Callable[[], None]
    ) -> None:
        self.stream_id, self.owner, self.caller = stream_id, owner, caller
        self.began_at, self.start_time = time.monotonic(), time.time()
        self.request: StreamRequest | None = None
        self.meter: StreamMetrics | None = None
        self.session: TrackSession | None = None
        self.reader: RequestReader | None = None
        self.stage_times = StageTimes(("encode", "send", "latency"))
        self.cancel_call: Callable[[], object] = lambda: None
        self._decoder = context.decoders.new()
        self.sending_since: float | None = None
        self._context, self._release = context, release
        self._responses: ResponseQueue | None = None
        self._source: Source | None = None
        self._engine: SharedEngine | None = None
        self._held_bytes: dict[Pool, int] = {}
        self._hands_over_since: float | None = None
        self._hand_over_error: Callable[[], StatusError] = draining
        self._sent = 0  # results
        seconds = context.settings.limits.idle_seconds
        self.progress = ProgressLog(max(2 * seconds, SHORT_SECONDS))
        self._hold = RateHold(seconds, context.metrics.held_frames.inc)
        self._lock = threading.Lock()
        self._is_released = False
        self._stopped: BaseException | None = None

    # Called on the thread of the call.

    def begin(self, request: StreamRequest, input_kind: InputKind, source: Source, reservation: Reservation) -> None:
        """Start the worker, which takes over ``source`` and ``reservation``."""
        answers, metrics = self._context.settings.answers, self._context.metrics
        objective = request.pace.objective_seconds if request.is_live else None
        info = StreamInfo(self.stream_id, request.name, request.mode, input_kind, objective, request.shows_overlay)
        capacity = _LIVE_QUEUE if request.is_live else 2 * answers.results
        wait_seconds = 0.0 if request.is_live else answers.wait_seconds
        with self._lock:
            self.request, self._source = request, source
            self.meter = self._context.registry.open_stream(info)
            self._responses = ResponseQueue(capacity, answers.results, wait_seconds, metrics)
        threading.Thread(
            target=self._work, args=(request, source, reservation), name=f"acfd-stream-{self.stream_id}", daemon=True
        ).start()
        if self._stopped is not None:  # it was stopped meanwhile
            self.stop(self._stopped)

    def messages(self, make: Callable[..., Any]) -> Iterator[Any]:
        """The response messages, of class ``make``; raises the error that ended the stream."""
        responses = self._responses
        if responses is None:
            return
        while (batch := responses.take()) is not None:
            if isinstance(batch, ControlMessage):
                message, results = make(**{batch.field: batch.content}), []
            else:
                results = [self._to_send(queued) for queued in batch]
                with damage_as_resume_error(is_resumed=self.request is not None and self.request.resume is not None):
                    message = make(results=results_pb(results))
            begin = self.sending_since = time.monotonic()
            yield message
            self.sending_since = None
            self._count(results, time.monotonic() - begin)

    def close(self) -> None:
        """The call has ended. The worker releases everything; without a worker it is released now."""
        self.abandon()
        self.reader = None  # it refers to this stream: without a cycle the stream is freed at once
        self.cancel_call = lambda: None
        with self._lock:
            has_worker = self._responses is not None
        if not has_worker:
            self._release_once()
            self._stopped = None

    # Called on any thread.

    def abandon(self) -> None:
        """The client is gone."""
        if self._responses is not None:
            self._responses.leave()
        self.stop(StatusError(grpc.StatusCode.CANCELLED, "CANCELLED", "the call was cancelled"))

    def stop(self, error: BaseException) -> None:
        """End the stream with ``error``, after the queued results. Does not wait."""
        with self._lock:
            self._stopped = self._stopped or error
            responses, source, session = self._responses, self._source, self.session
        reader = self.reader
        if reader is not None:
            reader.leave(error)
        if responses is not None:
            responses.finish(error)
        self._hold.stop()
        if session is not None:
            session.stop()
        for held in (self._engine, self._decoder):  # frees queue slots, and ends a decoder, at once
            if held is not None:
                held.close()
        if isinstance(source, ByteStream | FrameFeed):
            source.abort("the stream was ended")

    def hand_over(self, error: Callable[[], StatusError] = draining) -> None:
        """Send a resume point and end with ``error``, by default that of a server that drains. Does not wait."""
        if self._hands_over_since is None:
            self._hand_over_error = error
            self._hands_over_since = time.monotonic()
            if self.meter is not None:
                self.meter.draining()
            self._hold.stop()
            if self.session is not None:
                self.session.stop()

    @property
    def handing_over_seconds(self) -> float:
        """Time since ``hand_over``; 0: it was not called."""
        return 0.0 if self._hands_over_since is None else time.monotonic() - self._hands_over_since

    @property
    def waiting_bytes(self) -> int:
        """Bytes that were received and not decoded yet."""
        return self._source.waiting_bytes if isinstance(self._source, ByteStream | FrameFeed) else 0

    @property
    def is_silent(self) -> bool:
        """Whether the stream only waits for the client to send."""
        is_busy = self.waiting_bytes > 0 or (self.session is not None and self.session.waiting_bytes > 0)
        return not is_busy and (self._responses is None or self._responses.is_empty)

    def note(self) -> None:
        """Note how fast the stream advances; called regularly, by one thread."""
        reader, session, since = self.reader, self.session, self.sending_since
        self.progress.note(
            0 if reader is None else reader.received_bytes,
            0 if session is None else session.frames_read,
            self._sent,
            is_starved=self.is_silent and (reader is None or reader.silence_seconds > 0),
            is_blocked=since is not None and time.monotonic() - since > _BLOCKED_SECONDS,
        )
        self._hold.measure(self.progress)
        with self._lock:
            frames = 0 if session is None else session.waiting_bytes
            now = {} if self._is_released else {Pool.INGEST: self.waiting_bytes, Pool.FRAMES: frames}
            self._set_bytes(now)

    def _set_bytes(self, now: dict[Pool, int]) -> None:
        for pool in (Pool.INGEST, Pool.FRAMES):
            self._context.metrics.held_bytes.of(pool).inc(now.get(pool, 0) - self._held_bytes.get(pool, 0))
        self._held_bytes = now

    # Called on the worker.

    def _work(self, request: StreamRequest, source: Source, reservation: Reservation) -> None:
        responses, error = self._responses, None
        try:
            with ExitStack() as opened:
                opened.callback(reservation.release)
                if not isinstance(source, ByteStream | FrameFeed | str):
                    opened.callback(source.close)
                self._run(opened, request, source, reservation)
        except BaseException as raised:
            error = self._stopped or raised
            if error is raised and not isinstance(error, AcfdError):
                _log.error("stream %s failed", self.stream_id, exc_info=error)
        finally:
            if responses is not None:
                responses.finish(error)
            self._release_once(error)
            error = self._stopped = None  # its traceback refers to this frame, and so to the stream

    def _run(self, opened: ExitStack, request: StreamRequest, source: Source, reservation: Reservation) -> None:
        session = self._opened_session(opened, request, source)
        with self._lock:
            self.session = session
        self._require_running()
        demand = demand_of(request, self.caller, session.info)
        reservation.change(demand)
        if request.is_live:
            self._hold.begin(reservation, demand, request.declared_rate)
        if self.meter is not None:
            self.meter.understood(session.info)
        self._put(ControlMessage("start", self._start(request, session)))
        count = self._results(session, 0 if request.resume is None else request.resume.next_result)
        if self._hands_over_since is not None and not session.is_finished and session.error is None:
            self._put(self._resume_point(session.snapshot()))
            raise self._hand_over_error()
        self._end(session, count)

    def _require_running(self) -> None:
        """Raise the error that ended the stream while it was being opened."""
        if self._stopped is not None:
            raise self._stopped
        if self._hands_over_since is not None:
            raise self._hand_over_error()

    def _opened_session(self, opened: ExitStack, request: StreamRequest, source: Source) -> TrackSession:
        if self._decoder is not None and (not request.is_live or self._context.callers.has_faults(self.caller)):
            self._decoder.give_way()
        engine = self._engine = opened.enter_context(
            self._context.scheduler.open_shared(request.queue, request.view_side)
        )
        try:
            session = TrackSession(
                source,
                detector=engine,
                video_config=request.video,
                track_config=request.track,
                shot_config=request.shot,
                pace=request.pace,
                resume=request.resume,
                gate=self._hold if request.is_live else None,
                budget=self._context.budget,
                characters=request.characters,
                embedder=None if request.characters is None else self._context.embedder.open(),
                cast=None if request.characters is None else self._context.embedder.cast,
                opener=open_video if self._decoder is None else opened.enter_context(self._decoder).open,
            )
        except MediaError as error:
            if self.meter is not None and self._stopped is None:
                self.meter.media_error(DecodeFault.OPEN, str(error))
            raise
        return opened.enter_context(session)

    def _results(self, session: TrackSession, count: int) -> int:
        """Queue all results; the number of results, ``count`` of which came before a resume."""
        first_seconds: float | None = None
        saved_at, saving = time.monotonic(), None
        overlay = None if self.meter is None else self.meter.overlay
        for frame, result in session.with_wanted_frames(lambda: overlay is not None and overlay.is_wanted):
            count += 1
            if overlay is not None and frame is not None:
                overlay.show(frame, result)
            self._observe_cost(session, result.timings)
            first_seconds = result.pts_seconds if first_seconds is None else first_seconds
            self._put(QueuedResult(result, time.perf_counter()))
            if saving is None and time.monotonic() - saved_at >= self._context.settings.answers.resume_seconds:
                saving = self._context.packing.submit(self._resume_point, session.snapshot())
                saved_at = time.monotonic()
            if saving is not None and (saving.done() or not session.pace.is_live):  # a live frame does not wait for it
                self._put(saving.result())
                saving = None
            self._require_short(result.pts_seconds - first_seconds)
        return count

    def _resume_point(self, snapshot: Callable[[], SessionState]) -> ControlMessage:
        return resume_point(snapshot, self._context.signer, self._context.settings.limits.message_bytes)

    def _observe_cost(self, session: TrackSession, seconds: Mapping[str, float]) -> None:
        """Report the CPU time of a frame besides the network, if all of it was measured."""
        if {"decode", "preprocess", "infer", "track"} <= seconds.keys():
            cpu_seconds = seconds["preprocess"] + seconds["track"]
            self._context.capacity.observe(session.info.display_size, seconds["decode"], cpu_seconds)

    def _put(self, entry: QueuedResult | ControlMessage) -> None:
        if self._responses is None or not self._responses.put(entry):
            raise self._stopped or draining()

    def _require_short(self, seconds: float) -> None:
        most = self._context.settings.limits.duration_seconds
        if seconds > most:
            message = f"the stream exceeds {most:g} s of media, the limit of this server; send it in parts"
            raise StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, "DURATION_LIMIT", message)

    def _start(self, request: StreamRequest, session: TrackSession) -> stream_pb2.TrackStart:
        return stream_pb2.TrackStart(
            stream_id=self.stream_id,
            info=media_info_pb(session.info),
            model=loaded_model_pb(session.detector),
            settings_json=json.dumps(settings_of(session)),
            objective=duration_pb(request.pace.objective_seconds) if request.is_live else None,
            first_index=0 if request.resume is None else request.resume.next_result,
            character_model=None if request.characters is None else self._context.embedder.message(),
        )

    def _end(self, session: TrackSession, count: int) -> None:
        if self.meter is not None:
            self.meter.tracks_started(session.tracks)
            if session.error is not None:
                self.meter.media_error(DecodeFault.BROKEN, session.error)
            elif session.warnings:
                self.meter.media_error(DecodeFault.WARNING, session.warnings[0])
            self.meter.gaps(session.gaps)
        if self._stopped is not None:
            raise self._stopped
        end = stream_pb2.TrackEnd(
            frame_count=count,
            track_count=session.tracks,
            is_complete=session.is_complete,
            error=session.error or "",
            warnings=session.warnings,
            gaps=gaps_pb(session.gaps),
            last_frame=None if session.last_seconds is None else rational_pb(session.last_seconds),
            characters=characters_pb(session.characters),
        )
        self._put(ControlMessage("end", end))

    def _release_once(self, error: BaseException | None = None) -> None:
        with self._lock:
            if self._is_released:
                return
            self._is_released = True
            self._set_bytes({})
        if self.meter is not None:
            self.meter.end("" if error is None else str(error))
        self._release()

    # On the thread of the call.

    def _to_send(self, queued: QueuedResult) -> FrameResult:
        """The result with the time that it waited in the queue, and the verdict that follows from that."""
        result, verdict = queued.result, queued.result.verdict
        waited = time.perf_counter() - queued.at
        timings = {**result.timings, "encode": waited}
        if self.request is not None and verdict.outcome in (Outcome.OK, Outcome.LATE):
            verdict = verdict_for((verdict.latency_seconds or 0.0) + waited, timings, self.request.pace)
        return replace(result, timings=timings, verdict=verdict)

    def _count(self, results: list[FrameResult], send_seconds: float) -> None:
        self._sent += len(results)
        for result in results:
            self.stage_times.add({"encode": result.timings["encode"], "send": send_seconds})
            if result.verdict.latency_seconds is not None:
                self.stage_times.add({"latency": result.verdict.latency_seconds})
            if self.meter is not None:
                self.meter.frame(with_send_time(result, send_seconds))
        if results and self.meter is not None and self.session is not None:
            self.meter.tracks_started(self.session.tracks)


def with_send_time(result: FrameResult, send_seconds: float) -> FrameResult:
    """``result`` once it is sent: the cause of a late frame is now known from all stages."""
    timings, verdict = {**result.timings, "send": send_seconds}, result.verdict
    if verdict.outcome is Outcome.LATE:
        verdict = replace(verdict, cause=slowest_stage(timings))
    return replace(result, timings=timings, verdict=verdict)
