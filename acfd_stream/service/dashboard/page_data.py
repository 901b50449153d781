"""The data of the page as one JSON-able dict: state of the service, figures, charts and streams."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from acfd_stream.metrics import StreamState
from acfd_stream.service.dashboard.diagnosis import WINDOW_SECONDS, Diagnosis, Level, bottleneck_of, diagnose
from acfd_stream.service.dashboard.metric_samples import LOAD, Samples
from acfd_stream.service.streams.history import PERCENTILES, History, WindowStats
from acfd_stream.service.streams.registry import StreamMetrics, StreamRegistry
from acfd_stream.types import Mode, Outcome, Stage

RATE_SECONDS = 10.0
BUSY_LOAD = 2.5
"""Runnable tasks per core above which the page notes an overloaded CPU; some are the service's own threads."""
MOST_STREAMS = 200
"""Maximum streams in the list; the worst come first."""
Json = dict[str, Any]


@dataclass(frozen=True)
class ServiceInfo:
    """Facts that do not change while the service runs."""

    version: str = ""
    model: str = ""
    engine: str = ""  # runtime, device, precision and threads
    is_fallback: bool = False  # the preferred engine could not be used
    objective_seconds: float = 0.05


class PageData:
    """Builds the data of the page.

    Args:
        registry: the streams.
        samples: gauges over time.
        service: facts that do not change while the service runs.
        state: returns "starting", "serving" or "draining".
        wall: returns seconds since 1970.
    """

    def __init__(
        self,
        registry: StreamRegistry,
        samples: Samples,
        service: ServiceInfo,
        state: Callable[[], str],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._samples = samples
        self._info = service
        self._state = state
        self._wall = wall

    def data(self) -> Json:
        """All data as of now. Times are ms if the name says so, else seconds; None: no value."""
        registry, open_streams, ended = self._registry, self._registry.streams(), self._registry.ended()
        live = registry.history(Mode.LIVE)
        since = registry.clock() - WINDOW_SECONDS
        recent_live = [each for each in open_streams + ended if each.info.mode is Mode.LIVE]
        recent_live = [each for each in recent_live if each.ended_at is None or each.ended_at >= since]
        diagnosis = diagnose(live, recent_live, self._info.objective_seconds)
        rows = sorted((self._row(each) for each in open_streams), key=_badness)[:MOST_STREAMS]
        return {
            "service": self._service(),
            "verdict": self._verdict(diagnosis),
            "notes": self._notes(rows, diagnosis),
            "now": self._now(open_streams),
            "stages": _stages(self._shown_history().recent(WINDOW_SECONDS)),
            "stages_of": self._shown_mode().value,
            "series": self._series(),
            "streams": rows,
            "ended": [self._row(each) for each in ended],
        }

    def _service(self) -> Json:
        info = self._info
        return {
            "version": info.version,
            "model": info.model,
            "engine": info.engine,
            "is_fallback": info.is_fallback,
            "objective_ms": _ms(info.objective_seconds),
            "state": self._state(),
            "now": round(self._wall(), 3),
            "uptime_seconds": round(self._registry.clock() - self._registry.began_at, 1),
        }

    def _verdict(self, diagnosis: Diagnosis) -> Json:
        since = diagnosis.since_seconds
        return {
            "level": diagnosis.level.value,
            "headline": self._idle_headline() if diagnosis.level is Level.IDLE else diagnosis.headline,
            "detail": diagnosis.detail,
            "place": diagnosis.bottleneck.value if diagnosis.bottleneck else None,
            "stream_id": diagnosis.stream_id,
            "since": None if since is None else round(self._wall() - since, 1),
            "is_older": diagnosis.is_older,
        }

    def _idle_headline(self) -> str:
        streams = self._registry.streams()
        files = sum(each.info.mode is Mode.FILE for each in streams)
        if not streams:
            return "No stream is open."
        rate = f"{_rate(self._registry.history(Mode.FILE)):,.0f} frames per second"
        live = "No live frames in the last minute" if len(streams) > files else "No live stream is open"
        return f"{live}; {files} file stream{'s' * (files > 1)} at {rate}." if files else f"{live}."

    def _notes(self, rows: list[Json], diagnosis: Diagnosis) -> list[str]:
        """Other unusual conditions, the worst first."""
        notes = []
        if self._state() == "draining":
            notes.append("The service is draining. New streams are refused; open ones finish or get resume points.")
        if self._info.is_fallback:
            notes.append(f"The engine is a fallback: {self._info.engine}.")
        load = self._samples.now()[LOAD]
        if load > BUSY_LOAD and diagnosis.level in (Level.FAIR, Level.POOR):
            notes.append(f"The CPU is overloaded: {load:.1f} runnable tasks per core. Check what else is running.")
        refused = self._samples.growth("acfd_admission_rejected_total", WINDOW_SECONDS)
        if refused:
            streams = "1 stream was" if refused == 1 else f"{refused:.0f} streams were"
            notes.append(f"{streams} refused in the last minute.")
        waiting = int(self._samples.now()["acfd_jobs_waiting"])
        if waiting:
            jobs = "1 job waits" if waiting == 1 else f"{waiting} jobs wait"
            notes.append(f"{jobs} for room, or for the machine. The log and GetJob say what is missing.")
        faults = self._samples.growth("acfd_decode_errors_total", WINDOW_SECONDS)
        if faults:
            times = "once" if faults == 1 else f"{faults:.0f} times"
            notes.append(f"Invalid media {times} in the last minute. See “Recently closed” for the streams.")
        for row in rows:
            if row["is_starved"]:
                name = row["name"] or row["id"]
                notes.append(
                    f"“{name}” sends {row['fps']:.0f} of its {row['nominal_fps']:.0f} frames per second. "
                    "Check the sender and the network."
                )
        return notes[:6]

    def _now(self, streams: list[StreamMetrics]) -> Json:
        live, files = (self._registry.history(mode) for mode in (Mode.LIVE, Mode.FILE))
        recent = live.recent(WINDOW_SECONDS)
        sample = self._samples.now()
        batches = self._samples.growth("acfd_batch_size_count", WINDOW_SECONDS)
        pictures = self._samples.growth("acfd_batch_size_sum", WINDOW_SECONDS)
        every = files.recent(WINDOW_SECONDS)
        every.add(recent)
        return {
            "goodput": _rounded(recent.goodput, 4),
            **_percentiles(recent),
            "frames": recent.frames,
            "dropped": recent.outcomes[Outcome.DROPPED],
            "late": recent.outcomes[Outcome.LATE],
            "fps_live": _rate(live),
            "fps_file": _rate(files),
            "streams_live": sum(each.info.mode is Mode.LIVE for each in streams),
            "streams_file": sum(each.info.mode is Mode.FILE for each in streams),
            "headroom": round(sample["acfd_capacity_headroom_ratio"], 3),
            "batch": round(pictures / batches, 2) if batches else None,
            "queue": int(sample["acfd_queue_depth{infer}"]),
            "held_bytes": int(sample["acfd_inflight_bytes"]),
            "reused": _rounded(every.reused / every.answered, 3) if every.answered else None,
        }

    def _series(self) -> Json:
        live, files = (self._registry.history(mode) for mode in (Mode.LIVE, Mode.FILE))
        steps, means = live.series(), [step.stage_means for step in self._shown_history().series()]
        length = live.step_seconds
        return {
            "step_seconds": length,
            "end": round(self._wall() - self._registry.clock() % length, 3),  # of the last step
            **{
                f"p{share}_ms": [_ms(step.latencies[index]) for step in steps]
                for index, share in enumerate(PERCENTILES)
            },
            "goodput": [_rounded(step.goodput, 4) for step in steps],
            "fps_live": [round(step.answered / length, 1) for step in steps],
            "fps_file": [round(step.answered / length, 1) for step in files.series()],
            "dropped": [step.dropped for step in steps],
            "headroom": [_rounded(value, 3) for value in self._samples.series("acfd_capacity_headroom_ratio")[1:]],
            "stages_ms": {
                stage.value: [_ms(mean.get(stage)) if mean else None for mean in means]
                for stage in Stage
                if any(stage in mean for mean in means)
            },
        }

    def _shown_mode(self) -> Mode:
        """Live if there were live frames recently, else file: the streams whose stages are shown."""
        return Mode.LIVE if any(step.frames for step in self._registry.history(Mode.LIVE).series()) else Mode.FILE

    def _shown_history(self) -> History:
        return self._registry.history(self._shown_mode())

    def _row(self, stream: StreamMetrics) -> Json:
        info, media = stream.info, stream.media
        recent, total = stream.history.recent(WINDOW_SECONDS), stream.history.total()
        bottleneck = bottleneck_of(recent) if info.mode is Mode.LIVE else None
        nominal = float(media.frame_rate) if media is not None and media.frame_rate else None
        fps = _rate(stream.history)
        now = self._registry.clock()
        age = now - stream.began_at
        return {
            "id": info.stream_id,
            "name": info.name,
            "mode": info.mode.value,
            "path": info.input_kind.value,
            "state": stream.state.value if stream.state else "ended",
            "error": stream.error,
            "age_seconds": round((stream.ended_at or now) - stream.began_at, 1),
            "ended_ago_seconds": None if stream.ended_at is None else round(now - stream.ended_at, 1),
            "size": list(media.display_size) if media else None,
            "codec": media.codec if media else None,
            "nominal_fps": _rounded(nominal, 3),
            "fps": fps,
            "is_starved": _is_starved(stream, recent, fps, nominal, age),
            "objective_ms": _ms(info.objective_seconds),
            **_percentiles(recent),
            "goodput": _rounded(recent.goodput, 4),
            "frames": total.frames,
            "outcomes": {outcome.value: total.outcomes[outcome] for outcome in Outcome},
            "drops": {reason.value: count for reason, count in total.drops.items()},
            "missed": recent.missed,
            "place": bottleneck.value if bottleneck else None,
            "stages": _stages(recent),
            "tracks": stream.tracks,
            "shots": stream.shots,
            "reused": total.reused,
            "spark_ms": [_ms(step.latencies[PERCENTILES.index(95)]) for step in stream.history.series()],
            "has_overlay": stream.overlay is not None and stream.ended_at is None,
        }


def _is_starved(stream: StreamMetrics, recent: WindowStats, fps: float, nominal: float | None, age: float) -> bool:
    """Whether a live stream receives clearly fewer frames than its nominal rate, and almost none were lost here."""
    if stream.info.mode is not Mode.LIVE or stream.state is not StreamState.RUNNING or nominal is None:
        return False
    return age > 3 * RATE_SECONDS and fps < 0.8 * nominal and recent.missed < 0.05 * max(1, recent.frames)


def _badness(row: Json) -> tuple[Any, ...]:
    """Sort key of the streams: the largest share of missed frames first, then live streams, then the oldest."""
    missed = 0.0 if row["goodput"] is None or row["mode"] == Mode.FILE.value else 1 - row["goodput"]
    return -round(missed, 2), row["mode"] != Mode.LIVE.value, not row["is_starved"], -row["age_seconds"]


def _stages(stats: WindowStats) -> list[Json]:
    means = stats.stage_means()
    total = sum(means.values())
    return [
        {"name": stage.value, "mean_ms": _ms(seconds), "share": round(seconds / total, 4) if total else 0.0}
        for stage, seconds in means.items()
    ]


def _percentiles(stats: WindowStats) -> dict[str, float | None]:
    return {f"p{share}_ms": _ms(stats.latency(share / 100)) for share in PERCENTILES}


def _rate(history: History) -> float:
    """Recent frames per second, lost ones included: the rate of the sender."""
    return round(history.rate(RATE_SECONDS), 1)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
