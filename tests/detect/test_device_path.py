"""The path of a GPU, on a stand-in for one: what comes out is what the path of the CPU gives, to the last bit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from acfd_stream.config import DetectConfig
from acfd_stream.detect.device import GpuNetwork
from acfd_stream.detect.device_path import DevicePath
from acfd_stream.detect.device_sizes import SizedNetwork, batches
from acfd_stream.detect.host_path import HostPath
from acfd_stream.detect.runner import read_spec
from acfd_stream.errors import RunnerError, ShapeError
from acfd_stream.ops.anchors import Letterbox
from acfd_stream.types import Detections, Picture, PixelFormat
from tests.detect.openers import DeviceRunner, kernels_on_cpu, onnxruntime_on_cpu
from tests.detect.stand_in_gpu import StandInOps
from tests.detect.tiny_model import white_square, write_tiny_model

CONFIG = DetectConfig(size=128, batch=4)
VIEW = Letterbox((64, 64), (64, 64), (64, 64))


@pytest.fixture
def path(tiny_model: Path) -> Iterator[DevicePath]:
    found = DevicePath(onnxruntime_on_cpu(tiny_model, CONFIG))
    yield found
    found.close()


def drawing(height: int, width: int, seed: int = 0) -> Picture:
    """Squares anywhere, as planes of YUV."""
    random = np.random.default_rng(seed)
    luma = np.zeros((height, width), np.uint8)
    for _ in range(8):
        side = int(random.integers(1, min(height, width) // 2))
        top, left = int(random.integers(0, height - side)), int(random.integers(0, width - side))
        luma[top : top + side, left : left + side] = random.integers(128, 256)
    grey = np.full((-(-height // 2), -(-width // 2)), 128, np.uint8)
    return Picture((luma, grey, grey), PixelFormat.YUV420P, (height, width))


SIZES = [(96, 128), (96, 128), (128, 96), (97, 131), (96, 128), (97, 131), (96, 128), (96, 128), (480, 640)]
MIXED = [drawing(*size, seed) for seed, size in enumerate(SIZES)]


def assert_same(got: Sequence[Detections], expected: Sequence[Detections]) -> None:
    assert len(got) == len(expected)
    for one, two in zip(got, expected, strict=True):
        assert np.array_equal(one.boxes_xyxy, two.boxes_xyxy)
        assert np.array_equal(one.scores, two.scores)
        assert (one.is_truncated, one.cut_score) == (two.is_truncated, two.cut_score)


@pytest.mark.parametrize("make_ops", [StandInOps, kernels_on_cpu], ids=["stand-in", "kernels"])
@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        DetectConfig(size=128, batch=1),
        DetectConfig(size=160, batch=3, candidates=5, faces=2),
        DetectConfig(scales=(64, 96, 128), batch=4),
        DetectConfig(scales=(96, 96), batch=2, nms_iou=0.2),
        DetectConfig(scales=(64, 128), batch=5, candidates=3, faces=4),
    ],
    ids=["plain", "one by one", "capped", "scales", "one scale twice", "capped scales"],
)
def test_it_gives_what_the_path_of_the_cpu_gives(
    tiny_model: Path, config: DetectConfig, make_ops: Callable[[], Any]
) -> None:
    on_gpu, on_cpu = (
        DevicePath(onnxruntime_on_cpu(tiny_model, config, make_ops())),
        HostPath(DeviceRunner(onnxruntime_on_cpu(tiny_model, config)), config),
    )
    got, expected = on_gpu.detect(MIXED), on_cpu.detect(MIXED)
    assert_same([found for found, _ in got], [found for found, _ in expected])
    assert sum(len(found) for found, _ in got) > len(MIXED)
    assert any(found.is_truncated for found, _ in got) == (config.faces < 100)
    assert [set(seconds) for _, seconds in got] == [set(seconds) for _, seconds in expected]
    assert all(min(seconds.values()) >= 0 for _, seconds in got)
    on_gpu.close()
    on_cpu.close()


def test_neighbours_and_order_change_nothing(path: DevicePath) -> None:
    together = [found for found, _ in path.detect(MIXED)]
    alone = [path.detect([picture])[0][0] for picture in MIXED]
    backwards = [found for found, _ in path.detect(MIXED[::-1])][::-1]
    assert_same(together, alone)
    assert_same(together, backwards)
    assert path.detect([]) == []


def test_threads_may_share_it(path: DevicePath) -> None:
    expected = [found for found, _ in path.detect(MIXED)]
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(path.detect, [MIXED] * 8):
            assert_same([found for found, _ in got], expected)


def test_a_picture_that_is_refused_harms_no_later_one(path: DevicePath) -> None:
    expected = [found for found, _ in path.detect(MIXED)]
    broken = Picture((np.zeros((96, 128), np.uint8),), PixelFormat.NV12, (96, 128))
    with pytest.raises(ShapeError, match="planes must be 2 arrays for nv12"):
        path.detect([MIXED[0], broken, MIXED[1]])
    assert_same([found for found, _ in path.detect(MIXED)], expected)


def test_a_closed_path_says_so(tiny_model: Path) -> None:
    gpu = onnxruntime_on_cpu(tiny_model, CONFIG)
    path = DevicePath(gpu)
    path.detect(MIXED[:1])
    path.close()
    path.close()
    assert gpu.ops.is_closed  # type: ignore[attr-defined]
    with pytest.raises(RunnerError, match="model tiny is closed"):
        path.detect(MIXED[:1])


def test_more_sizes_than_are_kept_give_what_they_gave_before(path: DevicePath) -> None:
    pictures = [drawing(32 * height, 128, height) for height in range(1, 5)]
    pictures += [drawing(128, 32 * width, width) for width in range(1, 5)] + [drawing(16, 128), drawing(5, 128)]
    first = [path.detect([picture])[0][0] for picture in pictures]
    assert_same([path.detect([picture])[0][0] for picture in pictures], first)


def test_sizes_that_are_there_go_on_while_another_is_compiled(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = onnxruntime_on_cpu(tiny_model, CONFIG)
    path = DevicePath(gpu)
    expected = path.detect(MIXED[:1])[0][0]
    compiling, go_on = threading.Event(), threading.Event()

    def slowly(*_: object) -> None:
        compiling.set()
        assert go_on.wait(20)

    monkeypatch.setattr(gpu.network, "compile", slowly)
    with ThreadPoolExecutor(1) as pool:
        new = pool.submit(path.detect, [drawing(128, 64)])
        assert compiling.wait(20)
        assert_same([path.detect(MIXED[:1])[0][0]], [expected])  # would wait for ever
        assert not new.done()
        go_on.set()
        assert len(new.result(20)) == 1
    path.close()


@pytest.mark.parametrize(
    ("most", "expected"), [(1, (1,)), (2, (1, 2)), (4, (1, 2, 4)), (6, (1, 2, 4, 6)), (64, (1, 2, 4, 8, 16, 32, 64))]
)
def test_batches_are_powers_of_two_and_the_largest(most: int, expected: tuple[int, ...]) -> None:
    assert batches(most) == expected


class Blotting:
    """A network that gives the mean of a picture as its scores, in every batch the same, then does ``change``."""

    dtype = np.dtype(np.float32)

    def __init__(self, model: Path, change: Callable[[int, np.ndarray], None]) -> None:
        self.spec, self.change = read_spec(model), change

    def programs(
        self, _: object, counts: Sequence[int], images: np.ndarray, scores: np.ndarray, deltas: np.ndarray
    ) -> list[SimpleNamespace]:
        def launch(count: int) -> None:
            for row in range(count):
                scores[row], deltas[row] = images[row].mean(), 0
            self.change(count, scores)

        return [SimpleNamespace(launch=lambda count=count: launch(count)) for count in counts]


def sized(model: Path, change: Callable[[int, np.ndarray], None]) -> SizedNetwork:
    network: Any = Blotting(model, change)
    return SizedNetwork(GpuNetwork(network, StandInOps(), CONFIG), (64, 64))


def test_batches_that_give_the_same_are_all_used(tiny_model: Path) -> None:
    assert sized(tiny_model, lambda *_: None).usable == (1, 2, 4)


def test_a_batch_that_differs_in_the_last_bit_is_not_used(tiny_model: Path) -> None:
    def change(count: int, scores: np.ndarray) -> None:
        scores[0, 5] = np.nextafter(scores[0, 5], np.float32(1)) if count == 2 else scores[0, 5]

    network = sized(tiny_model, change)
    assert network.usable == (1, 4)
    network.letterboxes.put([Picture.from_rgb(white_square((64, 64), 12, 12, 32))] * 2, [VIEW] * 2)
    network.launch(2)
    scores, _ = network.outputs(2)
    assert np.array_equal(scores[0], scores[1])


def test_a_batch_in_which_the_place_of_a_picture_matters_is_not_used(tiny_model: Path) -> None:
    def change(count: int, scores: np.ndarray) -> None:
        scores[2 : count if count == 4 else 0] += np.float32(1e-6)

    assert sized(tiny_model, change).usable == (1, 2)


def test_a_network_that_does_not_give_the_same_twice_is_refused(tiny_model: Path) -> None:
    random = np.random.default_rng(0)
    with pytest.raises(RunnerError, match="model tiny at 64×64 gives other results when run again"):
        sized(tiny_model, lambda _, scores: np.copyto(scores, random.random(scores.shape)))


def test_broken_weights_are_seen_before_the_first_picture(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "broken.onnx", channel_weights=(float("nan"), 0.0, 0.0))
    with pytest.raises(RunnerError, match="model tiny gives numbers that are not finite"):
        DevicePath(onnxruntime_on_cpu(model, CONFIG)).detect(MIXED[:1])
