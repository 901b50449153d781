"""Formats times, counts and names for people."""

from __future__ import annotations

MINUTE, HOUR = 60, 3600
WAITING_STAGES = ("ingest", "queue")
"""Stages in which a frame only waits, because files are read ahead."""
_STAGES = {
    "preprocess": "network input",
    "infer": "network",
    "decode_boxes": "boxes from anchors",
    "nms": "NMS",
}


def shown_text(text: str) -> str:
    """``text`` for display: bytes of a file name that are not text become replacement characters."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def count(number: int, noun: str) -> str:
    """``1 track``, ``1,234 tracks``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def clock(seconds: float) -> str:
    """``0:07.3``, ``12:05``, ``1:02:05``: a length of time; tenths only below a minute."""
    if seconds < MINUTE:
        tenths = round(max(seconds, 0.0) * 10)
        return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"
    whole = round(seconds)
    hours, minutes = whole // HOUR, whole // MINUTE % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def long_time(seconds: float) -> str:
    """``7.3 s``, ``12 min``, ``5.2 h``: a rounded length of time."""
    if seconds < 0.05:
        return "0 s"
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min" if seconds >= 10 * MINUTE else f"{seconds / MINUTE:.1f} min"
    return f"{seconds / HOUR:.1f} h" if seconds < 100 * HOUR else f"{seconds / HOUR:,.0f} h"


def percent(share: float) -> str:
    """``62 %``; rounded, but less than all is never 100 %, and more than nothing never 0 %."""
    if 0 < share < 0.01:
        return "< 1 %"
    return f"{int(share * 100) if share > 0.99 else round(share * 100)} %"


def stage_name(stage: str) -> str:
    """The display name of a pipeline stage."""
    return _STAGES.get(stage, stage)
