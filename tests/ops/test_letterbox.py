"""letterbox: hand-checked pictures, equality of backends over a table, and swscale as an outside truth."""

from __future__ import annotations

import itertools

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation

from acfd_stream.errors import ShapeError
from acfd_stream.ops import available_backends, letterbox, thumbnail
from acfd_stream.ops.anchors import Letterbox
from acfd_stream.types import ColorMatrix, Picture, PixelFormat
from tests.ops.backends import BACKENDS

SIZES = [(1, 1), (2, 3), (37, 53), (64, 96), (5, 130)]
VIEWS = [((1, 1), (1, 1)), ((20, 31), (32, 32)), ((70, 64), (96, 96))]  # content, network
PAD = (1, 2, 3)
# Both round a few times on the way, in different places: a value near a half may end on either side of it.
SWSCALE_LEVELS = 1
# Without the last three swscale drops fractions and halves the colour, which costs it up to seven levels.
SWSCALE_FLAGS = sum(
    int(Interpolation[name]) for name in ("BILINEAR", "ACCURATE_RND", "FULL_CHR_H_INT", "FULL_CHR_H_INP")
)


def view_of(content, network):
    return Letterbox(network, content, content)


def random_planes(pixel_format, size, bit_depth, rng):
    dtype = np.uint8 if bit_depth == 8 else np.uint16
    chroma = (-(-size[0] // 2), -(-size[1] // 2))
    shapes = {
        PixelFormat.YUV420P: [size, chroma, chroma],
        PixelFormat.NV12: [size, (*chroma, 2)],
        PixelFormat.RGB24: [(*size, 3)],
    }[pixel_format]
    return tuple(rng.integers(0, 2**bit_depth, shape).astype(dtype) for shape in shapes)


def gray_picture(luma, **others):
    """YUV420P over a luma plane, without colour."""
    height, width = luma.shape
    grey = np.full((-(-height // 2), -(-width // 2)), 128, np.uint8)
    return Picture((luma, grey, grey), PixelFormat.YUV420P, (height, width), **others)


def test_the_compiled_backend_is_built():
    assert available_backends()[:2] == ("reference", "cpp")


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_image_of_the_contents_size_passes_unchanged(backend):
    image = np.random.default_rng(0).integers(0, 256, (9, 14, 3)).astype(np.uint8)
    view = letterbox(Picture.from_rgb(image), view_of((9, 14), (32, 32)), PAD, backend=backend)
    assert np.array_equal(view[:9, :14], image)
    assert (view[9:] == PAD).all()
    assert (view[:, 14:] == PAD).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_size_weighs_two_samples_by_three_eighths_and_their_neighbours_by_one_eighth(backend):
    image = np.zeros((1, 8, 3), np.uint8)
    image[0, :, 0] = [0, 0, 0, 80, 160, 0, 0, 0]
    view = thumbnail(Picture.from_rgb(image), (1, 4), backend=backend)
    assert view[0, :, 0].tolist() == [0, 50, 70, 0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("rotation", "expected"),
    [
        (0, [[1, 2, 3], [4, 5, 6]]),
        (90, [[4, 1], [5, 2], [6, 3]]),
        (180, [[6, 5, 4], [3, 2, 1]]),
        (270, [[3, 6], [2, 5], [1, 4]]),
    ],
)
def test_the_stored_picture_is_turned_clockwise(backend, rotation, expected):
    image = np.repeat(np.array([[1, 2, 3], [4, 5, 6]], np.uint8)[..., None], 3, axis=2)
    size = np.shape(expected)
    picture = Picture((image,), PixelFormat.RGB24, size, rotation=rotation)
    assert thumbnail(picture, size, backend=backend)[..., 0].tolist() == expected


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("is_full_range", "luma", "levels"),
    [(False, [0, 16, 126, 235, 255], [0, 0, 128, 255, 255]), (True, [0, 16, 126, 235, 255], [0, 16, 126, 235, 255])],
)
def test_range_decides_what_is_black_and_white(backend, is_full_range, luma, levels):
    picture = gray_picture(np.array([luma], np.uint8), is_full_range=is_full_range)
    assert thumbnail(picture, (1, 5), backend=backend)[0].tolist() == [[level] * 3 for level in levels]


def float_rgb(y, u, v, picture):
    """Red, green and blue 0 … 255 of one sample each, by the standards' formula in floats."""
    top, step = 2**picture.bit_depth - 1, 2 ** (picture.bit_depth - 8)
    black, luma, chroma = (0, top, top) if picture.is_full_range else (16 * step, 219 * step, 224 * step)
    kr, kb = {
        ColorMatrix.BT601: (0.299, 0.114),
        ColorMatrix.BT709: (0.2126, 0.0722),
        ColorMatrix.BT2020: (0.2627, 0.0593),
    }[picture.color_matrix]
    y, u, v = (y - black) / luma, (u - 128 * step) / chroma, (v - 128 * step) / chroma
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip([red, green, blue], 0, 1) * 255


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bit_depth", [8, 10, 16])
@pytest.mark.parametrize("is_full_range", [False, True])
@pytest.mark.parametrize("color_matrix", list(ColorMatrix))
def test_colours_are_within_a_level_of_the_formula_in_floats(backend, bit_depth, is_full_range, color_matrix):
    rng = np.random.default_rng(1)
    for _ in range(40):
        planes = random_planes(PixelFormat.YUV420P, (1, 1), bit_depth, rng)
        picture = Picture(planes, PixelFormat.YUV420P, (1, 1), bit_depth, color_matrix, is_full_range)
        truth = float_rgb(*(float(plane[0, 0]) for plane in planes), picture)
        assert np.abs(thumbnail(picture, (1, 1), backend=backend)[0, 0] - truth).max() <= 1


@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("bit_depth", [8, 10, 16])
@pytest.mark.parametrize("pixel_format", list(PixelFormat))
@pytest.mark.parametrize("size", SIZES)
def test_backends_agree_on_every_level(backend, pixel_format, bit_depth, size):
    planes = random_planes(pixel_format, size, bit_depth, np.random.default_rng(2))
    settings = itertools.product(VIEWS, [0, 90, 180, 270], [False, True], list(ColorMatrix))
    for (content, network), rotation, is_full_range, color_matrix in settings:
        picture = Picture(planes, pixel_format, content, bit_depth, color_matrix, is_full_range, rotation)
        reference = letterbox(picture, view_of(content, network), PAD, backend="reference")
        view = letterbox(picture, view_of(content, network), PAD, backend=backend)
        assert np.array_equal(view, reference), (content, rotation, is_full_range)


@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("pixel_format", list(PixelFormat))
@pytest.mark.parametrize("bit_depth", [8, 10])
@pytest.mark.parametrize("content", [(96, 192), (64, 128), (48, 96), (32, 64), (24, 48), (16, 32), (6, 12), (1, 2)])
def test_backends_agree_at_scales_with_few_taps_and_with_many(backend, pixel_format, bit_depth, content):
    planes = random_planes(pixel_format, (96, 192), bit_depth, np.random.default_rng(4))
    picture = Picture(planes, pixel_format, content, bit_depth)
    reference = letterbox(picture, view_of(content, (96, 192)), PAD, backend="reference")
    assert np.array_equal(letterbox(picture, view_of(content, (96, 192)), PAD, backend=backend), reference)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bit_depth", [8, 10])
@pytest.mark.parametrize("pixel_format", list(PixelFormat))
def test_the_layout_in_memory_does_not_matter(backend, pixel_format, bit_depth):
    planes = random_planes(pixel_format, (13, 22), bit_depth, np.random.default_rng(3))
    layouts = {
        "padded rows": lambda plane: np.pad(plane, [(0, 0), (0, 7)] + [(0, 0)] * (plane.ndim - 2))[:, :-7],
        "every second sample": lambda plane: np.repeat(plane, 2, axis=1)[:, ::2],
        "columns first": lambda plane: np.asfortranarray(plane),
        "upside down": lambda plane: plane[::-1].copy()[::-1],
        "read-only": lambda plane: np.frombuffer(plane.tobytes(), plane.dtype).reshape(plane.shape),
        "odd address": lambda plane: np.frombuffer(b"x" + plane.tobytes(), plane.dtype, offset=1).reshape(plane.shape),
    }
    plain = thumbnail(Picture(planes, pixel_format, (8, 9), bit_depth), (8, 9), backend=backend)
    for name, layout in layouts.items():
        picture = Picture(tuple(map(layout, planes)), pixel_format, (8, 9), bit_depth)
        assert np.array_equal(thumbnail(picture, (8, 9), backend=backend), plain), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_stray_bits_above_the_depth_end_in_white(backend):
    luma = np.full((4, 4), 0xFFFF, np.uint16)
    grey = np.full((2, 2), 512, np.uint16)
    picture = Picture((luma, grey, grey), PixelFormat.YUV420P, (4, 4), bit_depth=10)
    assert (thumbnail(picture, (2, 2), backend=backend) == 255).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("outputs", [1, 3, 25, 50, 120])
def test_a_plain_colour_stays_plain_at_any_scale(backend, outputs):
    picture = gray_picture(np.full((51, 50), 77, np.uint8), is_full_range=True)
    assert (thumbnail(picture, (outputs, outputs), backend=backend) == 77).all()


def smooth_planes(height, width):
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    luma = 128 + 60 * np.sin(x / 40) + 40 * np.cos(y / 30)
    planes = [luma, 128 + 50 * np.cos(x / 60 + 1)[::2, ::2], 128 + 50 * np.sin(y / 50)[::2, ::2]]
    return tuple(np.round(plane).astype(np.uint8) for plane in planes)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [(90, 160), (128, 96), (180, 320), (240, 480)])
@pytest.mark.parametrize("color_matrix", list(ColorMatrix))
def test_a_smooth_picture_looks_as_swscale_makes_it(backend, size, color_matrix):
    height, width = 180, 320
    planes = smooth_planes(height, width)
    stacked = np.concatenate([plane.ravel() for plane in planes]).reshape(height * 3 // 2, width)
    frame = av.VideoFrame.from_ndarray(stacked, format="yuv420p")
    truth = frame.reformat(
        width=size[1],
        height=size[0],
        format="rgb24",
        src_colorspace={ColorMatrix.BT601: 5, ColorMatrix.BT709: 1, ColorMatrix.BT2020: 9}[color_matrix],
        interpolation=SWSCALE_FLAGS,
        threads=1,
    ).to_ndarray()
    picture = Picture(planes, PixelFormat.YUV420P, (height, width), color_matrix=color_matrix)
    difference = np.abs(thumbnail(picture, size, backend=backend).astype(int) - truth)
    assert difference.max() <= SWSCALE_LEVELS


Y, UV = np.zeros((5, 6), np.uint8), np.zeros((3, 3), np.uint8)
VALID = {
    "planes": (Y, UV, UV),
    "pixel_format": PixelFormat.YUV420P,
    "display_size": (5, 6),
    "content_size": (5, 6),
    "network_size": (32, 64),
    "pad": PAD,
}
BAD = [
    ({"planes": (Y, UV)}, "planes must be 3 arrays for yuv420p, got 2"),
    ({"planes": (Y.astype(float), UV, UV)}, r"planes\[0\] must be uint8 \[H, W\], got float64 \[5, 6\]"),
    ({"planes": ([[0]], UV, UV)}, r"planes\[0\] must be uint8 \[H, W\], got list"),
    ({"planes": (Y[:0], UV, UV)}, r"planes\[0\] must be 1 … 65535 samples high and wide, got \(0, 6\)"),
    ({"planes": (Y, UV[:2], UV)}, r"planes\[1\] must be uint8 \[3, 3\], got uint8 \[2, 3\]"),
    ({"planes": (Y, UV, UV[0])}, r"planes\[2\] must be uint8 \[3, 3\], got uint8 \[3\]"),
    ({"bit_depth": 10}, r"planes\[0\] must be uint16 \[H, W\], got uint8 \[5, 6\]"),
    ({"bit_depth": 17}, "bit_depth must be in 8 … 16, got 17"),
    ({"rotation": 45}, "rotation must be 0, 90, 180 or 270, got 45"),
    (
        {"planes": (Y, UV), "pixel_format": PixelFormat.NV12},
        r"planes\[1\] must be uint8 \[3, 3, 2\], got uint8 \[3, 3\]",
    ),
    ({"planes": (Y,), "pixel_format": PixelFormat.RGB24}, r"planes\[0\] must be uint8 \[H, W, 3\], got uint8 \[5, 6\]"),
    ({"content_size": (33, 6)}, r"content_size must be in \(1, 1\) … \(32, 64\), got \(33, 6\)"),
    ({"content_size": (0, 6)}, r"content_size must be in \(1, 1\) … \(32, 64\), got \(0, 6\)"),
    ({"network_size": (32, 20000)}, r"network_size must be in \(1, 1\) … \(16384, 16384\), got \(32, 20000\)"),
    ({"pad": (0, 256, 0)}, r"pad must be three levels in 0 … 255, got \(0, 256, 0\)"),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("change", "message"), BAD)
def test_a_bad_argument_is_named(backend, change, message):
    arguments = VALID | change
    content, network, pad = (arguments.pop(name) for name in ("content_size", "network_size", "pad"))
    with pytest.raises(ShapeError, match=f"^{message}$"):
        letterbox(Picture(**arguments), view_of(content, network), pad, backend=backend)
