"""SRT: the time spans of WebVTT, numbered, as other libraries read them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import webvtt

from acfd_stream.outputs import ResultEnd, ResultHeader, open_writer
from acfd_stream.types import Face, FrameResult
from tests.outputs.made_up import write_made_up


def test_the_text_is_numbered_and_has_commas_in_its_times(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "a.srt", "srt", ResultHeader("clip.mkv", (360, 640), Fraction(1, 1000), {}))
    for index, tracks in enumerate([(2,), (1, 2), (1,), ()]):
        faces = tuple(Face(track, (0, 0, 9, 9), 1.0) for track in tracks)
        writer.write(FrameResult(index, index * 1500, Fraction(1, 1000), index * 1.5, faces))
    writer.close(ResultEnd(2))
    assert (tmp_path / "a.srt").read_text() == (
        "1\n00:00:00,000 --> 00:00:03,000\nface 2\n\n2\n00:00:01,500 --> 00:00:04,500\nface 1\n\n"
    )


def test_another_library_reads_the_spans_of_webvtt(tmp_path: Path) -> None:
    cues = webvtt.from_srt(write_made_up(tmp_path / "a.srt", "srt", 300))
    spans = [(cue.start, cue.end, cue.text) for cue in cues]
    assert len(spans) > 20
    wanted = webvtt.read(write_made_up(tmp_path / "a.vtt", "vtt", 300))
    assert spans == [(cue.start, cue.end, cue.text) for cue in wanted]
    assert [cue.identifier for cue in cues] in ([str(number + 1) for number in range(len(spans))], [None] * len(spans))


def test_ffmpeg_reads_every_subtitle(tmp_path: Path) -> None:
    place = write_made_up(tmp_path / "a.srt", "srt", 300)
    with av.open(str(place), format="srt") as container:
        (stream,) = container.streams
        texts = [bytes(packet).decode() for packet in container.demux(stream) if packet.pts is not None]
    assert texts == [cue.text for cue in webvtt.from_srt(place)]
