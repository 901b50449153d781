"""Workers on the machines of a Ray cluster: an actor each, so that losing a machine does not end the run.

All machines must see the same files, and have this package installed. The only file that imports Ray.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from acfd_stream.archive.ray_worker import RayWorker
from acfd_stream.archive.worker import Opener, Work, open_for
from acfd_stream.archive.workers import WorkerEvent, WorkerHandle, Workers
from acfd_stream.config import hush_ray
from acfd_stream.errors import BackendUnavailable
from acfd_stream.recording.episode import record_episode
from acfd_stream.recording.task import RecordingTask

OWN_CLUSTER = "local"
_CORES_A_WORKER = 4  # as on one machine
_STORE_BYTES = 128 * 2**20  # of a cluster of our own: tasks and figures are all that travels
_GRACE_SECONDS = 5.0
_CONNECT_SECONDS = 10.0
_THREADS = 4  # of an actor: for work, listen and stop, and one more


@dataclass(frozen=True)
class Share:
    """The resources of each worker in a cluster."""

    workers: int
    cores: float  # of one machine
    gpus: float

    @property
    def threads(self) -> int:
        """Threads of a worker's network and decoder."""
        return max(1, int(self.cores))


def shared_out(asked: int, machines: Sequence[tuple[float, float]]) -> Share:
    """How to divide a cluster between workers.

    Args:
        asked: how many workers the caller wants; 0: one a GPU, else one for every four cores.
        machines: cores and GPUs of each machine.
    """
    cores, gpus = sum(machine[0] for machine in machines), sum(machine[1] for machine in machines)
    workers = asked or int(gpus) or max(1, int(cores) // _CORES_A_WORKER)
    most = int(max((machine[0] for machine in machines), default=1))
    fitting = (each for each in range(most, 0, -1) if sum(machine[0] // each for machine in machines) >= workers)
    each_cores = float(next(fitting, 0)) or cores / workers
    return Share(workers, each_cores, 1.0 if gpus >= workers else gpus / workers)


@dataclass
class _Actor(WorkerHandle):
    actor: Any
    machine: str = ""
    heard: Any = None  # the reply of its ``listen`` to come

    @property
    def label(self) -> str:
        """Its name and where it is."""
        return f"{self.name}@{self.machine}"


class RayWorkers(Workers[_Actor]):
    """Actors of a Ray cluster; a context manager.

    Args:
        workers: how many; 0: as many as the cluster suggests.
        address: of the cluster, "auto" for the one that this machine belongs to; empty: one of this machine's own,
            which ends with the workers.
        device: "cpu" takes no GPU of the cluster.
        stall_seconds, work, open_detector: see ``Workers``.

    Raises:
        BackendUnavailable: Ray is not installed, or there is no cluster at ``address``.
    """

    def __init__(
        self,
        workers: int,
        *,
        address: str = "",
        device: str = "auto",
        stall_seconds: float = 600.0,
        work: Work = record_episode,
        open_detector: Opener = open_for,
    ) -> None:
        self._ray = _library()
        _require_listener(address)
        self._owns_session = not self._ray.is_initialized()
        super().__init__(stall_seconds, work, open_detector)
        if self._owns_session:
            _connect(self._ray, address or OWN_CLUSTER)
        try:
            machines = _machines(self._ray)
            self._share = shared_out(workers, [(cores, 0) for cores, _ in machines] if device == "cpu" else machines)
            self._workers = [self._started(f"ray-{number}") for number in range(self._share.workers)]
        except BaseException:
            self.close()
            raise

    def events(self, timeout_seconds: float) -> list[WorkerEvent]:
        """What has happened; see ``Workers``."""
        events: list[WorkerEvent] = []
        heard = [worker.heard for worker in self._workers if worker.task is not None]
        if not heard:
            threading.Event().wait(timeout_seconds)
            return events
        self._ray.wait(heard, num_returns=1, timeout=timeout_seconds)
        ready, _ = self._ray.wait(heard, num_returns=len(heard), timeout=0)
        for worker in [*self._workers]:
            if worker.heard in ready:
                self._read(worker, events)
        self._kill_stalled()  # what came while nobody asked is read by now
        return events

    def close(self) -> None:
        """End the actors; see ``Workers``."""
        workers, self._workers = self._workers, []
        for worker in workers:
            self._ray.kill(worker.actor)
        last = [worker.actor.stop.remote() for worker in workers]  # is refused when the actor is gone
        if last:
            self._ray.wait(last, num_returns=len(last), timeout=_GRACE_SECONDS)
        if self._owns_session:
            self._owns_session = False
            self._ray.shutdown()

    def _started(self, name: str) -> _Actor:
        share = self._share
        actor = self._ray.remote(RayWorker).options(
            num_cpus=share.cores,
            num_gpus=share.gpus,
            max_concurrency=_THREADS,
            max_restarts=0,  # the run gives its task again, and to any worker
            scheduling_strategy="SPREAD",
        )
        return _Actor(name, actor.remote(os.getcwd(), share.threads, self._work, self._open))

    def _read(self, worker: _Actor, events: list[WorkerEvent]) -> None:
        try:
            worker.machine, messages = self._ray.get(worker.heard)
        except self._ray.exceptions.RayError as error:
            self._lost(worker, _how_it_ended(error, worker.machine), events)
            return
        for message in messages:
            self._heard(worker, message, events)
        worker.heard = None if worker.task is None else worker.actor.listen.remote()

    def _send(self, worker: _Actor, task: RecordingTask) -> None:
        worker.actor.work.remote(task)
        worker.heard = worker.actor.listen.remote()

    def _tell_to_stop(self, worker: _Actor) -> None:
        worker.actor.stop.remote()

    def _kill(self, worker: _Actor) -> None:
        self._ray.kill(worker.actor)

    def _restarted(self, worker: _Actor) -> _Actor:
        return self._started(worker.name)

    def _lost(self, worker: _Actor, reason: str, events: list[WorkerEvent]) -> None:
        self._ray.kill(worker.actor)  # one that is only out of reach must not come back
        self._replace(worker, reason, events)


def _library() -> Any:
    hush_ray()
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise BackendUnavailable(
            f"engine ray cannot be used: {error}; pip install 'acfd-stream[ray]', or use --engine local"
        ) from error
    return ray


def _connect(ray: Any, address: str) -> None:
    """Join the cluster at ``address``, or begin one of our own."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _STORE_BYTES}
    restore = _signals()
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.ERROR,
            **(own if address == OWN_CLUSTER else {}),
        )
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise _no_cluster(address, _one_line(error)) from error
    finally:
        restore()


def _require_listener(address: str) -> None:
    """Refuse an address at which nobody answers; Ray would try for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except OSError as error:
        raise _no_cluster(address, (error.strerror or str(error)).lower()) from error


def _no_cluster(address: str, reason: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"no Ray cluster at {address!r} ({reason}); check the address, or leave it out for one of this machine"
    )


def _signals() -> Callable[[], None]:
    """What puts the signals back to what they are now: Ray takes SIGTERM, which here means save and stop."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    return restore


def _machines(ray: Any) -> list[tuple[float, float]]:
    """Cores and GPUs of each machine of the cluster."""
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [(float(one.get("CPU", 0)), float(one.get("GPU", 0))) for one in resources]


def _how_it_ended(error: Exception, machine: str) -> str:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    where = machine or "a machine of the cluster"
    if "OutOfMemoryError" in kinds:
        return f"killed on {where} for want of memory"
    if "NodeDiedError" in kinds or "node has died" in str(error):
        return f"{where} has left the cluster"
    if "ActorDiedError" in kinds or "ActorUnavailableError" in kinds:
        return f"its process on {where} ended: {_one_line(error)}"
    return _one_line(error)


def _one_line(error: Exception) -> str:
    """The last line of what Ray says, which names the cause; it writes pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]
