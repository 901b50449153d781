"""The paper's ablation (Table 6) at small scale, and AP by number of pictures: trains the rows, resumes, draws a chart.

    python benchmarks/ablation.py --data FACES --threads 1            # acfd-n's width, 2000 iterations per row
    python benchmarks/ablation.py --data FACES --variant full --device cuda

Rows share data, iterations and seeds. An interrupted row resumes from its checkpoint, and a finished row
is skipped. Every row updates ``benchmarks/results/ablation.json`` and ``.png``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from acfd_stream.config import DetectConfig
from acfd_stream.errors import AcfdError
from acfd_stream.model.datasets import open_sources
from acfd_stream.model.evaluation import evaluate
from acfd_stream.model.predict import TorchDetector
from acfd_stream.model.readers import read_coco
from acfd_stream.model.settings import TrainConfig
from acfd_stream.model.trainer import Trainer

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "model/configs/ablation"
SCALES = (480, 640, 800)
"""Of the multi-scale test (paper, section 4.1)."""


@dataclass(frozen=True)
class Row:
    """One training of the table."""

    name: str
    config: str  # of CONFIGS
    paper: float | None = None  # mAP of Table 6, 0 … 1
    paper_scales: float | None = None  # the same with the multi-scale test
    count: int | None = None  # pictures; all if None


ROWS = (
    Row("baseline", "baseline", 0.8713, 0.8785),
    Row("dam", "dam", 0.8847),
    Row("vovnet", "vovnet", 0.8946),
    Row("abifpn", "abifpn", 0.9017),
    Row("mbc", "mbc", 0.9033, 0.9094),
    Row("pictures-725", "mbc", count=725),
    Row("pictures-1450", "mbc", count=1450),
    Row("pictures-2900", "mbc", count=2900),
)
"""Each of the first five adds one thing to the one before; the last three are all of ACFD on fewer pictures."""


def same_training(row: Row, rows: Sequence[Row]) -> Row:
    """The row with the same training; 2900 pictures are the whole set."""
    whole = next(other for other in rows if other.name == "mbc")
    return whole if row.count == 2900 else row


def config_of(row: Row, options: argparse.Namespace, seed: int) -> TrainConfig:
    """The row's config with the budget and seed of the command line."""
    config = TrainConfig.load(CONFIGS / f"{row.config}.toml", options.variant)
    changes = {"iterations": options.iterations} if options.iterations else {}
    data = [{**source, "count": row.count} if row.count else source for source in config.data]
    schedule = dataclasses.replace(config.schedule, **changes)
    return dataclasses.replace(config, data=data, schedule=schedule, seed=seed)


def as_row(result: dict[str, Any], row: Row) -> dict[str, Any]:
    """The result of the same training for another row, at one scale."""
    said = {name: value for name, value in result.items() if name != "ap50_scales"}
    return said | {"row": row.name, "pictures": row.count or "all"}


def run_row(row: Row, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Train and score one row; resumes an interrupted one."""
    config = config_of(row, options, seed)
    samples = read_coco(options.data / f"annotations/{config.validation}.json", options.data / "images")
    trainer = Trainer(config, *open_sources(config.data, options.data), options.device, options.workers)
    folder = options.out / f"{row.name}-{options.variant or 'small'}-{config.schedule.iterations}-{seed}"
    if (folder / "last.pt").exists():
        trainer.load(folder / "last.pt")
    trainer.run(folder)
    samples = samples[: options.pictures]
    size = DetectConfig(size=config.evaluate_size)
    result = {"row": row.name, "seed": seed, "iterations": config.schedule.iterations, "pictures": row.count or "all"}
    result |= {"variant": options.variant or "small", "minutes": round(trainer.seconds / 60, 2)}
    result["ap50"] = round(evaluate(samples, TorchDetector(trainer.averaged, trainer.spec, size).detect).ap50, 4)
    if row.paper_scales is not None:
        ratio = config.evaluate_size / 640  # the paper's scales against its training size of 640
        scales = DetectConfig(scales=tuple(round(scale * ratio / 32) * 32 for scale in SCALES))
        detect = TorchDetector(trainer.averaged, trainer.spec, scales).detect
        result["ap50_scales"] = round(evaluate(samples, detect).ap50, 4)
    return result


def is_of(result: dict[str, Any], row: Row, options: argparse.Namespace, seed: int) -> bool:
    """Whether ``result`` belongs to ``row``."""
    iterations = config_of(row, options, seed).schedule.iterations
    mine = (row.name, seed, options.variant or "small", iterations)
    return (result["row"], result["seed"], result["variant"], result["iterations"]) == mine


def table(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line per row: mean AP over the seeds, the gain over the previous row, and both from the paper."""
    lines: list[dict[str, Any]] = []
    before: tuple[float, float] | None = None
    for row in ROWS:
        own = [result for result in results if result["row"] == row.name]
        if not own:
            continue
        line = {"row": row.name, "ap50": round(float(np.mean([result["ap50"] for result in own])), 4)}
        line |= {"seeds": len(own), "paper": row.paper}
        scales = [result["ap50_scales"] for result in own if "ap50_scales" in result]
        if scales:
            line |= {"scales_gain": round(float(np.mean(scales)) - line["ap50"], 4)}
            line |= {"paper_scales_gain": round(float(row.paper_scales or 0) - float(row.paper or 0), 4)}
        if row.paper is not None:
            if before is not None:
                line |= {"gain": round(line["ap50"] - before[0], 4), "paper_gain": round(row.paper - before[1], 4)}
            before = (line["ap50"], row.paper)
        lines.append(line)
    return lines


def write(results: list[dict[str, Any]], path: Path) -> None:
    """Save all results and their table."""
    content = {"name": "ablation", "table": table(results), "runs": results}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """Plot gains next to the paper's, and AP by number of pictures; does nothing without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    lines = table(results)
    figure = Figure(figsize=(10, 4))
    left, right = figure.subplots(1, 2)
    gains = [(f"+ {line['row']}", line["gain"], line["paper_gain"]) for line in lines if "gain" in line]
    gains += [
        (f"{line['row']}\n+ scales", line["scales_gain"], line["paper_scales_gain"])
        for line in lines
        if "scales_gain" in line
    ]
    places = np.arange(len(gains))
    left.bar(places - 0.2, [own * 100 for _, own, _ in gains], 0.4, label="here")
    left.bar(places + 0.2, [paper * 100 for *_, paper in gains], 0.4, label="paper, Table 6")
    left.set_xticks(places, [name for name, *_ in gains], fontsize=8)
    left.set(ylabel="gain over the row before, AP50 points", title="what each part brings")
    left.axhline(0, color="black", linewidth=0.8)
    left.legend()
    counts = [(row.count, line["ap50"]) for row in ROWS for line in lines if line["row"] == row.name and row.count]
    right.plot([count for count, _ in counts], [value for _, value in counts], "o-")
    right.set_xscale("log")
    right.set(xlabel="pictures trained on", ylabel="AP50, icartoonface val", title="what more pictures bring")
    right.set(xticks=[count for count, _ in counts], xticklabels=[count for count, _ in counts])
    right.set_ylim(0, max((value for _, value in counts), default=1.0) * 1.1)
    right.minorticks_off()
    right.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds annotations/ and images/")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/ablation", help="checkpoints and curves")
    parser.add_argument(
        "--results",
        type=Path,
        default=ROOT / "benchmarks/results/ablation.json",
        help="result file; also a .png",
    )
    parser.add_argument("--variant", help="full: the paper's widths, sizes and rates")
    parser.add_argument("--iterations", type=int, help="iterations per row, instead of the configs' values")
    parser.add_argument("--rows", nargs="+", choices=[row.name for row in ROWS], default=[row.name for row in ROWS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--pictures", type=int, help="pictures of the validation set to use; default: all")
    parser.add_argument("--threads", type=int, default=0, help="threads that compute; 0: one per core")
    parser.add_argument("--workers", type=int, default=0, help="processes that augment pictures")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


def main(arguments: Sequence[str] | None = None, origin: dict[str, str] | None = None) -> int:
    """Run the missing rows; 0 when all are done. Every result contains ``origin``."""
    options = _parser().parse_args(arguments)
    cv2.setNumThreads(1)
    if options.threads:
        torch.set_num_threads(options.threads)
    results = json.loads(options.results.read_text())["runs"] if options.results.exists() else []
    try:
        for seed in options.seeds:
            for row in [row for row in ROWS if row.name in options.rows]:
                if any(is_of(result, row, options, seed) for result in results):
                    continue
                whole = same_training(row, ROWS)
                twins = [result for result in results if whole is not row and is_of(result, whole, options, seed)]
                results.append(as_row(twins[0], row) if twins else run_row(row, options, seed) | (origin or {}))
                write(results, options.results)
                draw(results, options.results.with_suffix(".png"))
                print(json.dumps(results[-1]), flush=True)
    except AcfdError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    from measure import commit, device  # only as a script: tests import this module

    sys.exit(main(origin={"commit": commit(), "device": device()}))
