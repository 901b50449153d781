"""What one caller may hold at once: ``[callers]`` of the file, and the quotas of a token."""

from __future__ import annotations

from dataclasses import dataclass

from acfd_stream.checked import Checked
from acfd_stream.places import NEWCOMERS


@dataclass(frozen=True)
class CallerLimits(Checked):
    """What one caller may hold at once; 0: as much as the service takes from all callers together."""

    calls: int = 256
    """Maximum concurrent calls of all kinds but health and reflection, >= 0."""
    streams: int = 0
    """Maximum concurrent streams (Track and TrackUri), >= 0; see `streams` of `[limits]`."""
    uploads: int = 0
    """Maximum concurrent streams whose client sends the video (Track), >= 0; see `streams` of `[limits]`."""
    bytes_per_second: int = 256 * 2**20
    """Maximum bytes of video that are received per second in all streams together, >= 0; the rest is read later."""
    faults_per_second: int = 10
    """Maximum faults per second, >= 0; above, the next calls wait. A call that fails by its caller's fault is one."""
    queued_jobs: int = 0
    """Maximum jobs that wait, >= 0; see `open` of `[jobs]`."""
    running_jobs: int = 0
    """Maximum jobs that run at once, >= 0; further ones wait; see `workers` of `[jobs]`."""
    kept_jobs: int = 0
    """Maximum finished jobs that are kept, >= 0; the caller's oldest are deleted first; see `kept` of `[jobs]`."""
    kept_bytes: int = 0
    """Maximum bytes of jobs and results, >= 0; the caller's oldest are deleted first; see `kept_bytes` of `[jobs]`."""
    result_streams: int = 0
    """Maximum concurrent streams of results, >= 0; see `result_streams` of `[jobs]`."""

    def _check(self) -> None:
        self._require_least(0, *CallerLimits.__dataclass_fields__)


@dataclass(frozen=True)
class CallerSettings(CallerLimits):
    """What one caller may hold at once: a token, or without tokens an address (of IPv6 the first 64 bits).

    0: as much as the service takes from all callers together.
    """

    newcomers: float = NEWCOMERS
    """Places beside each limit of the service for callers who hold few, as a share of the limit, 0 … 1."""
    load_share: float = 0.75
    """Share of load limit and objective for several live streams of one caller, if there can be others, (0, 1]."""

    def _check(self) -> None:
        super()._check()
        self._require_between(0, 1, "newcomers")
        self._require_share("load_share")
