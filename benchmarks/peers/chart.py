"""Draws frames per second of all contestants as bars, ours coloured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Row
from benchmarks.peers.field import OURS, VIDEO


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write a PNG of the rows of a contest: one bar per contestant with its spread."""
    from matplotlib.figure import Figure

    by_name = {row["name"]: row for row in rows}
    shown = [one for one in VIDEO if f"peer_{one.name}" in by_name]
    if not shown:
        return
    bars = [by_name[f"peer_{one.name}"] for one in shown]
    figure = Figure(figsize=(9, 0.9 + 0.55 * len(shown)), layout="constrained")
    axes = figure.subplots()
    speeds = [bar["median"] for bar in bars]
    around = [
        [bar["median"] - bar["p5"] for bar in bars],
        [bar["p95"] - bar["median"] for bar in bars],
    ]
    colours = ["seagreen" if one.name.startswith(OURS.name) else "slategrey" for one in shown]
    axes.barh([f"{one.label}\n{one.task}" for one in shown], speeds, xerr=around, color=colours, height=0.65)
    for place, bar in enumerate(bars):
        axes.text(bar["p95"], place, f"  {bar['median']:.3g} fps", va="center", fontsize=9)
    axes.invert_yaxis()
    height, width = bars[0]["parameters"]["size"].split("x")
    axes.set(xlabel="frames a second", xlim=(0, max(bar["p95"] for bar in bars) * 1.15))
    axes.set_title(f"{width}×{height}, {bars[0]['parameters']['codec']}, on {bars[0]['device']}", fontsize=10)
    axes.tick_params(axis="y", labelsize=9)
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, format="png", dpi=110)
