"""What times the network: agreement before the clock, seconds a picture, ratios against the fastest of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acfd_stream.types import FloatArray
from benchmarks import bench_detector
from benchmarks.bench_detector import Images, Run

IMAGES = np.zeros((2, 64, 96, 3), np.uint8)


def saying(score: float, calls: list[str] | None = None, name: str = "") -> Run:
    def run(images: Images) -> FloatArray:
        if calls is not None:
            calls.append(name)
        return np.full((len(images), 10), score, np.float32)

    return run


def test_seconds_are_those_of_a_picture_and_ratios_are_against_the_fastest_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = {"openvino_f32": [0.4, 0.4], "openvino_bf16": [0.2, 0.1], "onnxruntime_f32": [0.8, 0.6]}
    monkeypatch.setattr(bench_detector, "in_turn", lambda calls, rounds: taken)
    runs = dict.fromkeys(taken, saying(0.9))
    rows = {row["name"]: row for row in bench_detector.bench(runs, IMAGES, 96, 2)}
    assert set(rows) == {
        "detector_openvino_bf16_96_b2",
        *(f"detector_{name}_96_b2{end}" for name in ("openvino_f32", "onnxruntime_f32") for end in ("", "_ratio")),
    }
    assert rows["detector_openvino_f32_96_b2"]["median"] == 0.2
    assert rows["detector_onnxruntime_f32_96_b2_ratio"]["median"] == pytest.approx((4.0 + 6.0) / 2)
    assert rows["detector_onnxruntime_f32_96_b2"]["parameters"]["view"] == "64x96"


def test_every_runtime_takes_its_turn() -> None:
    calls: list[str] = []
    runs = {name: saying(0.9, calls, name) for name in ("openvino_f32", "onnxruntime_f32")}
    bench_detector.bench(runs, IMAGES, 96, 3)
    assert calls[-6:] == ["openvino_f32", "onnxruntime_f32"] * 3


@pytest.mark.parametrize(("other", "complaint"), [(0.8, "differs from the reference by 0.1"), (0.9, "")])
def test_nothing_is_timed_that_says_something_else(other: float, complaint: str) -> None:
    runs = {"openvino_f32": saying(0.9), "onnxruntime_f32": saying(other)}
    if not complaint:
        assert bench_detector.bench(runs, IMAGES, 96, 1)
        return
    with pytest.raises(SystemExit, match=complaint):
        bench_detector.bench(runs, IMAGES, 96, 1)


def test_nothing_is_timed_where_there_is_no_face_to_compare() -> None:
    with pytest.raises(SystemExit, match="no face"):
        bench_detector.bench({"openvino_f32": saying(0.1)}, IMAGES, 96, 1)


def test_the_runtimes_agree_on_the_tiny_model(tiny_model: Path) -> None:
    images = np.zeros((2, 64, 96, 3), np.uint8)
    images[0, 4:36, 4:36] = images[1, 28:60, 44:76] = 255
    law = bench_detector.openvino(tiny_model, "f32")(images)
    other = bench_detector.by_onnxruntime(tiny_model)
    for _ in range(2):  # what is kept from the first run serves the second
        np.testing.assert_allclose(other(images), law, atol=bench_detector.MOST_DIFFERENCE["f32"])
    assert law.max() > bench_detector.LEAST_SCORE
