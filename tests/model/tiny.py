"""A network and a set of pictures that train in a second."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

CONFIG = """
name = "tiny"
validation = "set"
evaluate_size = 64
[network]
pyramid_channels = 8
head_layers = 0
[network.backbone]
stem = [4, 4, 8]
split = [8, 8, 8, 8, 8, 8]
concat = [8, 8, 8, 8, 8, 8]
repeat = [1, 1, 1, 1, 1, 1]
layers = 1
[schedule]
kind = "cosine"
iterations = 4
batch = 4
warmup = 1
sizes = [64]
[[data]]
kind = "coco"
annotation = "annotations/set.json"
images = "images"
weight = 1.0
"""


def write_data(folder: Path) -> Path:
    """``folder`` with the config as ``tiny.toml`` and a set of two pictures with a face each."""
    for name in ("annotations", "images"):
        (folder / name).mkdir()
    images = [{"id": n, "file_name": f"{n}.png", "width": 80, "height": 80} for n in (1, 2)]
    rows = [{"id": n, "image_id": n, "bbox": [10 * n, 20, 30, 30]} for n in (1, 2)]
    (folder / "annotations/set.json").write_text(json.dumps({"images": images, "annotations": rows}))
    for n in (1, 2):
        image = np.random.default_rng(n).integers(0, 255, (80, 80, 3), np.uint8)
        cv2.imwrite(str(folder / f"images/{n}.png"), image)
    (folder / "tiny.toml").write_text(CONFIG)
    return folder
