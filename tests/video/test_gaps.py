"""Holes in drawn videos are told once, with where they begin, how long they are and why; whole videos have none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.types import Gap, GapCause
from acfd_stream.video import VideoSource, open_video
from acfd_stream.video.bytestream import ByteStream
from acfd_stream.video.decode_position import DecodePosition
from tests.video.joined_clips import fed

MakeClip = Callable[..., Path]
CELL, VIDEO_PID = 188, 0x100
FRAME = Fraction(1, 24)
LOST = range(12, 18)  # pictures; 18 is a keyframe


def read(source: Path | ByteStream, **config: float) -> VideoSource:
    with open_video(source, VideoConfig(threads=1, **config)) as video:  # type: ignore[arg-type]
        frames = sum(1 for _ in video)
    assert frames
    return video


def cells_of(data: bytes) -> list[bytes]:
    return [data[place : place + CELL] for place in range(0, len(data), CELL)]


def pictures_of(cells: list[bytes]) -> list[int | None]:
    """The number of the picture that each packet belongs to; None: it is not of the video."""
    numbers, picture = [], -1
    for cell in cells:
        is_video = (cell[1] << 8 | cell[2]) & 0x1FFF == VIDEO_PID
        picture += is_video and cell[1] >> 6 & 1
        numbers.append(picture if is_video else None)
    return numbers


def without_pictures(path: Path, lost: Iterable[int]) -> list[bytes]:
    cells = cells_of(path.read_bytes())
    return [cell for cell, number in zip(cells, pictures_of(cells), strict=True) if number not in set(lost)]


def written(path: Path, cells: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(cells))
    return path


def renumbered(cells: list[bytes]) -> list[bytes]:
    """With counters that count on, as where a multiple of 16 packets is lost."""
    count, changed = 0, []
    for cell in cells:
        if (cell[1] << 8 | cell[2]) & 0x1FFF == VIDEO_PID and cell[3] & 0x10:
            cell = cell[:3] + bytes([cell[3] & 0xF0 | count % 16]) + cell[4:]
            count += 1
        changed.append(cell)
    return changed


def transport(make_clip: MakeClip, codec: str = "libx264", b_frames: int = 0) -> Path:
    return make_clip(name="whole.ts", codec=codec, time_base=FRAME, pts=range(34, 58), b_frames=b_frames)


def steady(make_clip: MakeClip, **fields: Any) -> Path:
    """Two seconds at 24 pictures a second, each a keyframe or followed by those that need it only."""
    return make_clip(**{"b_frames": 0, "time_base": FRAME, "pts": range(48)} | fields)


def remuxed(path: Path, target: Path, lost: Iterable[int] = (), **options: str) -> Path:
    """The video of ``path`` in another file, without some packets."""
    with av.open(str(path)) as source, av.open(str(target), "w", options=options) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if packet.size and number not in set(lost):
                packet.stream = stream
                output.mux(packet)
    return target


def only(gaps: list[Gap]) -> tuple[float, float, GapCause]:
    (gap,) = gaps
    return round(gap.time, 2), round(gap.missing_seconds, 2), gap.cause


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
def test_pictures_that_a_transport_stream_lost_are_one_gap(codec: str, make_clip: MakeClip, tmp_path: Path) -> None:
    short = written(tmp_path / "short.ts", without_pictures(transport(make_clip, codec), LOST))
    video = read(short)
    assert only(video.gaps) == (1.92, 0.25, GapCause.LOST_PACKETS)
    assert (video.is_complete, video.error) == (False, None)
    assert "data is missing in 1 place, 0.250 s of pictures in all; the first is at 1.917 s (lost packets)" in (
        video.warnings
    )


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_loss_that_the_counters_do_not_show_is_a_hole_in_the_times(
    b_frames: int, make_clip: MakeClip, tmp_path: Path
) -> None:
    whole = transport(make_clip, b_frames=b_frames)
    video = read(written(tmp_path / "short.ts", renumbered(without_pictures(whole, range(13, 16)))))
    seconds, missing, cause = only(video.gaps)
    assert (missing, cause) == (0.12, GapCause.TIME_HOLE)
    assert seconds == pytest.approx(47 / 24, abs=0.09)
    assert not video.is_complete
    assert read(written(tmp_path / "whole.ts", renumbered(cells_of(whole.read_bytes())))).gaps == []


def test_a_splice_whose_counters_go_on_is_no_loss(make_clip: MakeClip, tmp_path: Path) -> None:
    spliced = renumbered(without_pictures(transport(make_clip), LOST))
    assert read(written(tmp_path / "spliced.ts", spliced)).gaps == []


def marked_as_scrambled(cells: list[bytes], lost: range, *, is_noise: bool) -> list[bytes]:
    changed = []
    for cell, number in zip(cells, pictures_of(cells), strict=True):
        begin = 5 + cell[4] if cell[3] & 0x20 else 4
        if number in lost and cell[3] & 0x10:
            content = b"\x5a" * (CELL - begin) if is_noise else cell[begin:]
            cell = cell[:3] + bytes([cell[3] | 0xC0]) + cell[4:begin] + content
        changed.append(cell)
    return changed


@pytest.mark.parametrize("is_fed", [False, True])
def test_a_scrambled_span_before_a_keyframe_is_a_gap(is_fed: bool, make_clip: MakeClip, tmp_path: Path) -> None:
    cells = cells_of(transport(make_clip, codec="mpeg2video").read_bytes())
    lost = range(9, 18)  # each in a packet of its own
    path = written(tmp_path / "scrambled.ts", marked_as_scrambled(cells, lost, is_noise=True))
    video = read(fed(path.read_bytes()) if is_fed else path)
    seconds, missing, cause = only(video.gaps)
    assert (missing, cause) == (0.38, GapCause.LOST_PACKETS)
    assert seconds == pytest.approx(43 / 24, abs=0.09)
    assert (video.is_complete, video.error) == (False, None)
    clear = read(written(tmp_path / "clear.ts", marked_as_scrambled(cells, lost, is_noise=False)))
    assert (clear.gaps, clear.is_complete) == ([], True)


def test_a_stream_of_bytes_has_the_same_gaps(make_clip: MakeClip, tmp_path: Path) -> None:
    short = written(tmp_path / "short.ts", without_pictures(transport(make_clip), LOST))
    stream = ByteStream(2**22)
    stream.feed(short.read_bytes())
    stream.close()
    assert read(stream).gaps == read(short).gaps != []


def test_losses_at_two_places_are_two_gaps(make_clip: MakeClip, tmp_path: Path) -> None:
    short = written(tmp_path / "short.ts", without_pictures(transport(make_clip), [9, 10, 11, 17]))
    found = [(round(gap.time, 2), round(gap.missing_seconds, 3)) for gap in read(short).gaps]
    assert found == [(1.79, 0.125), (2.12, 0.042)]


@pytest.fixture(params=["libx264", "mpeg2video"])
def noisy(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A transport stream whose pictures take several packets each; the first and 12 are keyframes."""
    noise = np.random.default_rng(5)
    with av.open(str(tmp_path / "noisy.ts"), "w") as container:
        options = {"bf": "0"} if request.param == "libx264" else {}
        stream = container.add_stream(request.param, rate=24, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.gop_size = 12
        for number in range(24):
            frame = av.VideoFrame.from_ndarray(noise.integers(0, 255, (64, 64, 3), np.uint8), "rgb24")
            frame.pts, frame.time_base = number, FRAME
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return tmp_path / "noisy.ts"


@pytest.mark.parametrize(("picture", "lost"), [(6, slice(1, 3)), (11, slice(-2, None))], ids=["inside", "at the end"])
def test_lost_parts_of_a_picture_are_a_gap_of_unknown_length(
    picture: int, lost: slice, noisy: Path, tmp_path: Path
) -> None:
    cells = cells_of(noisy.read_bytes())
    own = [place for place, number in enumerate(pictures_of(cells)) if number == picture]
    assert len(own) > 3
    gone = own[lost]
    short = written(tmp_path / "short.ts", [cell for place, cell in enumerate(cells) if place not in gone])
    video = read(short)
    (gap,) = video.gaps
    assert (gap.missing_seconds, gap.cause, video.is_complete) == (0.0, GapCause.LOST_PACKETS, False)
    assert gap.time == pytest.approx(picture / 24, abs=0.1)


def test_a_declared_discontinuity_is_no_loss(make_clip: MakeClip, tmp_path: Path) -> None:
    cells = without_pictures(transport(make_clip), LOST)
    first = next(place for place, number in enumerate(pictures_of(cells)) if number == LOST[0])
    assert cells[first][3] & 0x20
    cell = bytearray(cells[first])
    cell[5] |= 0x80  # discontinuity_indicator of the adaptation field
    cells[first] = bytes(cell)
    video = read(written(tmp_path / "declared.ts", cells))
    assert (video.gaps, video.is_complete) == ([], True)


def test_recordings_that_were_joined_have_no_gap_between_them(make_clip: MakeClip, tmp_path: Path) -> None:
    cells = cells_of(transport(make_clip).read_bytes())
    assert read(written(tmp_path / "joined.ts", [*cells, *cells, *cells])).gaps == []


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_recordings_whose_clock_continues_have_no_gap_between_them(
    codec: str, make_clip: MakeClip, tmp_path: Path
) -> None:
    parts = [
        make_clip(name=f"{begin}.ts", codec=codec, time_base=FRAME, pts=range(begin, begin + 21)) for begin in (34, 55)
    ]
    video = read(written(tmp_path / "joined.ts", [part.read_bytes() for part in parts]))
    assert (video.gaps, video.is_complete, video.warnings) == ([], True, [])


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_whole_transport_stream_has_no_gap(b_frames: int, make_clip: MakeClip) -> None:
    video = read(transport(make_clip, b_frames=b_frames))
    assert (video.gaps, video.is_complete, video.warnings) == ([], True, [])


@pytest.mark.parametrize("suffix", ["mkv", "flv"])
def test_a_jump_in_a_steady_video_is_a_gap(suffix: str, make_clip: MakeClip, tmp_path: Path) -> None:
    whole = steady(make_clip)
    short = remuxed(whole, tmp_path / f"short.{suffix}", LOST)
    video = read(short)
    assert only(video.gaps) == (0.5, 0.25, GapCause.TIME_HOLE)
    assert not video.is_complete
    assert read(remuxed(whole, tmp_path / f"whole.{suffix}")).gaps == []


def test_a_gap_lasts_as_long_as_the_decoder_hides_what_follows(make_clip: MakeClip, tmp_path: Path) -> None:
    whole = steady(make_clip, keyframe_distance=12, codec="libx264", b_frames=0)
    video = read(remuxed(whole, tmp_path / "short.mkv", [12]))
    with open_video(tmp_path / "short.mkv") as source:
        times = [frame.pts_seconds for frame in source]
    begin, end = next((one, other) for one, other in pairwise(times) if other - one > 0.1)
    time, missing, cause = only(video.gaps)
    assert (time, cause) == (0.5, GapCause.TIME_HOLE)
    assert missing == pytest.approx(end - begin - 1 / 24, abs=2e-3)
    assert missing > 0.2


@pytest.mark.parametrize(
    "lost",
    [
        range(1, 9),  # the first picture is shown until the second comes
        [*range(2, 48, 5), *range(3, 48, 5)],  # repeated pictures were left out
    ],
    ids=["begins late", "repeats left out"],
)
def test_a_video_of_variable_rate_has_no_gap(lost: Iterable[int], make_clip: MakeClip, tmp_path: Path) -> None:
    whole = steady(make_clip, keyframe_distance=1)
    video = read(remuxed(whole, tmp_path / "variable.mkv", lost))
    assert (video.gaps, video.is_complete, video.warnings) == ([], True, [])


@pytest.mark.parametrize("name", ["variable.mkv", "variable.mp4", "variable.flv"])
def test_times_that_vary_are_no_gap(name: str, make_clip: MakeClip) -> None:
    steps = np.random.default_rng(3).integers(30, 140, 48)
    steps[20] = 900
    video = read(make_clip(name=name, b_frames=0, pts=np.cumsum(steps).tolist()))
    assert (video.gaps, video.is_complete, video.warnings) == ([], True, [])


def test_a_sample_of_an_mp4_that_lasts_longer_is_no_gap(make_clip: MakeClip, tmp_path: Path) -> None:
    whole = steady(make_clip, keyframe_distance=1)
    assert read(remuxed(whole, tmp_path / "camera.mp4", LOST)).gaps == []


def test_a_fragment_that_is_missing_is_a_gap(make_clip: MakeClip, tmp_path: Path) -> None:
    whole = steady(make_clip, keyframe_distance=12, pts=range(60))
    data = remuxed(whole, tmp_path / "whole.mp4", movflags="frag_keyframe+empty_moov+default_base_moof").read_bytes()
    starts = [place - 4 for place in range(len(data)) if data.startswith(b"moof", place)]
    (tmp_path / "short.mp4").write_bytes(data[: starts[-3]] + data[starts[-2] :])
    video = read(tmp_path / "short.mp4")
    assert only(video.gaps) == (1.21, 0.5, GapCause.TIME_HOLE)


@pytest.mark.parametrize("codec", ["mpeg4", "libvpx"])
def test_a_damaged_block_head_is_damage_of_the_container(codec: str, make_clip: MakeClip, tmp_path: Path) -> None:
    whole = steady(make_clip, codec=codec, keyframe_distance=1, pts=range(96))
    whole = remuxed(whole, tmp_path / "clusters.mkv", cluster_time_limit="500")
    with av.open(str(whole)) as container:
        places = [packet.pos or 0 for packet in container.demux(video=0) if packet.size]
    data = bytearray(whole.read_bytes())
    data[places[30] - 6 : places[30]] = b"\xff" * 6
    (tmp_path / "damaged.mkv").write_bytes(data)
    (gap,) = read(tmp_path / "damaged.mkv").gaps
    assert gap.time == pytest.approx(30 / 24, abs=0.05)
    assert gap.missing_seconds > 1 / 25
    assert gap.cause is GapCause.DAMAGED_CONTAINER


def test_only_gaps_in_the_range_are_told(make_clip: MakeClip, tmp_path: Path) -> None:
    short = written(tmp_path / "short.ts", without_pictures(transport(make_clip), LOST))
    assert read(short, end_seconds=1.7).gaps == []
    assert read(short, start_seconds=2.2).gaps == []
    assert len(read(short, start_seconds=1.5, end_seconds=2.2).gaps) == 1


@pytest.mark.parametrize("at", [4, 14, 17])
def test_a_reading_that_continues_tells_the_same_gaps(at: int, make_clip: MakeClip, tmp_path: Path) -> None:
    short = written(tmp_path / "short.ts", without_pictures(transport(make_clip), LOST))
    whole = read(short)
    with open_video(short) as video:
        frame = [next(video) for _ in range(at + 1)][-1]
        position = DecodePosition(frame.index, frame.pts, loss_counts=video.loss_counts)
    assert position.is_unique is (at < LOST[0] - 6) or at < LOST[0]
    with open_video(short) as video:
        video.resume_after(position, at + 1)
        assert [frame.index for frame in video] == list(range(at + 1, 18))
    assert (video.gaps, video.warnings) == (whole.gaps, whole.warnings)
