from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from acfd_stream.config import DetectConfig, TrackConfig
from acfd_stream.detect import detector as module
from acfd_stream.detect.detector import Detector, find_model, models
from acfd_stream.errors import ConfigError, RunnerError, ShapeError
from acfd_stream.networks.shipped import shipped_files, weights_folder
from acfd_stream.types import Detections, Picture, PixelFormat
from tests.detect.tiny_model import ALIGNED_SCORE, white_square, write_tiny_model

PIXELS = 0.5  # of a box corner after scaling
SCORE_TOLERANCE = 0.01  # bf16 keeps 8 bits


@pytest.fixture(scope="module")
def detector(tiny_model: Path) -> Iterator[Detector]:
    with Detector.open(tiny_model, config=DetectConfig(size=128, threads=2)) as opened:
        yield opened


def assert_same(one: Detections, two: Detections) -> None:
    assert np.array_equal(one.boxes_xyxy, two.boxes_xyxy)
    assert np.array_equal(one.scores, two.scores)


def test_a_face_comes_out_where_it_is(detector: Detector) -> None:
    found = detector.detect(white_square((96, 128), left=36, top=28, side=32))
    assert found.boxes_xyxy.dtype == found.scores.dtype == np.float32
    assert found.boxes_xyxy[0].tolist() == [36, 28, 68, 60]
    assert found.scores[0] == pytest.approx(ALIGNED_SCORE, abs=SCORE_TOLERANCE)
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("size", [(240, 320), (480, 640), (48, 64), (97, 131)])
def test_boxes_are_in_pixels_of_the_picture(detector: Detector, size: tuple[int, int]) -> None:
    ratio = max(size) / 128
    box = [round(value * ratio) for value in (36, 28, 68, 60)]
    image = np.zeros((*size, 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = 255
    found = detector.detect(image)
    assert found.boxes_xyxy[0] == pytest.approx(box, abs=PIXELS * max(ratio, 2))


def test_two_faces_come_out_best_first(detector: Detector) -> None:
    image = np.maximum(
        white_square((96, 128), left=12, top=28, side=32), white_square((96, 128), left=76, top=28, side=32) // 8 * 7
    )
    boxes = detector.detect(image).boxes_xyxy
    assert boxes[:2].tolist() == [[12, 28, 44, 60], [76, 28, 108, 60]]


def test_a_picture_without_faces_gives_none(detector: Detector) -> None:
    assert len(detector.detect(np.zeros((96, 128, 3), np.uint8))) == 0


def test_faces_below_the_least_score_are_left_out(detector: Detector) -> None:
    image = white_square((96, 128), left=36, top=28, side=48)
    everything = detector.detect(image, min_score=0.0)
    least = float(everything.scores.mean())
    assert len(detector.detect(image)) == int((everything.scores >= TrackConfig.start_score).sum())
    assert 0 < len(detector.detect(image, min_score=least)) < len(everything)
    assert everything.at_least(0.0).scores.tolist() == everything.scores.tolist()
    with pytest.raises(ConfigError, match=r"min_score must be in \[0, 1\], got 2"):
        detector.detect(image, min_score=2)


def test_what_was_cut_off_counts_only_above_the_least_score() -> None:
    found = Detections(np.zeros((2, 4), np.float32), np.array([0.9, 0.5], np.float32), True, cut_score=0.4)
    assert (len(found.at_least(0.5)), found.at_least(0.5).is_truncated) == (2, False)
    assert (len(found.at_least(0.4)), found.at_least(0.4).is_truncated) == (2, True)


def test_boxes_stay_inside_the_picture(detector: Detector) -> None:
    found = detector.detect(white_square((95, 127), left=0, top=0, side=48), min_score=0.0)
    assert len(found) > 0
    assert found.boxes_xyxy.min() >= 0
    assert (found.boxes_xyxy[:, 2:] <= [127, 95]).all()


def test_pictures_of_a_batch_do_not_depend_on_each_other(detector: Detector) -> None:
    random = np.random.default_rng(3)
    sizes = [(96, 128), (64, 64), (96, 128), (128, 96), (33, 77)]
    images = [random.integers(0, 2, (*size, 1), dtype=np.uint8).repeat(3, 2) * 255 for size in sizes]
    images.append(white_square((96, 128), 36, 28, 32))
    together = detector.detect_batch([Picture.from_rgb(image) for image in images])
    for image, found in zip(images, together, strict=True):
        assert_same(detector.detect(image), found)
    assert detector.detect_batch([]) == []


def test_a_picture_alone_may_have_both_threads_and_several_have_one_each(tiny_model: Path) -> None:
    images = [white_square((96, 128), left=36, top=top, side=32) for top in (4, 28, 60)]
    with Detector.open(tiny_model, config=DetectConfig(size=128, threads=2, picture_threads=2)) as sharing:
        assert sharing.concurrency == 1
        for image, together in zip(
            images, sharing.detect_batch([Picture.from_rgb(one) for one in images]), strict=True
        ):
            assert_same(sharing.detect(image), together)
    with pytest.raises(RunnerError, match="is closed"):
        sharing.detect(images[0])


def test_planes_give_what_rgb_gives(detector: Detector) -> None:
    luma = white_square((96, 128), 36, 28, 32)[..., 0]
    grey = np.full((48, 64), 128, np.uint8)
    picture = Picture((luma, grey, grey), PixelFormat.YUV420P, (96, 128), is_full_range=True)
    assert_same(detector.detect_batch([picture])[0], detector.detect(luma[..., None].repeat(3, 2)))


def test_a_face_of_every_size_is_found_by_several_scales(tiny_model: Path) -> None:
    image = white_square((192, 256), left=48, top=48, side=24)  # fits an anchor at twice its size only
    config = DetectConfig(scales=(192, 256), threads=2)
    with Detector.open(tiny_model, config=config) as several:
        merged, seconds = several.detect_timed([Picture.from_rgb(image)])[0]
    with Detector.open(tiny_model, config=DetectConfig(scales=(192,))) as one:
        single = one.detect(image)
    assert merged.scores[0] > single.scores[0] if len(single) else len(merged) > 0
    assert merged.boxes_xyxy[0] == pytest.approx([48, 48, 72, 72], abs=6)
    assert set(seconds) == {"queue", "preprocess", "infer", "decode_boxes", "nms"}
    assert min(seconds.values()) >= 0


@pytest.mark.parametrize("cap", [{"candidates": 1}, {"faces": 1}])
def test_a_cap_that_bites_is_seen(tiny_model: Path, cap: dict[str, int]) -> None:
    image = np.maximum(white_square((96, 128), 12, 28, 32), white_square((96, 128), 76, 28, 32))
    with Detector.open(tiny_model, config=DetectConfig(size=128, **cap)) as capped:
        found = capped.detect(image)
        assert (len(found), found.is_truncated) == (1, True)
        assert 0 < found.cut_score <= found.scores[0]
        assert not capped.detect(np.zeros((96, 128, 3), np.uint8)).is_truncated


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)])
def test_an_array_that_is_no_picture_is_refused(detector: Detector, image: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"image must be a path, uint8 \[H, W, 3\] RGB, a PIL image or a Picture, got"):
        detector.detect(image)


def test_a_closed_detector_says_so(tiny_model: Path) -> None:
    opened = Detector.open(tiny_model)
    opened.close()
    opened.close()
    with pytest.raises(RunnerError, match="model tiny is closed"):
        opened.detect(white_square((64, 64), 12, 12, 32))


def test_shipped_models_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_model(tmp_path / "tiny-b.onnx", version="2")
    write_tiny_model(tmp_path / "tiny-a.onnx")
    monkeypatch.setattr(module, "shipped_files", lambda folder=None: shipped_files(folder or tmp_path))
    assert [(model.name, model.spec.version) for model in models()] == [("tiny-a", "1"), ("tiny-b", "2")]
    with Detector.open("tiny-b") as opened:
        assert opened.spec.version == "2"
    with pytest.raises(RunnerError, match="no model 'tiny-c': there is tiny-a, tiny-b; or give the path"):
        Detector.open("tiny-c")


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match=r"model file .*gone\.onnx does not exist"):
        find_model(tmp_path / "gone.onnx")


def test_the_folder_of_shipped_models_is_found_without_torch() -> None:
    assert weights_folder().parts[-2:] == ("model", "weights")
