"""Latency of many live streams in one process, sent in real time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from acfd_stream.config import DetectConfig, DropPolicy, Pace, PaceConfig, SchedulerConfig, StreamQueueConfig
from acfd_stream.types import FrameResult, Outcome
from gpu.book import Recorder
from gpu.gauge import Gauge
from gpu.network import model_path
from gpu.rig import Rig

STREAMS, FPS = 32, 24
_SECONDS, _WARMUP_SECONDS = 25.0, 5.0
_PACE = PaceConfig(Pace.LIVE, DropPolicy.DROP_OLDEST)


def run(rig: Rig, record: Recorder) -> None:
    """Rows of 32 streams, and of fewer for comparison."""
    seconds, warmup = rig.scaled(_SECONDS, 3.0), rig.scaled(_WARMUP_SECONDS, 1.0)
    pieces = piece_list(rig, seconds)
    models = {"": "acfd-n"} if rig.is_rehearsal else {"": str(model_path(rig)), "_n": "acfd-n"}
    for suffix, model in models.items():
        for streams in rig.scaled((STREAMS, 8), (2,)):
            name = suffix if streams in (STREAMS, 2) else f"{suffix}_{streams}"
            results, gauge = many(rig, pieces, model, streams, warmup)
            _record(record, name, results, gauge, streams)


def _record(record: Recorder, suffix: str, results: list[FrameResult], gauge: Gauge, streams: int) -> None:
    from gpu.stream import stage_medians

    ages = [result.verdict.latency_seconds for result in results if result.verdict.latency_seconds is not None]
    outcomes = Counter(result.verdict.outcome.value for result in results)
    causes = Counter(result.verdict.cause for result in results if result.verdict.outcome is Outcome.LATE)
    answered = [result for result in results if result.verdict.outcome in (Outcome.OK, Outcome.LATE)]
    about = {"streams": streams, "fps": FPS, "frames": len(results), "outcomes": dict(outcomes)}
    about |= {"causes": dict(causes), "stages": stage_medians(answered), "cores": gauge.cores}
    about |= {"gpu": gauge.mean("gpu"), "nvdec": gauge.mean("nvdec")}
    row = record.row(f"gpu_live_ages{suffix}", ages, **about)
    # Every frame counts; dropped ones count with their age when dropped.
    record.row(f"gpu_live_p99{suffix}", [row["p99"]], **about)
    lost = sum(count for outcome, count in outcomes.items() if outcome != "ok") / max(1, len(results))
    record.row(f"gpu_live_lost{suffix}", [lost], "share", **about)


def piece_list(rig: Rig, seconds: float) -> Any:
    """A drawn 1080p clip like a live encoder's output: when each piece is due, and its bytes."""
    from overload import drawn_pieces

    return drawn_pieces(rig.scaled((1080, 1920), (90, 160)), FPS, seconds)


def many(rig: Rig, pieces: Any, model: str, streams: int, warmup: float) -> tuple[list[FrameResult], Gauge]:
    """Results of all streams after their warm-up."""
    from acfd_stream.detect.detector import Detector
    from acfd_stream.pipeline.scheduler import Scheduler

    config = DetectConfig(size=640, batch=rig.scaled(16, 2))
    sizes = (rig.scaled((1080, 1920), (90, 160)),)
    with (
        Detector.open(model, rig.device, config) as detector,
        Scheduler(detector, SchedulerConfig(warm_sizes=sizes)) as scheduler,
        ThreadPoolExecutor(streams) as pool,
        Gauge() as gauge,
    ):

        def one(index: int) -> list[FrameResult]:
            time.sleep(index / streams / FPS)  # cameras are not in step
            with scheduler.open_shared(StreamQueueConfig()) as lane:
                return live_results(pieces, lane, warmup)

        found = [result for results in pool.map(one, range(streams)) for result in results]
    return found, gauge


def live_results(pieces: Any, engine: Any, warmup_seconds: float) -> list[FrameResult]:
    """Results of one stream sent in real time, without its first seconds."""
    from acfd_stream.pipeline.session import TrackSession
    from acfd_stream.video import ByteStream

    stream = ByteStream()
    feeder = threading.Thread(target=_feed, args=(stream, pieces), daemon=True)
    feeder.start()
    with TrackSession(stream, detector=engine, pace=_PACE) as session:
        results = list(session)
    feeder.join()
    return [result for result in results if result.pts_seconds >= warmup_seconds]


def _feed(stream: Any, pieces: Any) -> None:
    begin = time.perf_counter()
    for due, data in pieces:
        time.sleep(max(0.0, begin + due - time.perf_counter()))
        stream.feed(data)
    stream.close()
