"""Checks that a config's network can learn: overfits a few drawn pictures and plots the curve.

    python benchmarks/overfit.py --config model/configs/acfd-51.toml --threads 1

An interrupted run resumes. ``benchmarks/results/overfit-NAME.json`` and ``.png`` contain the loss and AP50 over time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from acfd_stream.config import DetectConfig
from acfd_stream.model.average_precision import score
from acfd_stream.model.predict import TorchDetector
from acfd_stream.model.readers import FACE, Sample
from acfd_stream.model.settings import ScheduleConfig, TrainConfig
from acfd_stream.model.toon import picture
from acfd_stream.model.trainer import Trainer

ROOT = Path(__file__).resolve().parent.parent
LEAST_SIDE = 16  # pixels; the smallest anchor


def drawn(count: int, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Drawn pictures uint8 [size, size, 3] and their boxes [N, 4]; every picture has faces that an anchor can match."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    seed = 0
    while len(found) < count:
        seed += 1
        image, boxes = picture(np.random.default_rng(seed), (size, size))
        if len(boxes) and np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)).min() > LEAST_SIDE:
            found.append((image, boxes))
    return found


def ap50(trainer: Trainer, pictures: list[tuple[np.ndarray, np.ndarray]], size: int) -> float:
    """AP50 of the averaged weights on the training pictures."""
    detect = TorchDetector(trainer.averaged, trainer.spec, DetectConfig(size=size)).detect
    samples = [Sample(Path("x"), boxes, np.full(len(boxes), FACE, np.int8)) for _, boxes in pictures]
    return round(score(samples, [detect(image) for image, _ in pictures]).ap50, 4)


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Plot loss and AP50 by iteration; does nothing without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    axes.plot([row["iteration"] for row in rows], [row["classification"] for row in rows], label="classification loss")
    axes.set(xlabel="iteration", ylabel="loss", yscale="log")
    other = axes.twinx()
    scored = [row for row in rows if "ap50" in row]
    other.plot([row["iteration"] for row in scored], [row["ap50"] for row in scored], "o-", color="tab:orange")
    other.set(ylabel="AP50 on the same pictures", ylim=(0, 1.02))
    axes.legend(loc="center right")
    figure.savefig(path, dpi=120, bbox_inches="tight")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="config of the network, match and loss")
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4, help="pictures per iteration")
    parser.add_argument("--size", type=int, default=224, help="side of the pictures in pixels, a multiple of 32")
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate (AdamW, cosine)")
    parser.add_argument("--look", type=int, default=25, help="iterations between measurements of AP50")
    parser.add_argument("--threads", type=int, default=0, help="threads that compute; 0: one per core")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/overfit", help="checkpoints")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks/results")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


def main(arguments: Sequence[str] | None = None, origin: dict[str, str] | None = None) -> int:
    """0 when AP50 on the pictures reaches 0.99."""
    options = _parser().parse_args(arguments)
    cv2.setNumThreads(1)
    if options.threads:
        torch.set_num_threads(options.threads)
    config = TrainConfig.load(options.config)
    schedule = ScheduleConfig(
        kind="cosine", learning_rate=options.rate, batch=options.batch, iterations=options.iterations, warmup=20,
        sizes=(options.size,), ema=0.9,
    )  # fmt: skip
    trainer = Trainer(dataclasses.replace(config, schedule=schedule), [], np.ones(1), options.device)
    name = f"overfit-{config.name}"
    checkpoint, result = options.out / f"{name}.pt", options.results / f"{name}.json"
    for folder in (options.out, options.results):
        folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, float]] = []
    if checkpoint.exists():
        trainer.load(checkpoint)
        rows = json.loads(result.read_text())["curve"]
    pictures = drawn(options.pictures, options.size)
    while trainer.progress < 1:
        rows.append(one_step(trainer, pictures, options.batch))
        if trainer.iteration % options.look == 0 or trainer.progress >= 1:
            rows[-1]["ap50"] = ap50(trainer, pictures, options.size)
            trainer.save(checkpoint)
            said = {key: getattr(options, key) for key in ("pictures", "batch", "size", "iterations", "rate")}
            content = {"name": name, **(origin or {}), "parameters": said, "curve": rows}
            result.write_text(json.dumps(content, indent=1) + "\n")
            draw(rows, result.with_suffix(".png"))
            print(json.dumps(rows[-1]), flush=True)
    return 0 if rows[-1]["ap50"] >= 0.99 else 1


def one_step(trainer: Trainer, pictures: list[tuple[np.ndarray, np.ndarray]], batch: int) -> dict[str, float]:
    """Train on the next ``batch`` shuffled pictures."""
    started, rng = time.monotonic(), np.random.default_rng(trainer.iteration)
    chosen = [pictures[number] for number in rng.permutation(len(pictures))[:batch]]
    images = torch.from_numpy(np.stack([image for image, _ in chosen]))
    targets = [(torch.from_numpy(boxes), torch.full((len(boxes),), FACE, dtype=torch.int8)) for _, boxes in chosen]
    losses = trainer.step(images, targets)
    trainer.seconds += time.monotonic() - started
    found = {"classification": round(losses.classification, 5), "regression": round(losses.regression, 5)}
    return {"iteration": trainer.iteration, "minutes": round(trainer.seconds / 60, 2), **found}


if __name__ == "__main__":
    from measure import commit, device  # only as a script: tests import this module

    sys.exit(main(origin={"commit": commit(), "device": device()}))
