"""Whole tracks to characters, on cases that can be checked by hand: embeddings are directions in a plane."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from acfd_stream.identity.clustering import agglomerate, cluster_tracks
from acfd_stream.identity.linked_track import LinkedTrack
from tests.identity.test_linking import THRESHOLD, towards


def track(
    number: int, degrees: float | None, *, at: int | None = None, frames: int = 10, **known: float
) -> LinkedTrack:
    """A track of ``frames`` frames; by default no two are on screen at one time."""
    first = 1000 * number if at is None else at
    vector = None if degrees is None else towards(degrees)
    values = {"weight": 1.0, "frames": frames, **known}
    return replace(LinkedTrack(number, first, first + frames - 1, vector=vector), **values)  # type: ignore[arg-type]


def found(*tracks: LinkedTrack, first_free: int = 100) -> dict[int, tuple[int, ...]]:
    return {each.number: each.tracks for each in cluster_tracks(tracks, THRESHOLD, first_free)}


def test_tracks_of_one_direction_are_one_character() -> None:
    assert found(track(1, 0), track(2, 90), track(3, 10), track(4, 80), track(5, 5)) == {100: (1, 3, 5), 101: (2, 4)}


def test_groups_are_compared_by_their_mean_and_not_by_their_nearest() -> None:
    """0 and 24 join first; 58 is as near to 24 as is needed, but not to both on average."""
    assert found(track(1, 0), track(2, 24), track(3, 58)) == {100: (1, 2), 101: (3,)}


def test_tracks_that_were_on_screen_together_stay_apart() -> None:
    assert found(track(1, 0, at=0), track(2, 0, at=5)) == {100: (1,), 101: (2,)}
    assert found(track(1, 0, at=0), track(2, 0, at=10)) == {100: (1, 2)}
    assert found(track(1, 0, at=0), track(2, 3, at=5), track(3, 2, at=50)) == {100: (1,), 101: (2, 3)}


def test_a_poor_track_joins_its_nearest_group_and_brings_no_groups_together() -> None:
    groups = found(track(1, 0), track(2, 60), track(3, 28, weight=0.1))
    assert groups == {100: (1, 3), 101: (2,)}


def test_a_poor_track_that_is_like_nobody_is_alone() -> None:
    assert found(track(1, 0), track(2, 180, weight=0.1)) == {100: (1,), 101: (2,)}


def test_a_track_without_views_is_of_no_character() -> None:
    assert found(track(1, None), track(2, 0)) == {100: (2,)}
    assert found(track(1, None)) == {}


def test_numbers_of_the_stream_stay_with_most_of_their_frames() -> None:
    tracks = [
        track(1, 0, character=1, frames=50),
        track(2, 2, character=2, frames=20),
        track(3, 90, character=2, frames=30),
        track(4, 180, character=1, frames=5),
    ]
    assert found(*tracks, first_free=3) == {1: (1, 2), 2: (3,), 3: (4,)}


def test_confidence_tells_how_well_tracks_agree() -> None:
    near, wide = (cluster_tracks([track(1, 0), track(2, d)], THRESHOLD)[0].confidence for d in (1, 29))
    assert near > 0.95
    assert 0.5 < wide < 0.6
    assert cluster_tracks([track(1, 0)], THRESHOLD)[0].confidence == 0.5


@pytest.mark.parametrize("seed", range(8))
def test_groups_equal_those_of_a_plain_search(seed: int) -> None:
    dice = np.random.default_rng(seed)
    vectors = dice.normal(size=(24, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    apart = np.triu(dice.random((24, 24)) < 0.2, 1)
    labels = agglomerate(vectors, apart | apart.T, 0.3)
    assert labels.tolist() == plainly_grouped(vectors.astype(float), apart | apart.T, 0.3)
    assert not any(apart[i, j] and labels[i] == labels[j] for i in range(24) for j in range(24))


def plainly_grouped(vectors: np.ndarray, apart: np.ndarray, threshold: float) -> list[int]:
    """The labels by a search over all pairs of groups in every step."""
    groups = [[i] for i in range(len(vectors))]

    def similarity(first: list[int], second: list[int]) -> float:
        if any(apart[i, j] for i in first for j in second):
            return -np.inf
        return float(np.mean([vectors[i] @ vectors[j] for i in first for j in second]))

    while len(groups) > 1:
        best = max((similarity(a, b), -i, -j) for i, a in enumerate(groups) for j, b in enumerate(groups) if i < j)
        if best[0] < threshold:
            break
        groups[-best[1]] += groups.pop(-best[2])
    return [min(next(group for group in groups if i in group)) for i in range(len(vectors))]


def test_thousands_of_tracks_are_grouped_as_drawn() -> None:
    dice = np.random.default_rng(0)
    centres = np.linalg.qr(dice.normal(size=(64, 64)))[0][:40]
    noisy = centres[np.arange(2000) % 40] + dice.normal(scale=0.05, size=(2000, 64))
    vectors = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float16)
    tracks = [replace(track(i + 1, 0), vector=vector) for i, vector in enumerate(vectors)]
    groups = [set(each.tracks) for each in cluster_tracks(tracks, 0.5)]
    assert groups == [{i + 1 for i in range(centre, 2000, 40)} for centre in range(40)]
