"""How a person reads figures: times, counts, and names that are not text."""

from __future__ import annotations

MINUTE, HOUR = 60, 3600
WAITING_STAGES = ("ingest", "queue")
"""In these a frame is not worked on: files are read ahead, and then wait for as long as there is room."""
_STAGES = {
    "preprocess": "view for the network",
    "infer": "network",
    "decode_boxes": "boxes from anchors",
    "nms": "suppression",
}


def shown_text(text: str) -> str:
    """``text`` as it can be shown: bytes of a file name that are no text become replacement characters."""
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
    """``7.3 s``, ``12 min``, ``5.2 h``: a length of time where its size is what matters."""
    if seconds < 0.05:
        return "0 s"
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min" if seconds >= 10 * MINUTE else f"{seconds / MINUTE:.1f} min"
    return f"{seconds / HOUR:.1f} h" if seconds < 100 * HOUR else f"{seconds / HOUR:,.0f} h"


def percent(share: float) -> str:
    """``62 %``; what is not all is never called 100 %, what is something never 0 %."""
    if 0 < share < 0.01:
        return "< 1 %"
    return f"{int(share * 100) if share > 0.99 else round(share * 100)} %"


def stage_name(stage: str) -> str:
    """What a person calls a stage of a frame's way."""
    return _STAGES.get(stage, stage)
