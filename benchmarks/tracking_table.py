"""Tables from ``tracking.json``: one line per tracker for README.md, one per situation for docs/tracking.md."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

LABELS = {
    "ours": "acfd_stream",
    "ours, live": "acfd_stream, live mode",
    "norfair": "norfair",
    "bytetrack": "ByteTrack of supervision",
    "norfair, told the cuts": "norfair, reset at every true cut",
    "bytetrack, told the cuts": "ByteTrack, reset at every true cut",
}
METRICS = ("tracking_hota", "tracking_idf1", "tracking_idsw")
ALL = "all"


def _figures(rows: list[Row]) -> dict[tuple[str, str, str], str]:
    """(detections, situation, tracker) → "HOTA · IDF1 · switches"."""
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in rows:
        about = row["parameters"]
        if row["name"] in METRICS:
            key = (about["detections"], about["situation"], about["tracker"])
            found.setdefault(key, {})[row["name"]] = row["median"]
    return {
        key: f"{said['tracking_hota']:.3f} · {said['tracking_idf1']:.3f} · {said['tracking_idsw']:.0f}"
        for key, said in found.items()
    }


def _kinds(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["parameters"]["detections"] for row in rows if row["name"] in METRICS))


def summary(rows: list[Row]) -> str:
    """One line per tracker: HOTA, IDF1 and ID switches over all situations."""
    figures, kinds = _figures(rows), _kinds(rows)
    lines = ["| HOTA · IDF1 · ID switches | " + " | ".join(kinds) + " |", "|---|" + "---|" * len(kinds)]
    for tracker, label in LABELS.items():
        cells = [figures.get((kind, ALL, tracker), "") for kind in kinds]
        if any(cells):
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_measured_on(rows)])


def by_situation(rows: list[Row]) -> str:
    """One table per kind of detections: one line per situation, one column per tracker."""
    figures = _figures(rows)
    trackers = [tracker for tracker in LABELS if any(key[2] == tracker for key in figures)]
    parts = []
    for kind in _kinds(rows):
        situations = dict.fromkeys(key[1] for key in figures if key[0] == kind)
        lines = [f"**{kind[0].upper()}{kind[1:]}** (HOTA · IDF1 · ID switches)", ""]
        lines += ["| | " + " | ".join(LABELS[each] for each in trackers) + " |", "|---|" + "---|" * len(trackers)]
        for situation in situations:
            cells = [figures.get((kind, situation, tracker), "") for tracker in trackers]
            lines.append(f"| {situation} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, "\n".join([*_costs(rows), *_measured_on(rows)])])


def _costs(rows: list[Row]) -> list[str]:
    millis = {row["parameters"]["faces"]: 1000 * row["median"] for row in rows if "tracker_frame_" in row["name"]}
    costs = [f"{value:.2g} ms for {faces} face{'' if faces == 1 else 's'}" for faces, value in millis.items()]
    return [f"Time per frame of the tracker alone: {', '.join(costs)}.", ""] if costs else []


def _measured_on(rows: list[Row]) -> list[str]:
    return [f"Measured on: {place}." for place in sorted({f"{row['device']}, commit {row['commit']}" for row in rows})]
