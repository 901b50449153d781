"""What tracks of a video have in common, on directions in space that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from acfd_stream.identity.centring import HALF_SHARE_TRACKS, MOST_SHARE, Centre
from acfd_stream.types import FloatArray


def directions(*rows: tuple[float, ...]) -> FloatArray:
    found = np.array(rows, np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def cosine(centre: Centre, pair: FloatArray) -> float:
    one, other = centre.centred(pair)
    return float(one @ other)


def test_half_of_the_share_is_subtracted_at_the_number_of_tracks_that_the_constant_names() -> None:
    same = np.tile(directions((1, 0)), (HALF_SHARE_TRACKS, 1))
    assert Centre.of(same).offset == pytest.approx([MOST_SHARE / 2, 0])


def test_tracks_with_a_weight_of_nearly_nothing_do_not_move_the_centre() -> None:
    found = Centre.of(directions((1, 0), (0, 1)), np.array([1.0, 1e-9]))
    assert found.offset[0] > 0
    assert found.offset[1] == pytest.approx(0, abs=1e-6)


def test_without_tracks_nothing_changes() -> None:
    centre = Centre.of(np.zeros((0, 2), np.float32))
    pair = directions((1, 0), (1, 2))
    assert centre.centred(pair) == pytest.approx(pair)
    assert centre.threshold(0.3) == 0.3


@pytest.mark.parametrize("cosines", [(0.2, 0.6), (0.4, 0.8)])
def test_a_pair_that_is_as_common_as_the_average_is_judged_as_before(cosines: tuple[float, float]) -> None:
    """Four directions at one angle around an axis: every track has the same cosine with the mean."""
    common, threshold = np.sqrt(cosines[0]), cosines[1]
    around = np.sqrt(1 - cosines[0])
    four = directions((common, around, 0), (common, 0, around), (common, -around, 0), (common, 0, -around))
    centre = Centre.of(four)
    alike = directions((common, around, 0), (common, around * np.cos(0.5), around * np.sin(0.5)))
    before = float(alike[0] @ alike[1])
    assert cosine(centre, alike) == pytest.approx(centre.threshold(before), abs=1e-5)
    assert (cosine(centre, alike) >= centre.threshold(threshold)) == (before >= threshold)


def test_tracks_that_are_like_everybody_are_less_alike() -> None:
    """Two pairs of one cosine: one along what is common, the other across it."""
    common = np.tile(directions((1, 0, 0)), (40, 1))
    centre = Centre.of(np.concatenate([common, directions((0, 1, 0))]))
    along, across = directions((1, 0.3, 0), (1, -0.3, 0)), directions((0, 1, 0.3), (0, 1, -0.3))
    assert cosine(centre, along) < cosine(centre, across) - 0.3


def test_tracks_of_one_character_alone_keep_their_directions() -> None:
    """One character is in the video, so the mean is this character; its tracks stay above the threshold."""
    dice = np.random.default_rng(0)
    noisy = np.array([1.0, *[0.0] * 31]) + dice.normal(scale=0.08, size=(60, 32))
    tracks = directions(*noisy.tolist())
    centre = Centre.of(tracks)
    centred = centre.centred(tracks)
    assert float(np.mean(tracks @ tracks.T)) > 0.8
    assert float(np.mean(centred @ centred.T)) > centre.threshold(0.7)
