"""A chart of a load test: latency and goodput over the number of streams."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acfd_stream.errors import BackendUnavailable, OutputError


def draw_sweep(report: Mapping[str, Any], path: Path) -> None:
    """Draw a report of ``bench service`` into a PNG.

    Raises:
        BackendUnavailable: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ModuleNotFoundError as error:
        raise BackendUnavailable(f"a PNG needs {error.name}; pip install 'acfd-stream[plot]'") from error
    rows = [row for row in report["rows"] if row["latency"] is not None]
    objective = report["objective_seconds"] * 1e3
    figure = Figure(figsize=(8, 6), layout="constrained")
    latency, goodput = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    streams = [row["streams"] for row in rows]
    for share, style in (("p50", "o-"), ("p95", "s-"), ("p99", "^-")):
        latency.plot(streams, [row["latency"][share] * 1e3 for row in rows], style, label=f"{share}, server")
    latency.plot(
        streams, [row["client_latency"]["p95"] * 1e3 for row in rows], "s--", color="grey", label="p95, client"
    )
    latency.axhline(objective, color="crimson", label=f"objective, {objective:g} ms")
    if report["largest"]:
        latency.axvline(report["largest"], color="seagreen", linestyle=":", label=f"largest load, {report['largest']}")
    latency.set(ylabel="latency, ms", ylim=(0, None), title=_title(report))
    latency.legend()
    goodput.plot(streams, [row["goodput"] for row in rows], "o-", color="seagreen")
    goodput.axhline(0.99, color="crimson", linestyle=":")
    goodput.set(xlabel=f"live streams at {report['fps']:g} fps", ylabel="goodput", ylim=(0, 1.05))
    goodput.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (latency, goodput):
        axes.grid(alpha=0.3)
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another path") from error


def _title(report: Mapping[str, Any]) -> str:
    height, width = report["size"]
    return f"{report['model']} on {report['engine']}: {width}×{height}"
