"""Tables that bring HDR or BT.2020 to SDR BT.709: what ``csrc/tone_map.h`` looks up for each pixel after its matrix.

A signal becomes light by its transfer curve, light of BT.709 by a 3x3 matrix, and a level by the curve of an SDR
display. Reference white, 203 cd/m² in HDR (ITU-R BT.2408, section 2.1), becomes level 255. Brighter light and colours
outside BT.709 are clipped, so that everything below white looks as in an SDR version of the same picture.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acfd_stream.types import FloatArray, Picture, Primaries, Transfer

Floats = NDArray[np.float64]

CODE_BITS = 4
"""A code is a level in 1/16."""
CODES = (255 << CODE_BITS) + 1
BIN_SHIFT = 15
"""A bin of light, a float32, has all bits above these: 256 bins an octave."""
DARKEST = np.float32(2.0**-22)
"""Light below it, white being 1, is black; the first level is 1.7e-6."""
BINS = 22 * 256 + 1
WHITE = 203.0
"""Reference white in cd/m²: ITU-R BT.2408, table 1, 58 % of PQ and 75 % of HLG."""
PQ_PEAK = 10000.0
HLG_PEAK = 1000.0
"""Of the HLG reference display, in cd/m²."""
HLG_GAMMA = 1.2
"""System gamma of a display with that peak: ITU-R BT.2100, table 5, note 5f."""
SDR_GAMMA = 2.4
"""ITU-R BT.1886, annex 1, with a black of 0."""
CHROMATICITIES = {
    Primaries.BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    Primaries.BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    Primaries.P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
"""x and y of red, green and blue: ITU-R BT.709 and BT.2020, item "chromaticity coordinates"; SMPTE EG 432-1."""
WHITE_POINT = (0.3127, 0.3290)
"""D65, of all of them."""
TONE_TABLE = np.dtype(
    [
        ("gamut", "f4", (3, 3)),
        ("luminance", "f4", 3),
        ("light", "f4", CODES),
        ("gain", "f4", BINS),
        ("level", "f4", BINS),
    ]
)
"""``ToneTable`` of ``csrc/tone_map.h``."""


def tone_table(picture: Picture) -> FloatArray | None:
    """The table for ``picture``, float32 [floats of a TONE_TABLE]; None where its levels are SDR of BT.709 already."""
    if picture.transfer is Transfer.SDR and picture.primaries is Primaries.BT709:
        return None
    return _table(picture.transfer, picture.primaries)


@lru_cache
def _table(transfer: Transfer, primaries: Primaries) -> FloatArray:
    to_xyz = rgb_to_xyz(primaries)
    table = np.zeros((), TONE_TABLE)
    table["gamut"] = np.linalg.inv(rgb_to_xyz(Primaries.BT709)) @ to_xyz
    table["luminance"] = to_xyz[1]
    table["light"] = _light(np.arange(CODES) / (CODES - 1), transfer)
    bins = _bin_centres()
    table["gain"] = HLG_PEAK / WHITE * bins ** (HLG_GAMMA - 1) if transfer is Transfer.HLG else 1.0
    table["level"] = np.round(255 * bins ** (1 / SDR_GAMMA))
    floats = np.frombuffer(table.tobytes(), np.float32)
    floats.flags.writeable = False
    return floats


def fields(table: FloatArray) -> Any:
    """The TONE_TABLE in such floats."""
    return table.view(TONE_TABLE)[0]


def _light(signal: Floats, transfer: Transfer) -> Floats:
    """Linear light of signals 0 … 1. White is 1; of HLG it is light of the scene instead, of which 1 is the most."""
    if transfer is Transfer.PQ:
        return pq_light(signal) / WHITE
    return hlg_scene_light(signal) if transfer is Transfer.HLG else signal**SDR_GAMMA


def pq_light(signal: Floats) -> Floats:
    """Light in cd/m² of signals 0 … 1: the EOTF of SMPTE ST 2084 (ITU-R BT.2100, table 4)."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = signal ** (1 / m2)
    light: Floats = PQ_PEAK * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return light


def hlg_scene_light(signal: Floats) -> Floats:
    """Light of the scene, 0 … 1, of signals 0 … 1: the inverse OETF of ITU-R BT.2100, table 5."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    light: Floats = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return light


def rgb_to_xyz(primaries: Primaries) -> Floats:
    """The matrix [3, 3] from linear RGB to XYZ with white of luminance 1 (SMPTE RP 177)."""
    x, y = np.array([*CHROMATICITIES[primaries], WHITE_POINT]).T
    columns = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    colors: Floats = columns[:, :3]
    return colors * np.linalg.solve(colors, columns[:, 3])


def _bin_centres() -> Floats:
    """The light in the middle of every bin; 1 in the last, which has all from white on."""
    first = int(DARKEST.view(np.uint32))
    bits = first + (np.arange(BINS, dtype=np.uint32) << np.uint32(BIN_SHIFT)) + np.uint32(1 << (BIN_SHIFT - 1))
    return np.minimum(bits.astype(np.uint32).view(np.float32).astype(np.float64), 1.0)
