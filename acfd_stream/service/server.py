"""The server: builds gRPC, engine, streams, jobs, metrics and page; starts, drains and stops them in order."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib import metadata

from prometheus_client import CollectorRegistry

from acfd_stream.detect import Detector
from acfd_stream.errors import ConfigError
from acfd_stream.metrics import Metrics, Pool, Refusal
from acfd_stream.picture_budget import PictureBudget
from acfd_stream.pipeline.capacity import Capacity
from acfd_stream.pipeline.cpu_overhead import measure_cpu_overhead
from acfd_stream.pipeline.live_input_size import LiveInputSize, choose_live_view
from acfd_stream.pipeline.scheduler import Scheduler
from acfd_stream.places import most_places
from acfd_stream.service.access.caller_gate import CallerGate
from acfd_stream.service.access.callers import Callers, Held, LimitTable
from acfd_stream.service.access.callers_page import CallersPage, Usage
from acfd_stream.service.access.interceptor import AccessInterceptor
from acfd_stream.service.access.resume_token import most_state_bytes
from acfd_stream.service.access.tls import server_credentials
from acfd_stream.service.access.token_signer import TokenSigner
from acfd_stream.service.calls.handler import CallLimits, Handlers
from acfd_stream.service.calls.pool import WAITING, CallPool
from acfd_stream.service.calls.server import LoopServer
from acfd_stream.service.connections import AddressBound, connection_options, most_of_address
from acfd_stream.service.dashboard.http_server import DashboardServer, is_loopback
from acfd_stream.service.dashboard.page_data import ServiceInfo
from acfd_stream.service.decoding import Decoders
from acfd_stream.service.embedding import SharedEmbedder
from acfd_stream.service.health import Health, add_reflection
from acfd_stream.service.interceptors.call_log import CallLogInterceptor
from acfd_stream.service.interceptors.call_metrics import CallMetricsInterceptor
from acfd_stream.service.interceptors.malformed import MalformedInterceptor
from acfd_stream.service.interceptors.not_ready import LateServicer, NotReadyInterceptor
from acfd_stream.service.interceptors.short_memory import ShortMemoryInterceptor
from acfd_stream.service.jobs.build import Jobs
from acfd_stream.service.memory_guard import MemoryGuard
from acfd_stream.service.settings import ServiceSettings, filled_limits
from acfd_stream.service.status import StatusInterceptor
from acfd_stream.service.streams.context import StreamContext
from acfd_stream.service.streams.host import STREAM_GRACE_SECONDS, StreamHost
from acfd_stream.service.streams.registry import StreamRegistry
from acfd_stream.service.streams.servicer import FaceTrackServicer
from acfd_stream.service.tracing import Tracing
from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc, job_pb2, job_pb2_grpc
from acfd_stream.video.nvdec import choose_decoder
from acfd_stream.wire.channel import server_options

SERVICES = (
    face_track_pb2.DESCRIPTOR.services_by_name["FaceTrackService"],
    job_pb2.DESCRIPTOR.services_by_name["JobService"],
)
_REFUSING_THREADS = 8  # for streams beyond the limit, until they are refused
_STOP_SECONDS = 1.0  # for responses in flight when the server stops
_SIGNAL_SECONDS = 0.5
_PICTURE_THREADS = 2  # a live frame is faster with two; more gain little on pictures of the network's input size
_log = logging.getLogger(__name__)


class Server:
    """A server over one engine; a context manager.

    Args:
        settings: of the server.
        detector: the engine, which the caller closes; None: open the one in the settings.
        registry: the Prometheus registry; None: a new one.

    Example:
        >>> with Server(ServiceSettings(listen="127.0.0.1:0", metrics="")) as server:
        ...     server.port
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        detector: Detector | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics(registry)
        self.streams = StreamRegistry(self.metrics)
        self.health = Health([service.full_name for service in SERVICES])
        self.host: StreamHost | None = None
        self.port = 0
        self.dashboard: DashboardServer | None = None
        self.memory = MemoryGuard(settings.limits.memory_share, self.metrics)
        self._detector = detector
        self._access = AccessInterceptor(settings.access)
        self.callers = Callers(
            LimitTable(settings.callers, self._access.grants),
            {
                Held.STREAMS: settings.limits.streams,
                Held.SHORT_CALLS: WAITING * settings.limits.calls,
                Held.RESULT_STREAMS: settings.jobs.result_streams,
            },
            settings.callers.newcomers,
            self.metrics.refusals.of(Refusal.QUOTA).inc,
        )
        most_bytes = most_state_bytes(settings.limits.frame_pixels)
        self._signer = TokenSigner.of(settings.access.resume_key, settings.jobs.state_dir, most_bytes)
        self._budget = PictureBudget(
            settings.limits.picture_bytes,
            self.metrics.held_bytes.of(Pool.STILLS).inc,
            self.metrics.refusals.of(Refusal.MEMORY).inc,
        )
        self._face_tracks, self._job_calls = LateServicer(), LateServicer()
        self._grpc: LoopServer | None = None
        self._addresses: AddressBound | None = None
        self._jobs: Jobs | None = None
        self._opened = ExitStack()
        self._stopping = threading.Lock()
        self._stopped = threading.Event()

    def start(self) -> Server:
        """Listen, warm up, and serve. Health is NOT_SERVING until the engine is warm.

        Raises:
            ConfigError: the address cannot be bound, or a setting is invalid.
            CastError: the cast is damaged, no cast, or has embeddings of another network.
            RunnerError: the model does not exist or its file is invalid.
            BackendUnavailable: the requested device cannot be used.
        """
        try:
            self._listen()
            self._warm_up()
            self.memory.update()
        except BaseException:
            self.stop(0.0)
            raise
        self.health.serve()
        _log.info("serving on %s", self.address)
        return self

    def reload(self) -> None:
        """Read the token file again."""
        self._access.reload()

    def wait(self) -> None:
        """Return when the server has stopped."""
        while not self._stopped.wait(_SIGNAL_SECONDS):  # a signal just before a wait is handled after it
            pass

    def stop(self, drain_seconds: float | None = None) -> bool:
        """Set health to NOT_SERVING, drain the streams, and stop. May be called again with a shorter time.

        Args:
            drain_seconds: time for streams to finish; None: that of the settings.

        Returns:
            Whether every stream ended, or got its resume point, in time.
        """
        seconds = self.settings.drain_seconds if drain_seconds is None else drain_seconds
        self.health.drain()
        is_empty = True
        if self.host is not None:
            self.host.refuse(seconds)
        if self._jobs is not None:
            self._jobs.close()
        if self.host is not None:
            is_empty = self.host.wait_empty()
        with self._stopping:
            if self._grpc is not None:
                self._grpc.stop(_STOP_SECONDS)
            self._opened.close()
            self._stopped.set()
        return is_empty

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop(0.0)

    @property
    def address(self) -> str:
        """The address that it listens on, with the actual port."""
        listen = self.settings.listen
        return listen if listen.startswith("unix:") else f"{listen.rpartition(':')[0]}:{self.port}"

    @property
    def state(self) -> str:
        """One of "starting", "serving" and "draining"."""
        if self.health.is_serving:
            return "serving"
        return "starting" if self.host is None else "draining"

    def _check(self) -> None:
        """Called several times a second."""
        self._access.withdraw_invalid()
        self.memory.update()
        if self._addresses is not None:
            self._addresses.enforce()

    def _listen(self) -> None:
        settings, limits = self.settings, self.settings.limits
        tracing = Tracing.open(settings.trace)
        self._opened.callback(tracing.close)
        interceptors = [
            CallMetricsInterceptor(self.metrics, SERVICES),
            CallLogInterceptor(tracing),
            self._access,
            ShortMemoryInterceptor(self.memory),
            StatusInterceptor(),
            MalformedInterceptor(),
            NotReadyInterceptor(SERVICES, lambda: self.host is not None),
        ]
        places = partial(most_places, newcomers=settings.callers.newcomers)
        threads = places(limits.streams) + places(settings.jobs.result_streams)
        streams = CallPool(threads + _REFUSING_THREADS, "acfd-stream-call")
        calls = CallPool(limits.calls, "acfd-call")
        self._opened.callback(streams.close)
        self._opened.callback(calls.close)
        longest = max(limits.call_seconds, limits.stream_seconds + STREAM_GRACE_SECONDS)
        times = CallLimits(limits.first_message_seconds, limits.call_seconds, longest)
        options = server_options(settings.keepalive, limits.message_bytes)
        options += connection_options(settings.connections, longest)
        server = LoopServer(Handlers(interceptors, times, streams, calls, CallerGate(self.callers).enter), options)
        self._opened.callback(server.stop, 0.0)
        self.health.add_to(server)
        add_reflection(server, [service.full_name for service in SERVICES])
        face_track_pb2_grpc.add_FaceTrackServiceServicer_to_server(self._face_tracks, server)
        job_pb2_grpc.add_JobServiceServicer_to_server(self._job_calls, server)
        self.port = _bound(server, settings)
        if self.port:
            self._addresses = AddressBound(self.port, most_of_address(settings.connections))
        server.start()
        self._grpc = server

    def _warm_up(self) -> None:
        settings, opened = self.settings, self._opened
        embedder = opened.enter_context(SharedEmbedder(settings.characters.model, self.metrics, settings.cast))
        detect = replace(settings.detect, picture_threads=settings.detect.picture_threads or _PICTURE_THREADS)
        detector = self._detector or opened.enter_context(Detector.open(settings.model, settings.device, detect))
        info = ServiceInfo(
            metadata.version("acfd-stream"),
            detector.spec.name,
            detector.description,
            is_fallback=detector.facts.is_fallback,
            objective_seconds=settings.objective_seconds,
        )
        self.metrics.build(info.version, detector.spec.name, detector.spec.version)
        self.metrics.objective.set(settings.objective_seconds)
        self.metrics.headroom.set(1.0)  # an autoscaler must not mistake a starting server for a full one
        if settings.metrics:
            self.dashboard = self._dashboard(info).start()
            opened.callback(self.dashboard.close)
        scheduler = Scheduler(detector, settings.scheduler, metrics=self.metrics)
        opened.callback(scheduler.close, drain=False)
        capacity = self._capacity(detector, scheduler)
        decoders = Decoders(settings.decoding, self.metrics)
        shared = (settings, scheduler, capacity, self.streams, self.metrics, self._signer, self._budget, decoders)
        host = StreamHost(StreamContext(*shared, embedder, self.callers), self._check)
        opened.callback(host.close)
        self._face_tracks.servicer = FaceTrackServicer(host)
        given = (self.metrics, capacity, self.callers, decoders, embedder, lambda: self.memory.is_short)
        self._jobs = jobs = Jobs(settings, detector, scheduler.open_shared, *given)
        opened.callback(jobs.close)
        self._job_calls.servicer = jobs.servicer
        jobs.start()
        # Last: its absence in a scrape means that the engine is not warm.
        decoder, facts = choose_decoder(device=detector.device).name, detector.facts
        self.metrics.engine(
            facts.backend, facts.precision, trt=facts.trt, sm=facts.sm, decoder=decoder, is_fallback=facts.is_fallback
        )
        self.host = host

    def _dashboard(self, info: ServiceInfo) -> DashboardServer:
        def job_usage() -> Usage:
            return {} if self._jobs is None else self._jobs.usage()

        settings = self.settings
        page = CallersPage(self.callers, job_usage, lambda limits: filled_limits(limits, settings), self._access.find)
        return DashboardServer(settings.metrics, self.streams, info, lambda: self.state, callers=page.answer)

    def _capacity(self, detector: Detector, scheduler: Scheduler) -> Capacity:
        """The capacity of this machine, measured before the first call is served."""
        settings, costs = self.settings, scheduler.costs
        sizes, objective_seconds = settings.scheduler.warm_sizes, settings.objective_seconds
        if settings.live_size:
            live_view = LiveInputSize(settings.live_size)
            costs.measure_view(detector, sizes, settings.live_size)
        else:
            live_view = choose_live_view(detector, costs, sizes, objective_seconds)
        for size in sizes:
            scheduler.prepare(size, live_view.side)
        upkeep_seconds = settings.capacity.frame_seconds or max(measure_cpu_overhead(size) for size in sizes)
        config = replace(settings.capacity, objective_seconds=objective_seconds)
        return Capacity(
            costs,
            config,
            settings.scheduler,
            self.metrics,
            upkeep_seconds,
            live_view,
            settings.callers.newcomers,
            self._live_share,
        )

    def _live_share(self) -> float:
        """Share of the load limit for live streams of one caller; all of it where there can be no other caller."""
        tokens = len(self._access.grants())
        listen = self.settings.listen
        is_local = listen.startswith("unix:") or is_loopback(listen.rpartition(":")[0].strip("[]"))
        is_alone = tokens == 1 or (tokens == 0 and is_local)
        return 1.0 if is_alone else self.settings.callers.load_share


def _bound(server: LoopServer, settings: ServiceSettings) -> int:
    """Bind ``server`` to its address; returns the port.

    Raises:
        ConfigError: the address cannot be bound.
    """
    credentials = server_credentials(settings.tls)
    try:
        return server.add_port(settings.listen, credentials)
    except RuntimeError as error:
        raise ConfigError(f"cannot listen on {settings.listen}; is the port taken? ({error})") from error
