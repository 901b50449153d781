"""letterbox of HDR and BT.2020: curves by points of the standards, levels by the formula in floats, backends alike."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from acfd_stream import _C
from acfd_stream.errors import ShapeError
from acfd_stream.ops import letterbox, thumbnail
from acfd_stream.ops.anchors import Letterbox
from acfd_stream.ops.tone import hlg_scene_light, pq_light, rgb_to_xyz
from acfd_stream.types import ColorMatrix, Picture, PixelFormat, Primaries, Transfer
from tests.ops.backends import BACKENDS
from tests.ops.test_letterbox import random_planes

PAD = (1, 2, 3)
TONED = [*itertools.product(Transfer, [Primaries.BT2020]), (Transfer.PQ, Primaries.BT709), (Transfer.HLG, Primaries.P3)]
# Signals are rounded to 12 bits. A step of a bright channel is some levels of one that the matrix makes nearly black.
LEVELS, NEARLY_BLACK, LEVELS_THERE = 1, 64, 14


def picture_of(planes, pixel_format, transfer, primaries, bit_depth=10, **others):
    return Picture(
        planes, pixel_format, planes[0].shape[:2], bit_depth, transfer=transfer, primaries=primaries, **others
    )


def rgb_picture(rgb, transfer, primaries=Primaries.BT2020):
    """Signals 0 … 1 [H, W, 3] as RGB of 16 bits."""
    planes = (np.round(np.asarray(rgb) * 65535).astype(np.uint16),)
    return picture_of(planes, PixelFormat.RGB24, transfer, primaries, 16)


@pytest.mark.parametrize(
    ("signal", "light"), [(0, 0), (0.5081, 100), (0.5807, 203), (0.7518, 1000), (0.9026, 4000), (1, 10000)]
)
def test_pq_gives_the_light_of_report_bt_2408(signal, light):
    assert pq_light(np.array(signal)) == pytest.approx(light, rel=2e-3)


def test_hlg_gives_a_twelfth_at_half_its_signal_and_all_at_the_top():
    assert hlg_scene_light(np.array([0, 0.5, 1])) == pytest.approx([0, 1 / 12, 1], abs=1e-6)


def test_bt_2020_becomes_bt_709_by_the_matrix_of_bt_2407():
    matrix = np.linalg.inv(rgb_to_xyz(Primaries.BT709)) @ rgb_to_xyz(Primaries.BT2020)
    expected = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    assert np.abs(matrix - expected).max() < 1e-4


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("transfer", "white"), [(Transfer.PQ, 0.5807), (Transfer.HLG, 0.75), (Transfer.SDR, 1)])
@pytest.mark.parametrize("primaries", [Primaries.BT2020, Primaries.P3])
def test_reference_white_is_255_and_black_is_0(backend, transfer, white, primaries):
    picture = rgb_picture(np.array([[[0.0] * 3, [white] * 3, [1.0] * 3]]), transfer, primaries)
    assert thumbnail(picture, (1, 3), backend=backend)[0].tolist() == [[0] * 3, [255] * 3, [255] * 3]


def pq_of(light):
    """The signal of light in cd/m²: the inverse EOTF of ST 2084."""
    power = (light / 10000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def hlg_of(light):
    """The signal [..., 3] of light in cd/m²: the inverse OOTF and the OETF of BT.2100."""
    luminance = np.maximum(light @ [0.2627, 0.6780, 0.0593] / 1000, 1e-9)
    scene = light / 1000 * luminance[..., None] ** (1 / 1.2 - 1)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene, 1) - 0.28466892) + 0.55991073
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("transfer", "signal_of"), [(Transfer.PQ, pq_of), (Transfer.HLG, hlg_of)])
def test_an_sdr_picture_that_was_made_hdr_comes_back(backend, transfer, signal_of):
    levels = np.random.default_rng(1).integers(1, 256, (24, 40, 3))
    light = 203 * (levels / 255) ** 2.4
    to_bt2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])  # BT.2087
    picture = rgb_picture(signal_of(light @ to_bt2020.T), transfer)
    found = thumbnail(picture, (24, 40), backend=backend).astype(int)
    differences = np.abs(found - levels)
    assert differences.mean() < 0.1
    assert differences[levels > NEARLY_BLACK].max() <= LEVELS
    assert differences.max() <= LEVELS_THERE


@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("bit_depth", [8, 10])
@pytest.mark.parametrize("pixel_format", list(PixelFormat))
@pytest.mark.parametrize(("transfer", "primaries"), TONED)
def test_backends_agree_on_every_level(backend, bit_depth, pixel_format, transfer, primaries):
    planes = random_planes(pixel_format, (37, 131), bit_depth, np.random.default_rng(2))
    for rotation, is_full_range in ((0, False), (90, True), (180, False)):
        for content in ((30, 64), (37, 131), (9, 20)):
            picture = picture_of(
                planes,
                pixel_format,
                transfer,
                primaries,
                bit_depth,
                color_matrix=ColorMatrix.BT2020,
                is_full_range=is_full_range,
                rotation=rotation,
            )
            view = Letterbox((140, 140), content, content)
            expected = letterbox(picture, view, PAD, backend="reference")
            assert np.array_equal(letterbox(picture, view, PAD, backend=backend), expected)


def test_a_table_of_another_length_is_refused():
    planes = random_planes(PixelFormat.RGB24, (4, 4), 8, np.random.default_rng(3))
    with pytest.raises(ShapeError, match=r"^tone_table must be float32 \[\d+\], got float32 \[3\]$"):
        _C.letterbox(planes, "rgb24", 8, "bt709", True, np.zeros(3, np.float32), 0, (4, 4), (4, 4), PAD, "")
