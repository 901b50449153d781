"""Scenes of characters: their times, the timecodes of an edit decision list, and who is meant."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from acfd_stream.characters import Character
from acfd_stream.errors import ConfigError
from acfd_stream.outputs import ResultEnd, ResultFile, ResultHeader, open_writer, read_results
from acfd_stream.outputs.edl import RATES, Timecode, edl, rate_of
from acfd_stream.outputs.scenes import scenes_csv, scenes_of
from acfd_stream.types import Face, FrameResult

NTSC_FILM, NTSC = Fraction(24000, 1001), Fraction(30000, 1001)
CHARACTERS = (Character(1, (1, 2), 1.0, "Velma"), Character(2, (3,), 1.0))


def results(
    place: Path, tracks: Sequence[tuple[int, ...]], rate: Fraction = Fraction(25), first: int = 0
) -> ResultFile:
    """A result with these tracks in its frames."""
    header = ResultHeader("show/ep 1.mkv", (480, 854), 1 / rate, {"name": "acfd-n"}, {}, rate)
    writer = open_writer(place, "jsonl", header)
    for index, there in enumerate(tracks):
        faces = tuple(Face(track, (0, 0, 9, 9), 1.0) for track in there)
        writer.write(FrameResult(index, index + first, 1 / rate, float((index + first) / rate), faces, index // 50))
    writer.close(ResultEnd(3, characters=CHARACTERS))
    return read_results(place)


def test_an_absence_that_is_shorter_than_the_gap_does_not_end_a_scene(tmp_path: Path) -> None:
    found = results(tmp_path / "a", [(1,)] * 10 + [()] * 25 + [(2, 3)] * 5 + [()] * 50 + [(1,)] * 10, first=100)
    rows = list(csv.DictReader(io.StringIO(scenes_csv(scenes_of(found, 2.0)).decode())))
    assert [tuple(row.values()) for row in rows] == [
        ("1", "Velma", "1", "4.0", "5.6", "1.6", "0", "39", "0"),
        ("1", "Velma", "2", "7.6", "8.0", "0.4", "90", "99", "1"),
        ("2", "", "1", "5.4", "5.6", "0.2", "35", "39", "0"),
    ]
    assert len(scenes_of(found, 1.0, "Velma")) == 3
    assert [scene.character for scene in scenes_of(found, 1.0, "2")] == [2]


def test_who_is_not_there_is_refused_with_those_who_are(tmp_path: Path) -> None:
    found = results(tmp_path / "a", [(1,)])
    with pytest.raises(ConfigError, match="has no character 'Fred'; there is Velma, 2"):
        scenes_of(found, who="Fred")
    with pytest.raises(ConfigError, match="track it without --no-characters"):
        scenes_of(replace(found, end=ResultEnd(1)))


@pytest.mark.parametrize(
    ("rate", "is_drop_frame", "frames", "text"),
    [
        (Fraction(25), False, 25 * 3600 + 26, "01:00:01:01"),
        (NTSC_FILM, False, 24 * 60, "00:01:00:00"),  # 60.06 s of the clock
        (NTSC, False, 1800, "00:01:00:00"),
        (NTSC, True, 1799, "00:00:59;29"),
        (NTSC, True, 1800, "00:01:00;02"),
        (NTSC, True, 17981, "00:09:59;29"),
        (NTSC, True, 17982, "00:10:00;00"),
        (NTSC, True, 17982 * 6, "01:00:00;00"),
        (2 * NTSC, True, 3600, "00:01:00;04"),
        (2 * NTSC, True, 35964, "00:10:00;00"),
        (Fraction(24), False, 24 * 86400, "00:00:00:00"),
    ],
)
def test_timecodes(rate: Fraction, is_drop_frame: bool, frames: int, text: str) -> None:
    assert Timecode(rate, is_drop_frame).text(frames) == text


def test_drop_frame_numbers_never_repeat_and_follow_the_clock() -> None:
    timecode = Timecode(NTSC, is_drop_frame=True)
    texts = [timecode.text(frame) for frame in range(17982 * 2)]
    assert len(set(texts)) == len(texts)
    assert texts == sorted(texts)
    assert not any(text[6:] in ("00;00", "00;01") and text[4] != "0" for text in texts)
    assert timecode.text(timecode.frames(Fraction(3600))) == "01:00:00;00"


@pytest.mark.parametrize("rate", [rate for rate in RATES if rate not in (NTSC, 2 * NTSC)])
def test_other_rates_have_no_drop_frames(rate: Fraction) -> None:
    with pytest.raises(ConfigError, match=r"exists for 29\.97 and 59\.94 fps only"):
        Timecode(rate, is_drop_frame=True)


@pytest.mark.parametrize("rate", RATES)
def test_the_rate_of_a_video_is_found(rate: Fraction, tmp_path: Path) -> None:
    assert rate_of(results(tmp_path / "a", [()] * 120, rate)) == rate


def test_an_uneven_rate_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has 12.000 frames a second; choose .* --rate"):
        rate_of(results(tmp_path / "a", [()] * 120, Fraction(12)))


def test_a_list_has_an_event_per_scene_whose_pictures_follow_each_other(tmp_path: Path) -> None:
    found = results(tmp_path / "a", [()] * 10 + [(1,)] * 20 + [()] * 100 + [(2,)] * 30, NTSC_FILM, first=7)
    assert edl(scenes_of(found), found, Timecode(NTSC_FILM), "Velma\nD.").decode() == (
        "TITLE: Velma D.\r\nFCM: NON-DROP FRAME\r\n\r\n"
        "001  AX       V     C        00:00:00:10 00:00:01:06 00:00:00:00 00:00:00:20\r\n"
        "* FROM CLIP NAME: show/ep 1.mkv\r\n* COMMENT: Velma, scene 1\r\n\r\n"
        "002  AX       V     C        00:00:05:10 00:00:06:16 00:00:00:20 00:00:02:02\r\n"
        "* FROM CLIP NAME: show/ep 1.mkv\r\n* COMMENT: Velma, scene 2\r\n\r\n"
    )


def test_a_list_that_is_too_long_is_refused(tmp_path: Path) -> None:
    found = results(tmp_path / "a", [(1,), ()] * 1000)
    with pytest.raises(ConfigError, match="at most 999 events, got 1000; choose a longer --gap"):
        edl(scenes_of(found, 0.0), found, Timecode(Fraction(25)), "a")
