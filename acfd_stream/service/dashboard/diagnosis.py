"""Diagnosis of live latency in one sentence: how slow, since when, at which stage, by which stream, and what helps.

It covers the live frames of the last minute. A late frame counts for its slowest stage, a dropped frame for its
drop reason.
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
"""Shares of frames in time: all is well from GOOD on, and much is wrong below FAIR."""
_CALM_STEPS = 5  # this many good steps in a row end a slow period
_BLAMED_SHARE = 0.6  # of all missed frames: a stream with at least this share is named


class Level(Enum):
    """Severity."""

    IDLE = "idle"
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"


class Bottleneck(Enum):
    """Where frames lose their time."""

    DATA = "data"
    DECODE = "decode"
    QUEUE = "queue"
    ENGINE = "engine"
    TRACK = "track"
    CLIENT = "client"
    MEDIA = "media"


BOTTLENECK_OF = {
    Stage.INGEST: Bottleneck.DATA,
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
_ADVICE = {  # what takes longest, and what helps
    Bottleneck.DATA: (
        "Frames wait for data before they can be decoded",
        "Check the sender and the network. If decoding is slow too, use smaller pictures or an easier codec.",
    ),
    Bottleneck.DECODE: ("Decoding takes longest", "Use smaller pictures, an easier codec or more CPU cores."),
    Bottleneck.QUEUE: ("Frames wait for the engine", "Run fewer or smaller streams, or add hardware."),
    Bottleneck.ENGINE: ("The network takes longest", "Use a smaller input size or a faster device."),
    Bottleneck.TRACK: ("Shots and tracks take longest", "The CPU is overloaded. Check what else is running."),
    Bottleneck.CLIENT: ("The client reads results too slowly", "Check the client and the connection to it."),
    Bottleneck.MEDIA: ("Frames cannot be decoded", "Check the sender."),
}


@dataclass(frozen=True)
class Diagnosis:
    """The first lines of the page."""

    level: Level
    headline: str
    detail: str = ""
    bottleneck: Bottleneck | None = None
    stream_id: str | None = None  # of the stream that most missed frames belong to
    since_seconds: float | None = None  # age of the slow period; None if all is well
    is_older: bool = False  # it began before the recorded history


def diagnose(live: History, streams: Sequence[StreamMetrics], objective_seconds: float) -> Diagnosis:
    """The diagnosis of the last minute of live frames.

    Args:
        live: history of all live streams.
        streams: live streams that are open, or were in that minute.
        objective_seconds: latency objective of a frame.
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
    """Where most missed frames of ``stats`` lost their time; None if none were missed."""
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
    what, help_ = _ADVICE[bottleneck]
    means = recent.stage_means()
    seconds = sum(mean for stage, mean in means.items() if BOTTLENECK_OF[stage] is bottleneck)
    time_in = f": {_ms(seconds)} of {_ms(sum(means.values()))} per frame" if seconds else ""
    whose = ""
    if blamed is not None and len(streams) > 1:
        whose = f" Most of these frames belong to “{blamed.info.name or blamed.info.stream_id}”."
    elif blamed is None and streams:
        whose = f" They are spread over {len(streams)} streams."
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
    """Seconds since the slow period began, and whether it began before the recorded history."""
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
