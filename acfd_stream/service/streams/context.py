"""What all streams of a server share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from acfd_stream.metrics import Metrics
from acfd_stream.picture_budget import PictureBudget
from acfd_stream.pipeline.capacity import Capacity
from acfd_stream.pipeline.scheduler import Scheduler
from acfd_stream.service.access.callers import Callers
from acfd_stream.service.access.token_signer import TokenSigner
from acfd_stream.service.decoding import Decoders
from acfd_stream.service.embedding import SharedEmbedder
from acfd_stream.service.settings import ServiceSettings
from acfd_stream.service.settings.callers import CallerLimits
from acfd_stream.service.streams.registry import StreamRegistry


def _packing_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="acfd-pack")


@dataclass(frozen=True)
class StreamContext:
    """What all streams of a server share."""

    settings: ServiceSettings
    scheduler: Scheduler
    capacity: Capacity
    registry: StreamRegistry
    metrics: Metrics
    signer: TokenSigner
    budget: PictureBudget
    decoders: Decoders
    embedder: SharedEmbedder
    callers: Callers = field(default_factory=lambda: Callers(lambda caller: CallerLimits()))
    packing: ThreadPoolExecutor = field(default_factory=_packing_thread)  # packs resume points
