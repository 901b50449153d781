"""A new CPU runner is one module and one line of the table: a toy one is added to a copy of the package and used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.detect.tiny_model import write_tiny_model

PACKAGE = Path(__file__).resolve().parents[2] / "acfd_stream"
TOY = '''
"""Finds bright heads without a network."""

import numpy as np

from acfd_stream.detect.runner import EngineFacts
from acfd_stream.ops.anchors import anchor_grid


class ToyRunner:
    concurrency = 1

    def __init__(self, path, spec, config, int8_path):
        self.spec, self.facts = spec, EngineFacts("toy", "f32", "1")

    def run(self, images):
        anchors = anchor_grid(images.shape[1:3], self.spec.anchors)
        scores = np.zeros((len(images), len(anchors)), np.float32)
        for row, image in zip(scores, images):
            y, x = np.nonzero(image.mean(axis=2) > 128)
            head = [(x.min() + x.max()) / 2, (y.min() + y.max()) / 2, np.ptp(x), np.ptp(y)]
            row[np.abs(anchors - head).sum(axis=1).argmin()] = 0.9
        return scores, np.zeros((*scores.shape, 4), np.float32)

    def for_latency(self, picture_threads):
        return None

    def close(self):
        pass
'''
LINE = '    RunnerEntry("toy", lambda: None, toy_runner.ToyRunner),\n'
TABLE = "CPU_RUNNERS: list[RunnerEntry[CpuOpener]] = [\n"
IMPORT = "from acfd_stream.detect import "
USE = """
import json, sys
import numpy as np
from acfd_stream.config import DetectConfig
from acfd_stream.detect import Detector

y, x = np.mgrid[:128, :128]
head = (y - 60) ** 2 + (x - 68) ** 2 <= 16**2
eyes = (abs(y - 55) <= 2) & (abs(abs(x - 68) - 6) <= 2)
image = np.where((head & ~eyes)[..., None], np.uint8([255, 224, 196]), np.uint8(30))
with Detector.open(sys.argv[1], "cpu", DetectConfig(size=128)) as detector:
    found = detector.detect(image)
    print(json.dumps([detector.description, found.boxes_xyxy.tolist(), found.scores.round(3).tolist()]))
"""


def test_a_new_cpu_runner_touches_two_files(tmp_path: Path) -> None:
    folder = tmp_path / "acfd_stream"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__", "model"))
    (folder / "detect" / "toy_runner.py").write_text(TOY)
    table = folder / "detect" / "runners.py"
    text = table.read_text().replace(TABLE, TABLE + LINE).replace(IMPORT, f"{IMPORT}toy_runner, ")
    assert text.count("toy") == 3
    table.write_text(text)
    model = write_tiny_model(tmp_path / "tiny.onnx")
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": "-1"}
    call = [sys.executable, "-c", USE, str(model)]
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    description, boxes, scores = json.loads(done.stdout)
    assert description == "toy 1, cpu, f32"
    assert len(boxes) == 1
    assert scores[0] > 0.8
    assert max(abs(got - want) for got, want in zip(boxes[0], (52, 44, 84, 76), strict=True)) <= 4
