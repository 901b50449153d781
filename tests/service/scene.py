"""A service in the middle of its day, told to a StreamRegistry on a clock of its own: minutes of frames in a moment."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import islice
from random import Random

import numpy as np
from prometheus_client import CollectorRegistry

from acfd_stream.metrics import BATCH_BUCKETS, DecodeFault, InputKind, Metrics, QueueStage
from acfd_stream.model.toon import render
from acfd_stream.service.dashboard.metric_samples import STEP_SECONDS, Samples
from acfd_stream.service.streams.registry import StreamInfo, StreamMetrics, StreamRegistry
from acfd_stream.types import DropReason, Face, FrameResult, MediaInfo, Mode, Outcome, Picture, Verdict
from acfd_stream.video.frame import Frame

OBJECTIVE = 0.05
CALM = {
    **{"ingest": 0.0006, "decode": 0.0042, "queue": 0.0051, "preprocess": 0.0011, "infer": 0.0098},
    **{"decode_boxes": 0.0004, "nms": 0.0002, "track": 0.0013, "encode": 0.0003, "send": 0.0004},
}
"""Mean seconds of a stage on a good day."""
STREAMS = (  # name, mode, path, (height, width), frames a second, shows its overlay, how heavy
    ("studio-a", Mode.LIVE, InputKind.BYTES, (1080, 1920), 24, True, 1.25),
    ("studio-b", Mode.LIVE, InputKind.BYTES, (720, 1280), 24, False, 1.0),
    ("preview wall", Mode.LIVE, InputKind.FRAMES, (540, 960), 12, True, 0.8),
    ("dailies", Mode.FILE, InputKind.URI, (1080, 1920), 40, False, 1.1),
)


class Scene:
    """A StreamRegistry with ``STREAMS`` open; ``play`` lets time pass."""

    def __init__(self, seed: int = 7) -> None:
        self.now = 10_000.0
        self.registry = StreamRegistry(Metrics(CollectorRegistry()), clock=lambda: self.now)
        self.load = 0.4
        self.samples = Samples(self.registry.metrics, lambda: self.load)
        self._random = Random(seed)
        self._index = 0
        self.meters = [self._open(*stream[:6]) for stream in STREAMS]

    def _open(
        self, name: str, mode: Mode, input_kind: InputKind, size: tuple[int, int], rate: int, shows_overlay: bool
    ) -> StreamMetrics:
        objective = OBJECTIVE if mode is Mode.LIVE else None
        meter = self.registry.open_stream(StreamInfo(f"id-{name}", name, mode, input_kind, objective, shows_overlay))
        meter.understood(MediaInfo("<stream>", size, Fraction(1, 24), Fraction(rate), None, None, "h264"))
        return meter

    def play(self, seconds: float, load: float = 1.0) -> None:
        """Let ``seconds`` pass; above a ``load`` of 1 frames wait for the engine, and some are dropped."""
        end = self.now + seconds
        metrics = self.registry.metrics
        while self.now < end:
            for meter, (*_, rate, _, weight) in zip(self.meters, STREAMS, strict=True):
                for _ in range(round(rate * STEP_SECONDS)):
                    meter.frame(self._result(meter, weight, load))
                meter.tracks_started(meter.tracks + (self._random.random() < 0.2))
            for _ in range(20):
                metrics.batches.observe(self._random.choice(BATCH_BUCKETS[:4]))
            metrics.headroom.set(max(0.0, 1 - 0.62 * load * self._random.uniform(0.93, 1.07)))
            self.samples.take()
            self.now += STEP_SECONDS
        waiting = int(self.samples.now()["acfd_queue_depth{infer}"])
        metrics.queue_depth.of(QueueStage.INFER).inc(round(9 * max(0.0, load - 1)) - waiting)

    def break_one(self) -> None:
        """A stream comes, brings broken media and ends."""
        meter = self._open("camera 7", Mode.LIVE, InputKind.BYTES, (480, 640), 30, False)
        meter.began_at -= 48
        meter.media_error(DecodeFault.BROKEN, "the H.264 data is damaged after 3.2 s")
        meter.end()

    def show(self, picture: Picture, faces: tuple[Face, ...]) -> None:
        """Show ``picture`` as the last frame of every stream that may be looked at and is."""
        for meter in self.meters:
            if meter.overlay is not None:
                frame = Frame(self._index, self._index, Fraction(1, 24), picture)
                meter.overlay.show(frame, replace(self._result(meter, 1.0, 0.5), faces=faces))

    def _result(self, meter: StreamMetrics, weight: float, load: float) -> FrameResult:
        self._index += 1
        slow = max(0.0, load - 1) * (9 if weight > 1.2 else 5)
        timings = {stage: mean * weight * self._random.lognormvariate(0, 0.22) for stage, mean in CALM.items()}
        timings["queue"] *= 1 + slow
        latency = sum(timings.values())
        result = FrameResult(self._index, self._index, Fraction(1, 24), self._index / 24, (), timings=timings)
        if meter.info.mode is Mode.FILE:
            return replace(result, verdict=Verdict(Outcome.OK, latency * 30), shot=self._index // 4000)
        if slow and self._random.random() < 0.03 * slow * weight:
            return replace(result, timings={}, verdict=Verdict(Outcome.DROPPED, drop_reason=DropReason.QUEUE_FULL))
        outcome = Outcome.OK if latency <= OBJECTIVE else Outcome.LATE
        cause = max(timings, key=timings.__getitem__) if outcome is Outcome.LATE else None
        return replace(result, verdict=Verdict(outcome, latency, cause), reused=self._random.random() < 0.4)


def grey_picture(size: tuple[int, int] = (90, 160)) -> Picture:
    """A picture without anything on it."""
    return Picture.from_rgb(np.full((*size, 3), 128, np.uint8))


def drawn_picture(index: int = 12, size: tuple[int, int] = (540, 960)) -> tuple[Picture, tuple[Face, ...]]:
    """A frame of a drawn cartoon, with the faces that are in it."""
    image, truth = next(islice(render("demo", seed=5, size=size), index, None))
    return Picture.from_rgb(image), tuple(Face(face.id, face.box_xyxy, 0.93) for face in truth.faces)
