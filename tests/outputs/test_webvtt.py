"""WebVTT: when each track is on screen, as another library reads it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import webvtt

from acfd_stream.outputs import ResultEnd, ResultHeader, open_writer
from acfd_stream.types import Face, FrameResult
from tests.outputs.made_up import HEADER, made_up, write_made_up

MILLISECONDS = ResultHeader("clip.mkv", (360, 640), Fraction(1, 1000), {}, frame_rate=Fraction(10))


def cues(place: Path, *frames: tuple[int, set[int]], header: ResultHeader = MILLISECONDS) -> list[tuple[str, str, str]]:
    """(identifier, begin and end, text) of a result with these tracks at these milliseconds."""
    writer = open_writer(place, "vtt", header)
    for index, (pts, tracks) in enumerate(frames):
        faces = tuple(Face(track, (0, 0, 9, 9), 1.0) for track in sorted(tracks))
        writer.write(FrameResult(index, pts, header.time_base, pts / 1000, faces))
    writer.close(ResultEnd(9))
    return [(cue.identifier, f"{cue.start} {cue.end}", cue.text) for cue in webvtt.read(place)]


def test_a_span_lasts_until_the_first_frame_without_the_face(tmp_path: Path) -> None:
    assert cues(tmp_path / "a", (0, set()), (100, {5}), (200, {5}), (300, set())) == [
        ("5.1", "00:00:00.100 00:00:00.300", "face 5")
    ]


def test_a_gap_parts_two_spans_and_the_last_frame_is_shown_as_long_as_the_rate_says(tmp_path: Path) -> None:
    assert cues(tmp_path / "a", (0, {1}), (100, set()), (200, {1}), (300, {1})) == [
        ("1.1", "00:00:00.000 00:00:00.100", "face 1"),
        ("1.2", "00:00:00.200 00:00:00.400", "face 1"),
    ]


def test_cues_stand_in_the_order_of_their_beginnings_though_the_first_ends_last(tmp_path: Path) -> None:
    said = cues(tmp_path / "a", (0, {2}), (100, {1, 2}), (200, {2, 3}), (300, {2}), (400, {1}), (500, set()))
    assert [name for name, _, _ in said] == ["2.1", "1.1", "3.1", "1.2"]
    assert said[0][1] == "00:00:00.000 00:00:00.400"


def test_hours_have_two_digits_or_more(tmp_path: Path) -> None:
    begin = ((99 * 60 + 59) * 60 + 59) * 1000 + 999
    assert cues(tmp_path / "a", (begin, {1}), (begin + 50, set()))[0][1] == "99:59:59.999 100:00:00.049"


def test_what_lies_before_zero_is_cut_off(tmp_path: Path) -> None:
    frames = [(-300, {1}), (-200, {2}), (-100, {2}), (0, {2}), (100, set())]
    assert cues(tmp_path / "a", *frames) == [("2.1", "00:00:00.000 00:00:00.100", "face 2")]


def test_no_cue_is_shorter_than_a_millisecond(tmp_path: Path) -> None:
    header = replace(MILLISECONDS, frame_rate=None)
    assert cues(tmp_path / "a", (100, {1}), header=header)[0][1] == "00:00:00.100 00:00:00.101"


def test_every_frame_with_a_face_lies_in_one_cue_of_its_track(tmp_path: Path) -> None:
    spans = defaultdict(list)
    for cue in webvtt.read(write_made_up(tmp_path / "a.vtt", "vtt", 300)):
        begin, end = cue.start_time.in_milliseconds(), cue.end_time.in_milliseconds()
        assert begin < end
        spans[cue.text].append((begin, end))
    for frame in made_up(300):
        now = round(frame.pts * frame.time_base * 1000)
        here = {name for name, times in spans.items() for begin, end in times if begin <= now < end}
        assert here == {f"face {face.track_id}" for face in frame.faces}


def test_the_header_and_the_closing_line_are_notes_without_arrows(tmp_path: Path) -> None:
    place = write_made_up(tmp_path / "a.vtt", "vtt", 30, end=ResultEnd(3, warnings=("a\n\nb --> c",)))
    lines = write_made_up(tmp_path / "lines", "jsonl", 30, end=ResultEnd(3, warnings=("a\n\nb --> c",)))
    text = place.read_text(encoding="utf-8")
    notes = [block.removeprefix("NOTE\n") for block in text.split("\n\n") if block.startswith("NOTE")]
    wanted = lines.read_text().splitlines()
    assert [json.loads(note) for note in notes] == [json.loads(wanted[0]), json.loads(wanted[-1])]
    assert "-->" not in "".join(notes)
    assert text.startswith("WEBVTT\n\n")


def test_nobody_on_screen_is_a_valid_file_without_cues(tmp_path: Path) -> None:
    assert cues(tmp_path / "a") == cues(tmp_path / "b", (0, set()), (100, set())) == []
    assert write_made_up(tmp_path / "c", "vtt", 0, HEADER).read_bytes().startswith(b"WEBVTT\n\n")


def test_ffmpeg_reads_the_same_cues(tmp_path: Path) -> None:
    place = write_made_up(tmp_path / "a.vtt", "vtt", 300)
    with av.open(str(place), format="webvtt") as container:
        (stream,) = container.streams
        read = [
            (packet.pts, packet.pts + packet.duration, bytes(packet).decode())
            for packet in container.demux(stream)
            if packet.pts is not None
        ]
    cues = webvtt.read(place)
    assert read == [(cue.start_time.in_milliseconds(), cue.end_time.in_milliseconds(), cue.text) for cue in cues]
