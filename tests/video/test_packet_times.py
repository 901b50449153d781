"""A file and the same bytes, which cannot be sought, give frames of the same times."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from acfd_stream.client.faststart import streamable
from acfd_stream.config import VideoConfig
from acfd_stream.video import open_video
from tests.containers import CONTAINERS, FRAMES, Container


class Arriving:
    """The bytes of a file as a client sends them."""

    def __init__(self, path: Path) -> None:
        self._pieces = streamable(path)
        self._rest = b""

    def read(self, size: int) -> bytes:
        while not self._rest and (piece := next(self._pieces, b"")):
            self._rest = piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def read(source: object, **config: float) -> tuple[list[tuple[int, bool]], tuple[object, ...]]:
    with open_video(source, VideoConfig(**config)) as video:  # type: ignore[arg-type]
        frames = [(frame.pts, frame.is_pts_filled) for frame in video]
        info = video.info
    return frames, (info.time_base, info.frame_rate, info.times, video.error, video.is_complete, video.warnings)


@pytest.mark.parametrize("container", CONTAINERS, ids=str)
def test_times_are_those_of_the_file(container: Container, tmp_path: Path) -> None:
    clip = container.write(tmp_path)
    frames, about = read(clip)
    sent, sent_about = read(Arriving(clip))
    assert sent == frames
    if "gif" not in container.name:  # whose rate follows from its length; nothing in a result depends on it
        assert sent_about == about
    times = [pts for pts, _ in frames]
    assert times == sorted(set(times))
    assert len(times) == FRAMES


@pytest.mark.parametrize("container", [each for each in CONTAINERS if each.muxer == "mxf"], ids=str)
def test_mxf_counts_pictures_from_zero_also_behind_a_seek(container: Container, tmp_path: Path) -> None:
    clip = container.write(tmp_path)
    assert read(clip)[0] == [(number, False) for number in range(FRAMES)]
    begin, end = 12 / float(container.rate), 15 / float(container.rate)
    limits = {"start_seconds": begin - 0.001, "end_seconds": end - 0.001}
    assert read(clip, **limits)[0] == read(Arriving(clip), **limits)[0] == [(12, False), (13, False), (14, False)]


@pytest.mark.parametrize("name", ["mpeg2.mxf", "h264.mxf"])
def test_an_mxf_whose_index_leads_nowhere_is_read_from_front_to_back(name: str, tmp_path: Path) -> None:
    clip = next(each for each in CONTAINERS if each.name == name).write(tmp_path)
    data = clip.read_bytes()
    middle = len(data) // 2
    clip.write_bytes(data[:middle] + bytes(1000) + data[middle:])
    frames, about = read(clip)
    assert len(frames) > FRAMES // 2
    assert read(Arriving(clip)) == (frames, about)


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "2"}, {"bf": "2", "g": "6"}], ids=str)
@pytest.mark.parametrize("size", [(96, 128), (288, 352)], ids=str)
def test_mpeg1_pictures_of_a_program_stream_are_delayed_by_one(
    options: dict[str, str], size: tuple[int, int], tmp_path: Path
) -> None:
    clip = Container("film.mpg", "mpeg", "mpeg1video", options, size=size).write(tmp_path)
    frames = read(clip)[0]
    assert read(Arriving(clip))[0] == frames
    assert {later - earlier for (earlier, _), (later, _) in pairwise(frames)} == {3750}


def test_a_program_stream_that_begins_again_is_left_as_it_is(tmp_path: Path) -> None:
    clip = Container("film.mpg", "mpeg", "mpeg1video", {"bf": "2"}).write(tmp_path)
    clip.write_bytes(clip.read_bytes() * 2)
    assert read(Arriving(clip))[0] == read(clip)[0]
