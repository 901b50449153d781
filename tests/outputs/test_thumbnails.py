"""Which face of a track is shown, and what is cut out around it."""

from __future__ import annotations

from fractions import Fraction

import pytest

from acfd_stream.outputs.thumbnails import BestFace, best_faces, cut_around
from acfd_stream.types import Face, FaceState, FrameResult

SIZE = (480, 854)
SMALL, LARGE = (10.0, 10.0, 40.0, 40.0), (100.0, 100.0, 200.0, 220.0)


def frames(*faces: Face) -> list[FrameResult]:
    """A frame a face."""
    return [FrameResult(index, index, Fraction(1, 24), index / 24, (face,)) for index, face in enumerate(faces)]


@pytest.mark.parametrize(
    ("first", "second", "best"),
    [
        (Face(1, SMALL, 0.9), Face(1, LARGE, 0.9), 1),  # larger
        (Face(1, LARGE, 0.5), Face(1, LARGE, 0.9), 1),  # surer
        (Face(1, LARGE, 0.9), Face(1, LARGE, 0.9), 0),  # the first of equals
        (Face(1, LARGE, 0.9), Face(1, LARGE, 0.90001), 0),  # equal to the decimals that are written
        (Face(1, LARGE, 0.9, FaceState.FILLED), Face(1, SMALL, 0.3), 1),  # detected
        (Face(1, (0, 0, 200, 200), 0.8), Face(1, (0, 0, 400, 400), 0.7), 0),  # larger than a thumbnail is no better
        (Face(1, (780, 100, 900, 220), 0.9), Face(1, (700, 100, 800, 200), 0.9), 1),  # all of it in the picture
        (Face(1, LARGE, 0.9, FaceState.FILLED), Face(1, LARGE, 0.9, FaceState.FILLED), 0),  # none was detected
        (Face(1, (5, 5, 5, 5), 1.0), Face(1, SMALL, 0.3), 1),  # no area
    ],
)
def test_the_face_that_shows_most_is_chosen(first: Face, second: Face, best: int) -> None:
    assert [face.index for face in best_faces(frames(first, second), SIZE)] == [best]


def test_every_track_has_one_in_the_order_of_their_frames() -> None:
    results = frames(Face(3, SMALL, 0.9), Face(1, SMALL, 0.5), Face(2, SMALL, 0.9), Face(1, LARGE, 0.9))
    assert best_faces(iter(results), SIZE) == [BestFace(3, 0, SMALL), BestFace(2, 2, SMALL), BestFace(1, 3, LARGE)]
    assert best_faces([], SIZE) == []


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ((100, 100, 200, 200), (75, 75, 225, 225)),  # half as much again
        ((100, 100, 140, 200), (45, 75, 195, 225)),  # square
        ((0, 0, 100, 100), (0, 0, 150, 150)),  # moved in from the left and the top
        ((800, 420, 860, 480), (764, 390, 854, 480)),  # and from the right and below
        ((0, 0, 854, 480), (0, 0, 854, 480)),  # no more than there is
        ((7, 7, 7, 7), (6, 6, 7, 7)),  # never nothing
        ((-50, -50, -20, -20), (0, 0, 45, 45)),
    ],
)
def test_what_is_cut_out_is_square_and_in_the_picture(
    box: tuple[float, float, float, float], cut: tuple[int, int, int, int]
) -> None:
    assert cut_around(box, SIZE) == cut
