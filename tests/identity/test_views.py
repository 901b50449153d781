"""Views of a track: the best and most different are kept, and they come back from a checkpoint as they were."""

from __future__ import annotations

import json

import numpy as np
import pytest

from acfd_stream.errors import ResumeError
from acfd_stream.identity.views import TrackView, jpeg_of, mean_of, with_view


def view(frame: int, degrees: float, quality: float = 0.5) -> TrackView:
    """A view whose embedding is a direction in the plane."""
    angle = np.radians(degrees)
    return TrackView(1, frame, frame / 24, quality, np.array([np.cos(angle), np.sin(angle)], np.float16))


def kept(views: list[TrackView], most: int) -> list[int]:
    found: tuple[TrackView, ...] = ()
    for each in views:
        found = with_view(found, each, most)
    return [each.frame_index for each in found]


def test_of_two_views_that_are_alike_the_better_one_stays() -> None:
    assert kept([view(0, 0), view(1, 90), view(2, 5, quality=0.9)], 2) == [1, 2]
    assert kept([view(0, 0), view(1, 90), view(2, 5, quality=0.1)], 2) == [0, 1]
    assert kept([view(0, 0), view(1, 90), view(2, 5)], 2) == [0, 1]  # equal: the earlier one
    assert kept([view(0, 0), view(1, 90), view(2, 5)], 3) == [0, 1, 2]


def test_a_mean_counts_views_by_quality_and_is_short_where_they_differ() -> None:
    vector, weight = mean_of([view(0, 0, 0.6), view(1, 90, 0.2)])
    assert np.allclose(vector, [0.75, 0.25], atol=1e-3)
    assert weight == pytest.approx(0.8)
    assert vector.dtype == np.float16


def test_the_product_of_two_means_is_the_mean_cosine_of_the_views() -> None:
    first, second = [view(0, 10), view(1, 50)], [view(2, 0), view(3, 30)]
    cosines = [float(a.embedding.astype(float) @ b.embedding.astype(float)) for a in first for b in second]
    product = mean_of(first)[0].astype(float) @ mean_of(second)[0].astype(float)
    assert product == pytest.approx(np.mean(cosines), abs=2e-3)


def test_a_view_comes_back_from_its_values() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (144, 144, 3)).astype(np.uint8)
    one = TrackView(3, 17, 0.7083, 0.61, np.array([0.6, -0.8], np.float16), jpeg_of(crop))
    back = TrackView.from_values(json.loads(json.dumps(one.values())))
    assert back.values() == one.values()
    assert back.crop.shape == (144, 144, 3)
    assert np.abs(one.crop.astype(int) - crop).mean() < 8


@pytest.mark.parametrize(
    ("place", "odd"), [(0, -1), (3, 1.5), (4, "AAA"), (4, "AAAA"), (4, "//8="), (4, 7), (5, "?"), (2, float("nan"))]
)
def test_a_damaged_view_is_refused(place: int, odd: object) -> None:
    values = view(0, 0).values()
    values[place] = odd
    with pytest.raises(ResumeError, match="checkpoint is damaged"):
        TrackView.from_values(values)
