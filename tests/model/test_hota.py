"""HOTA on cases small enough to be worked out by hand; test_trackeval.py compares it with its authors' program."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from acfd_stream.model.hota import FramePair, Hota, hota_of


def pair(names: list[int], tracks: list[int], *iou: list[float]) -> FramePair:
    """A frame with a row of overlaps for each name."""
    return FramePair(names, tracks, np.array(iou, float).reshape(len(names), len(tracks)))


HIT = pair([1], [7], [1.0])
MISS = pair([1], [])
CASES = {
    "all right": ([HIT] * 4, (1.0, 1.0, 1.0)),
    "nothing there and nothing found": ([pair([], [])] * 2, (1.0, 1.0, 1.0)),
    "nothing found": ([MISS] * 2, (0.0, 0.0, 0.0)),
    "nothing there": ([pair([], [7])] * 2, (0.0, 0.0, 0.0)),
    # 2 of 4 found; the two frames are half of the four that one of both ids is in.
    "half found": ([HIT, HIT, MISS, MISS], (0.5, 0.5, 0.5)),
    # All found, by one track and then another: either shares 2 of 4 frames with the face.
    "another number halfway": ([HIT, HIT] + [pair([1], [8], [1.0])] * 2, (sqrt(0.5), 1.0, 0.5)),
    # One track for two faces, one after the other: either shares 2 of its 4 frames.
    "one number for two": ([HIT, HIT] + [pair([2], [7], [1.0])] * 2, (sqrt(0.5), 1.0, 0.5)),
    # A second box on nothing in each frame: 3 hits, 3 false ones.
    "false boxes": ([pair([1], [7, 9], [1.0, 0.0])] * 3, (sqrt(0.5), 0.5, 1.0)),
    # 3 frames kept, 1 traded: of 8 hits 6 share 3 of 5 frames, 2 share 1 of 7.
    "traded for a frame": (
        [pair([1, 2], [7, 8], [1.0, 0.0], [0.0, 1.0])] * 3 + [pair([1, 2], [7, 8], [0.0, 1.0], [1.0, 0.0])],
        (sqrt((6 * 3 / 5 + 2 / 7) / 8), 1.0, (6 * 3 / 5 + 2 / 7) / 8),
    ),
    # Good enough for the 12 thresholds from 0.05 to 0.60.
    "loose boxes": ([pair([1], [7], [0.62])], (12 / 19, 12 / 19, 12 / 19)),
    "just loose enough": ([pair([1], [7], [0.6])], (12 / 19, 12 / 19, 12 / 19)),
}


@pytest.mark.parametrize("name", CASES)
def test_small_cases_score_as_by_hand(name: str) -> None:
    frames, (hota, detection, association) = CASES[name]
    got = hota_of(frames)
    assert (got.hota, got.detection, got.association) == pytest.approx((hota, detection, association), abs=1e-12)


def test_no_frames_at_all_are_nothing_to_find() -> None:
    assert hota_of([]) == Hota(1.0, 1.0, 1.0)


def test_the_track_that_fits_the_whole_clip_is_matched_though_another_fits_a_frame_better() -> None:
    frames = [pair([1], [7], [0.99])] * 9 + [pair([1], [7, 8], [0.7, 0.8])]
    # Track 7 keeps the face at the 14 thresholds up to 0.70, and 9 of its 10 frames at the 5 above.
    below = sqrt(10 / 11 * 1.0)
    above = sqrt(9 / 12 * 9 / 11)
    assert hota_of(frames).hota == pytest.approx((14 * below + 5 * above) / 19)
