"""In one sentence: is it slow, since when, where the time goes, whose stream it is, and what helps.

Judged by the last minute of live frames. A frame that came late speaks for the stage that took longest, a dropped one
for what its reason says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from acfd_stream.service.streams.history import History, WindowStats
from acfd_stream.service.streams.registry import StreamMetrics
from acfd_stream.types import DropReason, Outcome, Stage

WINDOW_SECONDS = 60.0
GOOD, FAIR = 0.99, 0.9
"""Shares of frames in time from which all is well, and below which much is wrong."""
_CALM_STEPS = 5  # so many good steps in a row end a slow time
_BLAMED_SHARE = 0.6  # of all missed frames: one stream is named when so many are its own


class Level(Enum):
    """How much attention it needs."""

    IDLE = "idle"
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"


class Bottleneck(Enum):
    """Where time goes, as one speaks of it."""

    DECODE = "decode"
    QUEUE = "queue"
    ENGINE = "engine"
    TRACK = "track"
    CLIENT = "client"
    MEDIA = "media"


BOTTLENECK_OF = {
    Stage.INGEST: Bottleneck.DECODE,
    Stage.DECODE: Bottleneck.DECODE,
    Stage.QUEUE: Bottleneck.QUEUE,
    Stage.PREPROCESS: Bottleneck.ENGINE,
    Stage.INFER: Bottleneck.ENGINE,
    Stage.DECODE_BOXES: Bottleneck.ENGINE,
    Stage.NMS: Bottleneck.ENGINE,
    Stage.TRACK: Bottleneck.TRACK,
    Stage.ENCODE: Bottleneck.CLIENT,
    Stage.SEND: Bottleneck.CLIENT,
}
_REASONS = {  # what takes longest, and what helps
    Bottleneck.DECODE: ("Decoding takes longest", "Smaller pictures, an easier codec or more cores help."),
    Bottleneck.QUEUE: ("Frames wait for the engine", "Fewer or smaller streams, or more hardware, help."),
    Bottleneck.ENGINE: ("The network itself takes longest", "A smaller view, or a faster device, helps."),
    Bottleneck.TRACK: (
        "Shots and tracks take longest",
        "The processor is short of time: look at what else runs on it.",
    ),
    Bottleneck.CLIENT: ("Answers are not read fast enough", "Look at the client, and at the network between."),
    Bottleneck.MEDIA: ("Frames cannot be decoded", "Look at what sends them."),
}


@dataclass(frozen=True)
class Diagnosis:
    """What a person wants to know first."""

    level: Level
    headline: str
    detail: str = ""
    bottleneck: Bottleneck | None = None
    stream_id: str | None = None  # whose frames they mostly are
    since_seconds: float | None = None  # so long ago it began; None where nothing is wrong
    is_older: bool = False  # it began before what is remembered


def diagnose(live: History, streams: Sequence[StreamMetrics], objective_seconds: float) -> Diagnosis:
    """What the last minute of live frames says.

    Args:
        live: of all live streams.
        streams: the live ones that are open, or were in that minute.
        objective_seconds: what a frame may take.
    """
    recent = live.recent(WINDOW_SECONDS)
    goodput = recent.goodput
    if goodput is None:
        return Diagnosis(Level.IDLE, "No live frames in the last minute.")
    p95 = recent.latency(0.95)
    words = f"{recent.frames:,} frames in the last minute, {_share(goodput)} within {_ms(objective_seconds)}"
    words += f"; 95 % took at most {_ms(p95)}." if p95 is not None else "."
    if goodput >= GOOD:
        return Diagnosis(Level.GOOD, "Live frames are answered in time.", words)
    bottleneck = bottleneck_of(recent)
    blamed = _blamed(streams, recent)
    since, is_older = _since(live)
    detail = words if bottleneck is None else _explained(bottleneck, recent, blamed, streams)
    level = Level.FAIR if goodput >= FAIR else Level.POOR
    return Diagnosis(
        level, _headline(recent), detail, bottleneck, blamed.info.stream_id if blamed else None, since, is_older
    )


def bottleneck_of(stats: WindowStats) -> Bottleneck | None:
    """Where the frames of ``stats`` that were missed lost their time; None where none were missed."""
    votes: Counter[Bottleneck] = Counter()
    for stage, count in stats.causes.items():
        votes[BOTTLENECK_OF[stage]] += count
    for reason, count in stats.drops.items():
        votes[Bottleneck.CLIENT if reason is DropReason.CLIENT_SLOW else Bottleneck.QUEUE] += count
    votes[Bottleneck.MEDIA] += stats.outcomes[Outcome.FAILED]
    bottleneck, count = votes.most_common(1)[0]
    return bottleneck if count else None


def _blamed(streams: Sequence[StreamMetrics], recent: WindowStats) -> StreamMetrics | None:
    if len(streams) < 2:
        return streams[0] if streams else None
    worst = max(streams, key=lambda stream: stream.history.recent(WINDOW_SECONDS).missed)
    return worst if worst.history.recent(WINDOW_SECONDS).missed >= _BLAMED_SHARE * recent.missed else None


def _explained(
    bottleneck: Bottleneck, recent: WindowStats, blamed: StreamMetrics | None, streams: Sequence[StreamMetrics]
) -> str:
    what, help_ = _REASONS[bottleneck]
    means = recent.stage_means()
    seconds = sum(mean for stage, mean in means.items() if BOTTLENECK_OF[stage] is bottleneck)
    time_in = f", {_ms(seconds)} of a frame's {_ms(sum(means.values()))}" if seconds else ""
    whose = ""
    if blamed is not None and len(streams) > 1:
        whose = f" Most of it is “{blamed.info.name or blamed.info.stream_id}”."
    elif blamed is None and streams:
        whose = f" It is spread over {len(streams)} streams."
    return f"{what}{time_in}.{whose} {help_}"


def _headline(recent: WindowStats) -> str:
    late, dropped = recent.outcomes[Outcome.LATE], recent.outcomes[Outcome.DROPPED]
    failed = recent.outcomes[Outcome.FAILED]
    parts = [
        f"{_share(count / recent.frames)} {word}"
        for count, word in ((late, "late"), (dropped, "dropped"), (failed, "failed"))
        if count
    ]
    return f"Live frames: {', '.join(parts)}."


def _since(live: History) -> tuple[float, bool]:
    """Seconds since the slow time began, and whether that is only as far as memory goes."""
    began, calm = 0, 0
    series = live.series()
    for age, step in enumerate(reversed(series)):
        if step.goodput is not None and step.goodput < GOOD:
            began, calm = age + 1, 0
        else:
            calm += 1
            if calm >= _CALM_STEPS and age > _CALM_STEPS + WINDOW_SECONDS / live.step_seconds:
                break
    return (began + 1) * live.step_seconds, began == len(series)


def _share(value: float) -> str:
    percent = value * 100
    return f"{percent:.0f} %" if percent >= 10 or percent == round(percent) else f"{percent:.1f} %"


def _ms(seconds: float | None) -> str:
    return "—" if seconds is None else f"{seconds * 1000:.0f} ms"
