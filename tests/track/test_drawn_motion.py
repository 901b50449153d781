"""Whole scenes of drawn motion under a flickering detector: what a person would judge."""

from __future__ import annotations

import numpy as np
import pytest

from tests.track.drawn_motion import Scene, flickering, idf1, lengths, scene_of, track, walk

FRAMES = 192


@pytest.mark.parametrize("seed", range(6))
def test_two_who_stay_are_two_tracks(seed: int) -> None:
    scene = scene_of([walk(400, 0.5, 300, 160, FRAMES, 2), walk(760, -0.4, 320, 180, FRAMES, 2)])
    tracks = track(flickering(scene, np.random.default_rng(seed)))
    long = [count for count in lengths(tracks).values() if count > 24]
    assert len(long) == 2
    assert min(long) >= 0.9 * FRAMES


def crowd() -> Scene:
    return scene_of([walk(100 + 180 * i, (-1) ** i * 1.5, 120 + 90 * i, 90, FRAMES, 2) for i in range(6)])


def crossing() -> Scene:
    return scene_of([walk(100, 5, 300, 140, FRAMES, 2), walk(1150, -5, 420, 130, FRAMES, 2)])


def on_threes() -> Scene:
    return scene_of([walk(0, 12, 200, 120, FRAMES, 3), walk(1280, -9, 500, 100, FRAMES, 3)])


@pytest.mark.parametrize("draw", [crowd, crossing, on_threes])
def test_drawn_scenes_are_followed(draw: object) -> None:
    scene = draw()  # type: ignore[operator]
    scores = [idf1(scene, track(flickering(scene, np.random.default_rng(seed)))) for seed in range(4)]
    assert np.mean(scores) >= 0.9


def test_a_cut_parts_the_tracks_of_two_scenes() -> None:
    before, after = crowd()[:60], [{i + 10: box for i, box in frame.items()} for frame in crowd()[60:120]]
    tracks = track(flickering(before + after, np.random.default_rng(0)), cuts=(60,))
    assert not {face.track_id for f in tracks[:60] for face in f} & {face.track_id for f in tracks[60:] for face in f}
    assert idf1(before + after, tracks) >= 0.9
