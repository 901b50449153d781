"""What real archives hold, against the table of videos/README.md; times against the packets of the container."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.errors import MediaError
from acfd_stream.video import VideoSource, open_video
from acfd_stream.video.frame import Frame

FIRST_PTS = "ax_bbb_800x640_768kbps_30fps_avc_2b_firstpts_10_sec.mp4"


def read(shared: Path, name: str, threads: int = 0) -> tuple[VideoSource, list[Frame]]:
    with open_video(shared / "videos" / "odd" / name, VideoConfig(threads=threads)) as video:
        return video, list(video)


def packet_pts(shared: Path, name: str) -> list[int]:
    with av.open(str(shared / "videos" / "odd" / name)) as container:
        packets = container.demux(container.streams.video[0])
        return sorted(packet.pts for packet in packets if packet.pts is not None and not packet.is_discard)


def pts_of(frames: Iterable[Frame]) -> list[int]:
    return [frame.pts for frame in frames]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("moviepy_zero.webm", "is empty"),
        ("jetplay_error.mp4", "is text, not a video"),
        ("ogvjs_1frame.ogv", "cannot be opened .end of file."),
        ("ax_sample_malformed_free_box.mp4", "not a video that can be read"),
        ("ax_invalid-bitstream.webm", "none of the 51 packets of its vp9 video can be decoded"),
        ("mb_multiple-aac-tracks.mp4", "no video stream, only audio"),
        ("lpms_zero-frame.ts", "h264 video stream holds no frame"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(name: str, reason: str, shared: Path) -> None:
    with pytest.raises(MediaError, match=reason) as caught:
        read(shared, name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_film_that_repeats_pictures_by_empty_packets_is_whole(shared: Path) -> None:
    video, frames = read(shared, "popcorn_trailer.ogv")
    assert len(frames) == 1340
    assert (video.is_complete, video.error, video.warnings) == (True, None, [])
    assert (video.info.frame_rate, video.last_seconds) == (24, None)
    assert (frames[-1].pts - frames[0].pts + 1) * video.info.time_base == Fraction(1549, 24)


@pytest.mark.parametrize("threads", [0, 1, 8])
@pytest.mark.parametrize(("name", "lost"), [("decord_corrupted.mp4", 30), ("ax_sample_with_invalid_nalu.mp4", 26)])
def test_a_packet_that_cannot_be_decoded_costs_its_frame(name: str, lost: int, threads: int, shared: Path) -> None:
    video, frames = read(shared, name, threads)
    expected = packet_pts(shared, name)
    missing = expected.pop(lost)
    assert pts_of(frames) == expected
    assert [gap.time for gap in video.gaps] == [float(missing * video.info.time_base)]
    assert (video.error, video.is_complete) == (None, False)


def test_a_file_shorter_than_its_header_says_is_not_complete(shared: Path) -> None:
    video, frames = read(shared, "mb_annex-b.mp4")
    assert len(frames) == 6
    assert (video.is_complete, video.error, video.info.frame_count) == (False, None, 745)
    assert any("cut short: its header promises 745 frames, 6 are there" in warning for warning in video.warnings)


class Whole(NamedTuple):
    name: str
    count: int
    display_size: tuple[int, int]
    rotation: int = 0
    bit_depth: int = 8


WHOLE = [
    Whole("mb_cursed-vfr.mp4", 63, (1386, 3026)),
    Whole("moviepy_no_duration.webm", 74, (720, 1280)),
    Whole("caminandes_llama_drama_av1.webm", 670, (180, 320)),
    Whole(FIRST_PTS, 120, (640, 1137)),
    Whole("ax_sample_edit_list.mp4", 77, (1920, 1080), 90, 10),
    Whole("mb_rotate-buck-bunny.mp4", 45, (1920, 1080), 90),
    Whole("mb_sar_2x1.mp4", 150, (360, 1280)),
    Whole("bbb_432_433_moviepy.webm", 24, (720, 1280)),
    Whole("pigs_in_a_polka.gif", 30, (273, 314)),
]


@pytest.mark.parametrize("whole", WHOLE, ids=[whole.name for whole in WHOLE])
def test_whole_files_come_frame_by_frame_at_the_times_of_the_file(whole: Whole, shared: Path) -> None:
    video, frames = read(shared, whole.name)
    assert len(frames) == whole.count
    assert pts_of(frames) == packet_pts(shared, whole.name)
    assert {frame.picture.display_size for frame in frames} == {whole.display_size}
    assert {(frame.picture.rotation, frame.picture.bit_depth) for frame in frames} == {
        (whole.rotation, whole.bit_depth)
    }
    assert not any(frame.is_pts_filled for frame in frames)
    assert (video.is_complete, video.error, video.warnings) == (True, None, [])


def test_times_begin_where_the_file_begins(shared: Path) -> None:
    assert read(shared, FIRST_PTS)[1][0].pts_seconds == 10.0
    assert read(shared, "ax_sample_edit_list.mp4")[1][0].pts == 0  # seven frames before it are edited out


def test_frames_without_a_time_get_one_between_their_neighbours(shared: Path) -> None:
    video, frames = read(shared, "lpms_missing-dts.ts")
    assert video.is_complete
    assert [frame.index for frame in frames if frame.is_pts_filled] == [38, 65, 74, 102]
    assert [frame.pts for frame in frames if not frame.is_pts_filled] == packet_pts(shared, "lpms_missing-dts.ts")
    steps = [later.pts - earlier.pts for earlier, later in pairwise(frames)]
    assert 1400 < min(steps) <= max(steps) < 1650  # 1500 is the frame rate's
    assert frames[0].pts_seconds == pytest.approx(25994.03, abs=0.01)


def test_a_bare_stream_is_timed_by_its_frame_rate(shared: Path) -> None:
    video, frames = read(shared, "bmx_separate_fields_gop.h264")
    assert video.is_complete
    assert all(frame.is_pts_filled for frame in frames)
    assert [frame.pts_seconds for frame in frames] == [pytest.approx(index * 1001 / 30000) for index in range(15)]
    assert {frame.picture.bit_depth for frame in frames} == {10}


def test_a_file_in_which_seeking_gets_lost_is_read_from_its_beginning(shared: Path) -> None:
    times = pts_of(read(shared, "lpms_missing-dts.ts")[1])
    config = VideoConfig(start_seconds=25994.1, end_seconds=25994.2)
    with open_video(shared / "videos" / "odd" / "lpms_missing-dts.ts", config) as video:
        assert pts_of(video) == [pts for pts in times if 25994.1 <= pts / 90_000 < 25994.2]
    assert (video.is_complete, video.warnings) == (True, [])


@pytest.mark.parametrize("name", ["pennychip_reading.mp4", "popeye_1440x1074_60s.mkv"])
def test_a_seek_into_a_film_lands_on_the_frame(name: str, shared: Path) -> None:
    path = shared / "videos" / name
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
    wanted = times[101:104]
    with open_video(path) as video:
        time_base = video.info.time_base
    config = VideoConfig(start_seconds=float(wanted[0] * time_base), end_seconds=float(times[104] * time_base))
    with open_video(path, config) as video:
        assert pts_of(video) == wanted
    assert video.is_complete
