"""What every ``Runner`` keeps; a new implementation is one more parameter of the fixture."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from acfd_stream.config import DetectConfig
from acfd_stream.detect.detector import find_int8_variant, find_model
from acfd_stream.detect.device_choice import open_network
from acfd_stream.detect.openvino_runner import OpenVinoRunner
from acfd_stream.detect.runner import Runner
from acfd_stream.errors import RunnerError, ShapeError
from acfd_stream.ops.anchors import anchor_count, anchor_grid
from tests.detect.openers import RUNNERS, open_by, open_runner
from tests.detect.tiny_model import ALIGNED_SCORE, white_square, write_tiny_model

SCORE_TOLERANCE = 0.01  # bf16 keeps 8 bits


@pytest.fixture(params=RUNNERS)
def opener(request: pytest.FixtureRequest) -> Callable[[Path], Runner]:
    """What opens a model file with a runner."""
    return partial(open_by, request.param)


@pytest.fixture
def runner(opener: Callable[[Path], Runner], tiny_model: Path) -> Iterator[Runner]:
    opened = opener(tiny_model)
    yield opened
    opened.close()


@pytest.fixture
def openvino_runner(tiny_model: Path) -> Iterator[Runner]:
    opened = open_runner(tiny_model, "cpu", DetectConfig(threads=2))
    yield opened
    opened.close()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def test_a_square_that_fills_an_anchor_scores_highest_there(runner: Runner) -> None:
    scores, deltas = runner.run(white_square((96, 160), left=36, top=28, side=32)[None])
    assert scores.shape == (1, anchor_count((96, 160), runner.spec.anchors))
    best = int(scores[0].argmax())
    assert anchor_grid((96, 160), runner.spec.anchors)[best].tolist() == [52, 44, 32, 32]
    assert scores[0, best] == pytest.approx(ALIGNED_SCORE, abs=SCORE_TOLERANCE)
    assert deltas.shape == (*scores.shape, 4)
    assert not deltas.any()


def test_channels_are_red_green_blue(opener: Callable[[Path], Runner], tmp_path: Path) -> None:
    red_only = opener(write_tiny_model(tmp_path / "red.onnx", channel_weights=(1.0, 0.0, 0.0)))
    square = white_square((64, 64), 12, 12, 32)
    best = [float(red_only.run((square * np.uint8(mask))[None])[0].max()) for mask in np.eye(3, dtype=np.uint8)]
    assert best[0] > 0.9
    assert max(best[1:]) < 0.01
    red_only.close()


def test_mean_and_deviation_are_applied_by_channel(
    opener: Callable[[Path], Runner], tmp_path: Path, runner: Runner
) -> None:
    shifted = write_tiny_model(tmp_path / "shifted.onnx", mean=[10.0, 20.0, 30.0], std=[51.0, 102.0, 204.0])
    other = opener(shifted)
    images = (white_square((64, 64), 12, 12, 32) // 255 * np.array([51, 102, 204]) + [10, 20, 30]).astype(np.uint8)
    plain = runner.run(white_square((64, 64), 12, 12, 32)[None])[0]
    assert other.run(images[None])[0] == pytest.approx(plain, abs=2 * SCORE_TOLERANCE)
    other.close()


@pytest.mark.parametrize("batch", [2, 7])
def test_a_picture_does_not_depend_on_its_neighbours(runner: Runner, batch: int) -> None:
    images = noise(batch, 64, 96, 3)
    together = runner.run(images)
    for index, image in enumerate(images):
        alone = runner.run(image[None])
        assert np.array_equal(alone[0][0], together[0][index])
        assert np.array_equal(alone[1][0], together[1][index])


def test_the_number_of_threads_changes_no_bit(openvino_runner: Runner, tiny_model: Path) -> None:
    single = open_runner(tiny_model, "cpu", DetectConfig(threads=1))
    images = noise(3, 64, 64, 3)
    assert np.array_equal(single.run(images)[0], openvino_runner.run(images)[0])
    assert (single.concurrency, openvino_runner.concurrency) == (1, 2)
    single.close()


@pytest.mark.parametrize("precision", ["int8", "f32"])
def test_threads_that_share_a_picture_change_no_bit(precision: str) -> None:
    path, int8_path = find_model("acfd-n"), find_int8_variant("acfd-n")
    config = DetectConfig(threads=2, precision=precision)
    apart = open_network(path, "cpu", config, int8_path)
    together = apart.for_latency(2)
    assert together is not None
    assert (apart.concurrency, together.concurrency) == (2, 1)
    images = noise(1, 160, 256, 3)
    for mine, theirs in zip(apart.run(images), together.run(images), strict=True):
        assert np.array_equal(mine, theirs)
    for runner in (apart, together):
        runner.close()


def test_nothing_is_gathered_where_there_is_one_thread(tiny_model: Path) -> None:
    alone = open_network(tiny_model, "cpu", DetectConfig(threads=1))
    assert alone.for_latency(2) is None
    alone.close()


def test_no_pictures_give_no_scores(runner: Runner) -> None:
    scores, deltas = runner.run(np.zeros((0, 64, 64, 3), np.uint8))
    assert scores.shape[0] == deltas.shape[0] == 0


def test_a_picture_need_not_be_contiguous(runner: Runner) -> None:
    image = noise(64, 128, 3)[:, ::2]
    assert np.array_equal(runner.run(image[None])[0], runner.run(image[None].copy())[0])


def test_many_sizes_in_turn_give_what_they_gave_before(runner: Runner) -> None:
    sizes = [(32, 32 * width) for width in range(1, 11)]  # more than stay compiled
    first = [runner.run(noise(1, *size, 3))[0] for size in sizes]
    again = [runner.run(noise(1, *size, 3))[0] for size in sizes]
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))


def test_threads_may_share_a_runner(runner: Runner) -> None:
    images = noise(12, 64, 64, 3)
    expected = runner.run(images)[0]
    got: dict[int, np.ndarray] = {}
    work = [
        threading.Thread(target=lambda part=part: got.update({part: runner.run(images[part::4])[0]}))  # type: ignore[misc]
        for part in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert all(np.array_equal(got[part], expected[part::4]) for part in range(4))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((64, 64, 3), np.uint8), r"images must be uint8 \[B, H, W, 3\], got uint8 \[64, 64, 3\]"),
        (np.zeros((1, 64, 64, 3), np.float32), "got float32"),
        (np.zeros((1, 64, 64, 4), np.uint8), "images must be uint8"),
        (np.zeros((1, 64, 65, 3), np.uint8), "images must be a multiple of 32 pixels high and wide, got 64×65"),
        (np.zeros((1, 0, 64, 3), np.uint8), "got 0×64"),
    ],
)
def test_wrong_pictures_are_refused(runner: Runner, images: np.ndarray, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        runner.run(images)


@pytest.mark.parametrize("strides", [[8, 16], [8, 16, 32, 64], [7, 16, 32]])
def test_a_network_that_is_not_what_its_file_says_is_refused(
    opener: Callable[[Path], Runner], strides: list[int], tmp_path: Path
) -> None:
    other = opener(write_tiny_model(tmp_path / "other.onnx", strides=strides))
    with pytest.raises(RunnerError, match=r"the network gives scores \[1, 84\] where the strides .* have \d+ anchors"):
        other.run(noise(1, 64, 64, 3))
    other.close()


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_network_with_broken_weights_is_refused(
    opener: Callable[[Path], Runner], weight: float, tmp_path: Path
) -> None:
    broken = opener(write_tiny_model(tmp_path / "broken.onnx", channel_weights=(weight, 0.0, 0.0)))
    # OpenVINO itself refuses scales that are not finite.
    with pytest.raises(RunnerError, match=r"gives numbers that are not finite|OpenVINO failed: could not append"):
        broken.run(noise(1, 64, 64, 3))
    broken.close()


def test_a_closed_runner_says_so(runner: Runner) -> None:
    runner.close()
    runner.close()
    with pytest.raises(RunnerError, match="model tiny is closed"):
        runner.run(noise(1, 64, 64, 3))


def test_it_says_what_it_runs_on(runner: Runner) -> None:
    facts = runner.facts
    assert facts.backend in ("openvino", "onnxruntime", "tensorrt")
    assert facts.precision in ("f32", "bf16", "f16", "int8")
    assert not facts.is_fallback
    assert facts.description.startswith(f"{facts.backend} {facts.version}, {facts.device}")
    assert facts.precision in facts.description.split(", ")
    assert facts.description.endswith(facts.detail or facts.precision)


def test_openvino_says_how_many_threads_it_has(openvino_runner: Runner) -> None:
    facts = openvino_runner.facts
    assert facts.description == f"openvino {facts.version}, cpu, {facts.precision}, 2 threads"
    assert (facts.device, facts.sm, facts.trt) == ("cpu", "", "")


TWO_FIRST_CALLS = """
import functools, operator, sys, threading
from pathlib import Path
from acfd_stream.config import DetectConfig
from acfd_stream.detect.device_choice import open_network
runner = open_network(Path(sys.argv[1]), "cpu", DetectConfig())
import openvino
go = threading.Lock()
go.acquire()
slow = functools.partial(sum, range(2_000_000))  # one call into C: the other thread is waiting for the lock by then
calls = [go.release, slow, openvino.Type.u8.to_dtype]
first = threading.Thread(target=lambda: list(map(operator.call, calls)))
second = threading.Thread(target=lambda: (go.acquire(), openvino.Type.u8.to_dtype()))
for thread in (second, first):
    thread.start()
for thread in (second, first):
    thread.join()
runner.close()
"""


def test_two_threads_that_come_to_openvino_first_do_not_wait_for_each_other(tiny_model: Path) -> None:
    call = [sys.executable, "-B", "-c", TWO_FIRST_CALLS, str(tiny_model)]
    subprocess.run(call, check=True, timeout=60, stdin=subprocess.DEVNULL)


def test_a_new_size_is_compiled_while_known_ones_go_on(
    openvino_runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = openvino_runner
    known, new = noise(1, 64, 64, 3), noise(1, 96, 96, 3)
    runner.run(known)
    compiling, go_on = threading.Event(), threading.Event()
    compiled = OpenVinoRunner._compiled

    def slowly(self: OpenVinoRunner, size: tuple[int, int]) -> object:
        compiling.set()
        assert go_on.wait(20)
        return compiled(self, size)

    monkeypatch.setattr(OpenVinoRunner, "_compiled", slowly)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(runner.run, new), pool.submit(runner.run, new)
        assert compiling.wait(20)
        runner.run(known)  # would wait for ever
        assert not first.done()
        go_on.set()
        assert np.array_equal(first.result(20)[0], second.result(20)[0])
