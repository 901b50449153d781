from __future__ import annotations

from fractions import Fraction

import pytest

from acfd_stream.video.losses import LossWatch


def watched(
    sent: list[int], came: list[int], promised: int = 0, seconds: float | None = None, listed: int = 0
) -> LossWatch:
    watch = LossWatch(listed, promised, seconds)
    for pts in sent:
        watch.note_packet(pts, is_discarded=False)
    for pts in came:
        watch.note_frame(pts, (float(pts), float(pts + 1)), is_damaged=False, is_interlaced=False)
    return watch


@pytest.mark.parametrize(
    ("sent", "came", "is_lost"),
    [
        ([0, 2, 1, 3], [0, 1, 2, 3], False),  # all came, in another order
        ([0, 2, 1, 4, 3], [0, 1, 2], True),
        ([0, 1, 2, 3], [0, 2], False),  # a codec with packets that show nothing: the last of them may too
        ([0, 1, 2], [], False),  # no frame at all is told elsewhere
        ([], [], False),
    ],
)
def test_a_lost_end_is_told_from_packets_that_show_nothing(sent: list[int], came: list[int], is_lost: bool) -> None:
    assert watched(sent, came).is_end_lost is is_lost


def test_fields_are_no_lost_frames() -> None:
    watch = watched([0, 1, 2, 3], [])
    watch.note_frame(0, (0.0, 2.0), is_damaged=False, is_interlaced=True)
    assert not watch.is_end_lost


@pytest.mark.parametrize(("listed", "warns"), [(0, False), (10, False), (11, True), (745, True)])
def test_an_index_that_lists_more_is_a_warning(listed: int, warns: bool) -> None:
    everything = list(range(10))
    watch = watched(everything, everything, listed=listed)
    assert watch.warnings() == []
    watch.note_end(frame_seconds=1.0)
    assert bool(watch.warnings()) is warns
    missing = [gap.missing_seconds for gap in watch.gaps(Fraction(1), frame_seconds=1.0)]
    assert missing == ([listed - 10.0] if warns else [])


@pytest.mark.parametrize(("promised", "warns"), [(10, False), (11, True), (745, True)])
def test_a_header_that_promises_more_is_believed_of_a_file_that_is_cut_off(promised: int, warns: bool) -> None:
    everything = list(range(10))
    watch = watched(everything, everything, promised)
    watch.note_end(frame_seconds=1.0)
    assert watch.warnings() == []
    watch.note_end(frame_seconds=1.0, is_cut_off=True)
    assert bool(watch.warnings()) is warns
    assert bool(watch.gaps(Fraction(1), frame_seconds=1.0)) is warns


@pytest.mark.parametrize(("seconds", "warns"), [(None, True), (9.0, False), (10.4, False), (11.0, True)])
def test_a_longer_time_in_the_header_is_believed_of_a_file_that_is_cut_off(seconds: float | None, warns: bool) -> None:
    everything = list(range(10))
    watch = watched(everything, everything, 0, seconds)
    watch.note_end(frame_seconds=1.0)
    assert watch.warnings() == []
    watch.note_end(frame_seconds=1.0, is_cut_off=True)
    assert bool(watch.warnings()) is warns
    assert bool(watch.gaps(Fraction(1), frame_seconds=1.0)) is warns


def test_damage_and_a_beginning_that_cannot_be_decoded_are_warnings() -> None:
    watch = watched([0], [])
    watch.note_refused()
    watch.note_frame(0, (0.0, 1.0), is_damaged=True, is_interlaced=False)
    assert len(watch.warnings()) == 2
