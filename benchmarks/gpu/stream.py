"""An encoded 1080p clip from bytes to tracks: frames per second, latency, and time per stage."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acfd_stream.config import DetectConfig, VideoConfig
from acfd_stream.types import FrameResult
from gpu.book import Recorder
from gpu.gauge import Gauge
from gpu.live import live_results, piece_list
from gpu.network import WORK, model_path
from gpu.rig import Rig

STAGES = ("decode", "queue", "preprocess", "infer", "decode_boxes", "nms", "track")
_PASSES = 3


def run(rig: Rig, record: Recorder) -> None:
    """Rows of the file, with each network and each decoder."""
    clip = clip_path(rig)
    if not rig.is_rehearsal:
        from acfd_stream.video import nvdec

        record.fact(nvdec=nvdec.why_no_nvdec() or f"works, {nvdec._way}")
    models = {"": "acfd-n"} if rig.is_rehearsal else {"": "acfd-n", "_51": str(model_path(rig))}
    for suffix, model in models.items():
        for decoder in ("auto", "cpu"):
            _file(rig, record, clip, model, (suffix, decoder))


def clip_path(rig: Rig) -> Path:
    """The demo's cartoon as 1080p H.264, from the package or drawn here."""
    carried = os.environ.get("ACFD_CLIP")
    if carried and not rig.is_rehearsal:
        return Path(carried)
    size = rig.scaled("1920x1080", "320x180")
    target = WORK / f"toon_{size}.mp4"
    if not target.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part.mp4")
        command = [sys.executable, "-m", "acfd_stream.model.toon", "demo", str(part), "--size", size]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        os.replace(part, target)
    return target


def _file(rig: Rig, record: Recorder, clip: Path, model: str, names: tuple[str, str]) -> None:
    from acfd_stream.detect.detector import Detector

    suffix, decoder = names
    kind = "" if decoder == "auto" else "_cpu_decoder"
    config = DetectConfig(batch=rig.scaled(8, 4))
    with Detector.open(model, rig.device, config) as detector:
        video = VideoConfig(decoder=decoder, end_seconds=rig.scaled(None, 1.0))
        _tracked(clip, detector, video)  # compiles, fills caches
        speeds, gauges, results = [], [], []
        for _ in range(rig.scaled(_PASSES, 1)):
            with Gauge() as gauge:
                begin = time.perf_counter()
                found, decoded_by = _tracked(clip, detector, video)
                speeds.append(len(found) / (time.perf_counter() - begin))
            gauges.append(gauge)
            results += found
        about = {"clip": clip.name, "model": Path(model).stem, "frames": len(found), "decoded_by": decoded_by}
        about |= {"engine": detector.description, "batch": config.batch, "stages": stage_medians(results)}
        record.row(f"gpu_stream_fps{suffix}{kind}", speeds, "fps", **about)
        _record_gauges(record, f"{suffix}{kind}", gauges, about)


def _tracked(clip: Path, detector: Any, video: VideoConfig) -> tuple[list[FrameResult], str]:
    from acfd_stream.pipeline.session import TrackSession

    with TrackSession(str(clip), detector=detector, video_config=video) as session:
        # The log names the decoder; the figure must name it too.
        decoded_by = str(getattr(getattr(session._video, "_decoder", None), "decoded_by", "unknown"))
        return list(session), decoded_by


def stage_medians(results: Sequence[FrameResult]) -> dict[str, float]:
    """Median seconds per frame in every stage."""
    return {
        stage: float(np.median([result.timings[stage] for result in results]))
        for stage in STAGES
        if any(stage in result.timings for result in results) and all(stage in result.timings for result in results)
    }


def _record_gauges(record: Recorder, suffix: str, gauges: Sequence[Gauge], about: dict[str, Any]) -> None:
    record.row(f"gpu_stream_cpu{suffix}", [gauge.cores for gauge in gauges], "share", **about)
    for what in ("gpu", "nvdec"):
        means = [mean for gauge in gauges if (mean := gauge.mean(what)) is not None]
        if means:
            record.row(f"gpu_stream_{what}{suffix}", means, "share", **about)
        else:
            print(f"  no {what} share: {[gauge.why for gauge in gauges]}", flush=True)


def one_live(rig: Rig, record: Recorder) -> None:
    """Rows of one stream at 24 frames per second: the latency of every result."""
    from acfd_stream.detect.detector import Detector

    pieces = piece_list(rig, seconds=rig.scaled(20.0, 2.0))
    with Detector.open("acfd-n", rig.device, DetectConfig(batch=1)) as detector:
        results = live_results(pieces, detector, warmup_seconds=rig.scaled(3.0, 0.5))
    ages = [result.verdict.latency_seconds for result in results if result.verdict.latency_seconds is not None]
    about = {"streams": 1, "fps": 24, "model": "acfd-n", "stages": stage_medians(results)}
    record.row("gpu_stream_p50", ages, **about)
    record.row("gpu_stream_p99", ages, **about)
