"""Batches on a device: every picture gets what the reference gives it alone, whatever neighbours and threads do.

The stand-in runs the kernels on the CPU; with a GPU the same tests run there, too.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import warnings
from dataclasses import replace

import numpy as np
import pytest

from acfd_stream.errors import ShapeError
from acfd_stream.ops import decode_anchors, letterbox, merge_scales
from acfd_stream.ops.anchors import AnchorSpec, Letterbox, anchor_count, fit
from acfd_stream.ops.cuda.batch import CudaOps
from acfd_stream.ops.cuda.device import CupyDevice
from acfd_stream.types import Picture, PixelFormat
from tests.ops.cuda_on_cpu.device import CpuDevice, OnDevice

SPEC = AnchorSpec()
PAD = (7, 8, 9)
MEAN, STD = (104.0, 117.5, 123.0), (58.0, 57.0, 57.5)
IOU = 0.4
PROT_NONE = 0  # of mprotect(2)


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def ops(request):
    opened = CudaOps(CpuDevice(block_threads=128) if request.param == "cpu" else CupyDevice())
    yield opened
    opened.close()


def picture_of(pixel_format, size, rng, **others):
    """Noise of ``size`` in a layout."""
    dtype = np.uint8 if others.get("bit_depth", 8) == 8 else np.uint16
    chroma = (-(-size[0] // 2), -(-size[1] // 2))
    shapes = {
        PixelFormat.YUV420P: [size, chroma, chroma],
        PixelFormat.NV12: [size, (*chroma, 2)],
        PixelFormat.RGB24: [(*size, 3)],
    }[pixel_format]
    planes = tuple(rng.integers(0, 2 ** others.get("bit_depth", 8), shape).astype(dtype) for shape in shapes)
    rotation = others.get("rotation", 0)
    return Picture(planes, pixel_format, size if rotation in (0, 180) else size[::-1], **others)


def mixed_pictures():
    rng = np.random.default_rng(1)
    return [
        picture_of(PixelFormat.NV12, (54, 96), rng),
        picture_of(PixelFormat.YUV420P, (96, 54), rng, rotation=90, is_full_range=True),
        picture_of(PixelFormat.RGB24, (31, 300), rng),
        picture_of(PixelFormat.YUV420P, (54, 97), rng, rotation=180, bit_depth=10),
        picture_of(PixelFormat.NV12, (400, 211), rng, rotation=270),
    ]


def views_of(pictures, size=64):
    """Each picture fitted into one network size."""
    return [replace(fit(picture.display_size, size), network_size=(size, size)) for picture in pictures]


def expected_image(picture, view):
    """float32 [3, H, W]: the levels of the reference, normalised."""
    levels = letterbox(picture, view, PAD, backend="reference").astype(np.float32)
    return ((levels - np.array(MEAN, np.float32)) / np.array(STD, np.float32)).transpose(2, 0, 1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_one_launch_letterboxes_pictures_of_every_kind(ops, dtype):
    pictures = mixed_pictures()
    views = views_of(pictures)
    target = ops.letterboxes(len(pictures), (64, 64), dtype, PAD, MEAN, STD)
    target.put(pictures, views)
    found = ops.to_host(target.images)
    assert (found.shape, found.dtype) == ((5, 3, 64, 64), dtype)
    for place, (picture, view) in enumerate(zip(pictures, views, strict=True)):
        assert np.array_equal(found[place], expected_image(picture, view).astype(dtype)), place


def test_a_view_that_is_not_square_holds_pictures_that_lie_on_their_side(ops):
    rng = np.random.default_rng(2)
    pictures = [picture_of(PixelFormat.NV12, (150, 40), rng, rotation=90), picture_of(PixelFormat.NV12, (40, 150), rng)]
    views = [Letterbox((32, 160), (30, 155), picture.display_size) for picture in pictures]
    target = ops.letterboxes(2, (32, 160), np.float32, PAD, MEAN, STD)
    target.put(pictures, views)
    found = ops.to_host(target.images)
    assert all(np.array_equal(found[at], expected_image(pictures[at], views[at])) for at in range(2))


def test_rows_without_a_picture_keep_what_they_had(ops):
    pictures = mixed_pictures()
    target = ops.letterboxes(3, (64, 64), np.float32, PAD, MEAN, STD)
    target.put(pictures[:3], views_of(pictures[:3]))
    before = ops.to_host(target.images)
    target.put(pictures[3:4], views_of(pictures[3:4]))
    after = ops.to_host(target.images)
    assert np.array_equal(after[1:], before[1:])
    assert np.array_equal(after[0], expected_image(pictures[3], views_of(pictures[3:4])[0]))


class Event:
    """Tells whether somebody waited for it."""

    def __init__(self):
        self.is_waited_for = False

    def synchronize(self):
        self.is_waited_for = True


def strided(device, plane):
    """The plane in a larger array on the device, upside down."""
    room = device.upload(np.zeros((plane.shape[0], plane.shape[1] + 5, *plane.shape[2:]), plane.dtype))
    inside = room[::-1, : plane.shape[1]]
    inside[...] = plane
    return inside


def test_planes_on_the_device_are_read_where_they_are_once_they_are_ready():
    ops = CudaOps(CpuDevice())
    picture = mixed_pictures()[0]
    event = Event()
    on_device = replace(picture, planes=tuple(strided(ops.device, plane) for plane in picture.planes), ready=event)
    assert isinstance(on_device.planes[0], OnDevice)
    target = ops.letterboxes(1, (64, 64), np.float32, PAD, MEAN, STD)
    uploads = []
    ops.device.upload = uploads.append
    target.put([on_device], views_of([picture]))
    assert np.array_equal(ops.to_host(target.images)[0], expected_image(picture, views_of([picture])[0]))
    assert (event.is_waited_for, uploads) == (True, [])


def before_nothing(plane):
    """The plane on the device, at the end of what memory the process has there."""
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, (plane.nbytes // page + 2) * page)
    room = np.frombuffer(memory, np.uint8)
    nothing = ctypes.c_void_p(room.ctypes.data + len(room) - page)
    assert ctypes.CDLL(None).mprotect(nothing, page, PROT_NONE) == 0
    inside = room[len(room) - page - plane.nbytes : len(room) - page].view(plane.dtype).reshape(plane.shape)
    inside[...] = plane
    return inside.view(OnDevice)


def exit_code_of(work):
    """0, or what a process that does ``work`` dies of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of other tests are none of the child's
        child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("bit_depth", [8, 10])
@pytest.mark.parametrize("size", [(1, 16), (2, 16), (3, 24), (6, 64), (64, 32), (5, 13)])
def test_nothing_is_read_behind_the_end_of_a_plane(size, bit_depth):
    picture = picture_of(PixelFormat.NV12, size, np.random.default_rng(10), bit_depth=bit_depth)
    views = [Letterbox((32, 32), content, size) for content in [(1, 2), (2, 16), (32, 32)]]
    expected = [expected_image(picture, view) for view in views]
    ops = CudaOps(CpuDevice())
    target = ops.letterboxes(1, (32, 32), np.float32, PAD, MEAN, STD)
    on_device = replace(picture, planes=tuple(before_nothing(plane) for plane in picture.planes))

    def put_all():
        for view, wanted in zip(views, expected, strict=True):
            target.put([on_device], [view])
            assert np.array_equal(ops.to_host(target.images)[0], wanted)

    assert exit_code_of(put_all) == 0


@pytest.mark.parametrize(
    ("count", "change", "message"),
    [
        (3, {}, "pictures must be at most 2 with a view each, got 3 and 3 views"),
        (1, {"network_size": (32, 64)}, r"network_size must be \(64, 64\), got \(32, 64\)"),
        (1, {"content_size": (65, 64)}, r"content_size must be in \(1, 1\) … \(64, 64\), got \(65, 64\)"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(ops, count, change, message):
    pictures = mixed_pictures()[:count]
    views = [replace(view, **change) for view in views_of(pictures)]
    target = ops.letterboxes(2, (64, 64), np.float32, PAD, MEAN, STD)
    with pytest.raises(ShapeError, match=f"^{message}$"):
        target.put(pictures, views)


def expected_faces(views, outputs, candidates, faces, threshold, backend="reference"):
    """Faces of one picture by the ops of the host; ``outputs`` are (scores [A], deltas [A, 4]) of every view."""
    scales, cuts = [], []
    for view, (scores, deltas) in zip(views, outputs, strict=True):
        found = decode_anchors(scores, deltas, view, SPEC, threshold, candidates, backend=backend)
        limit = np.array(view.display_size[::-1] * 2, np.float32)
        scales.append((np.clip(view.to_display(found.boxes_xyxy), 0, limit), found.scores))
        cuts += [float(found.scores[-1])] if found.is_truncated else []
    merged = merge_scales(scales, IOU, faces, backend=backend)
    return replace(merged, is_truncated=True, cut_score=max(merged.cut_score, *cuts)) if cuts else merged


def random_outputs(sizes, pictures, rng, share=0.5):
    """Scores with ties and NaN, deltas with all that a network can bring forth; a batch of each for every size."""
    outputs = []
    for size in sizes:
        count = anchor_count(size, SPEC)
        scores = np.round(rng.random((pictures, count)), 2).astype(np.float32)
        scores *= rng.random((pictures, count)) < share
        deltas = (rng.standard_normal((pictures, count, 4)) * 3).astype(np.float32)
        scores[:, ::37], deltas[:, ::41, 0], deltas[:, ::43, 3] = np.nan, np.nan, -400.0
        outputs.append((scores, deltas))
    return outputs


def run_faces(found, ops, views, outputs):
    """Faces of the batch by the device."""
    found.begin(views)
    for scale, (scores, deltas) in enumerate(outputs):
        found.decode(scale, ops.device.upload(scores), ops.device.upload(deltas))
    found.suppress()
    return found.read()


def require_equal(got, wanted):
    assert np.array_equal(got.boxes_xyxy, wanted.boxes_xyxy)
    assert np.array_equal(got.scores, wanted.scores)
    assert (got.is_truncated, got.cut_score) == (wanted.is_truncated, wanted.cut_score)


SIZES = [(64, 96), (96, 160)]


def two_scales(display_size):
    height, width = display_size
    ratios = [min(size[0] / height, size[1] / width) for size in SIZES]
    return [
        Letterbox(size, (max(1, int(height * ratio)), max(1, int(width * ratio))), display_size)
        for size, ratio in zip(SIZES, ratios, strict=True)
    ]


@pytest.mark.parametrize(("candidates", "faces"), [(1, 1), (7, 100), (300, 3), (5000, 40), (5000, 5000)])
@pytest.mark.parametrize("threshold", [0.0, 0.08, 0.9])
def test_faces_of_a_batch_are_those_of_its_pictures_one_by_one(ops, candidates, faces, threshold):
    views = [two_scales(size) for size in [(1080, 1920), (601, 333), (50, 1000)]]
    outputs = random_outputs(SIZES, 4, np.random.default_rng(3))
    found = ops.faces(4, SIZES, SPEC, score_threshold=threshold, candidates=candidates, nms_iou=IOU, faces=faces)
    got = run_faces(found, ops, views, outputs)  # the fourth row has no picture
    assert len(got) == 3
    for place in range(3):
        own = [(scores[place], deltas[place]) for scores, deltas in outputs]
        require_equal(got[place], expected_faces(views[place], own, candidates, faces, threshold))


@pytest.mark.parametrize("share", [0.0, 0.02])
def test_a_picture_with_few_faces_or_none_is_told_in_full(ops, share):
    views = [two_scales((480, 640))]
    outputs = random_outputs(SIZES, 1, np.random.default_rng(4), share)
    found = ops.faces(1, SIZES, SPEC, score_threshold=0.08, candidates=1000, nms_iou=IOU, faces=100)
    own = [(scores[0], deltas[0]) for scores, deltas in outputs]
    got = run_faces(found, ops, views, outputs)[0]
    require_equal(got, expected_faces(views[0], own, 1000, 100, 0.08))
    assert not got.is_truncated
    assert (len(got) == 0) == (share == 0.0)


def test_scores_that_are_all_the_same_are_cut_by_index(ops):
    size = (64, 96)
    scores, deltas = np.full((1, 513), 0.5, np.float32), np.zeros((1, 513, 4), np.float32)
    found = ops.faces(1, [size], SPEC, score_threshold=0.5, candidates=100, nms_iou=1.0, faces=200)
    got = run_faces(found, ops, [[Letterbox(size, size, size)]], [(scores, deltas)])[0]
    expected = decode_anchors(scores[0], deltas[0], Letterbox(size, size, size), SPEC, 0.5, 100, backend="reference")
    assert np.array_equal(got.boxes_xyxy, expected.boxes_xyxy)
    assert (got.is_truncated, got.cut_score) == (True, 0.5)


def test_a_thousand_random_batches_give_the_reference_indices(ops):
    """Two pictures a batch, ties everywhere, caps that bite: every box, score and flag as the reference has them."""
    rng = np.random.default_rng(5)
    size = (32, 64)
    view = Letterbox(size, (30, 60), (30, 60))
    found = ops.faces(2, [size], SPEC, score_threshold=0.3, candidates=24, nms_iou=IOU, faces=12)
    for batch in range(1000):
        outputs = random_outputs([size], 2, rng, share=rng.choice([0.05, 0.2, 0.9]))
        got = run_faces(found, ops, [[view], [view]], outputs)
        for place in range(2):
            own = [(outputs[0][0][place], outputs[0][1][place])]
            wanted = expected_faces([view], own, 24, 12, 0.3)
            assert np.array_equal(got[place].boxes_xyxy, wanted.boxes_xyxy), (batch, place)
            require_equal(got[place], wanted)


@pytest.mark.parametrize("threads", [32, 64, 1024])
@pytest.mark.parametrize("seed", range(4))
def test_neither_the_order_of_threads_nor_their_number_changes_a_bit(threads, seed):
    ops = CudaOps(CpuDevice(seed=seed, block_threads=threads))
    views = [two_scales((1080, 1920)), two_scales((333, 500))]
    outputs = random_outputs(SIZES, 2, np.random.default_rng(6))
    found = ops.faces(2, SIZES, SPEC, score_threshold=0.08, candidates=200, nms_iou=IOU, faces=50)
    got = run_faces(found, ops, views, outputs)
    for place in range(2):
        own = [(scores[place], deltas[place]) for scores, deltas in outputs]
        require_equal(got[place], expected_faces(views[place], own, 200, 50, 0.08, backend="cpp"))


def test_the_launches_of_a_batch_can_be_captured_and_replayed_over_other_outputs(ops):
    sizes = SIZES[:1]
    views = [[two_scales((480, 640))[0]]]
    first, second = (random_outputs(sizes, 1, np.random.default_rng(seed))[0] for seed in (7, 8))
    scores, deltas = (ops.empty(array.shape, np.float32) for array in first)
    found = ops.faces(1, sizes, SPEC, score_threshold=0.08, candidates=100, nms_iou=IOU, faces=20)
    run_faces(found, ops, views, [first])  # what is done at a first launch may not be captured
    ops.begin_capture()
    found.decode(0, scores, deltas)
    found.suppress()
    graph = ops.end_capture()
    for outputs in (first, second):
        found.begin(views)
        ops.to_device(outputs[0], scores)
        ops.to_device(outputs[1], deltas)
        graph.launch()
        require_equal(found.read()[0], expected_faces(views[0], [(outputs[0][0], outputs[1][0])], 100, 20, 0.08))


def test_a_batch_is_two_launches_and_no_wait():
    ops = CudaOps(CpuDevice(block_threads=32))
    outputs = random_outputs(SIZES[:1], 4, np.random.default_rng(9))
    found = ops.faces(4, SIZES[:1], SPEC, score_threshold=0.08, candidates=100, nms_iou=IOU, faces=20)
    run_faces(found, ops, [[two_scales((480, 640))[0]]] * 4, outputs)
    assert ops.device.launches == ["decode_anchors", "nms"]


def test_outputs_and_views_of_another_shape_are_refused(ops):
    found = ops.faces(2, [(32, 32)], SPEC, score_threshold=0.1, candidates=9, nms_iou=IOU, faces=9)
    view = Letterbox((32, 32), (32, 32), (32, 32))
    with pytest.raises(ShapeError, match=r"^views must be at most 2 pictures of 1 views each, got"):
        found.begin([[view, view]])
    count = anchor_count((32, 32), SPEC)
    with pytest.raises(ShapeError, match=rf"^scores must be float32 \[2, {count}\], got float32 \[1, {count}\]$"):
        found.decode(0, ops.empty((1, count), np.float32), ops.empty((1, count, 4), np.float32))
    with pytest.raises(ShapeError, match=rf"^deltas must be float32 \[2, {count}, 4\], got float64"):
        found.decode(0, ops.empty((2, count), np.float32), ops.empty((2, count, 4), np.float64))
