"""What order and speed a file is sent in."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import av
import pytest

from acfd_stream.client.faststart import PIECE_BYTES, Layout, streamable
from acfd_stream.client.pacing import PacedMedia, live_copy, paced, schedule
from acfd_stream.client.stream_progress import ByteMedia
from acfd_stream.errors import MediaError
from acfd_stream.video import open_video
from acfd_stream.video.bytestream import ByteStream
from tests.service.rig import write_clip


def read_from_front_to_back(pieces: bytes) -> list[tuple[int, Fraction, bytes]]:
    """pts, time base and first plane of the frames that come out of bytes which cannot be rewound."""
    stream = ByteStream(len(pieces) + 1)
    stream.feed(pieces)
    stream.close()
    with open_video(stream) as video:
        return [(frame.pts, frame.time_base, frame.picture.planes[0].tobytes()) for frame in video]


def frames_of(path: Path) -> list[tuple[int, Fraction, bytes]]:
    with open_video(str(path)) as video:
        return [(frame.pts, frame.time_base, frame.picture.planes[0].tobytes()) for frame in video]


@pytest.mark.parametrize("kind", [Path, str])
def test_a_client_sends_the_index_of_a_path_first(tmp_path: Path, kind: type[Path] | type[str]) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    assert b"".join(ByteMedia(kind(clip)).pieces()) == b"".join(streamable(clip)) != clip.read_bytes()


def test_an_mp4_with_its_index_behind_can_be_read_while_it_comes_and_is_the_same(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    sent = b"".join(streamable(clip))
    assert clip.read_bytes().index(b"mdat") < clip.read_bytes().index(b"moov")
    assert sent.index(b"moov") < sent.index(b"mdat")
    assert len(sent) == clip.stat().st_size
    assert read_from_front_to_back(sent) == frames_of(clip)


def test_real_files_with_their_index_behind_are_the_same_too(shared: Path) -> None:
    for name in ("mb_sar_2x1.mp4", "decord_corrupted.mp4"):
        clip = shared / "videos" / "odd" / name
        assert Layout.of(clip).index
        assert read_from_front_to_back(b"".join(streamable(clip))) == frames_of(clip)


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".ts"])
def test_other_files_go_as_they_are(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / f"clip{suffix}")
    pieces = list(streamable(clip))
    assert b"".join(pieces) == clip.read_bytes()
    assert max(map(len, pieces)) <= PIECE_BYTES


def test_an_mp4_with_its_index_in_front_goes_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "fast.mp4"
    with (
        av.open(str(write_clip(tmp_path / "clip.mp4"))) as source,
        av.open(str(path), "w", options={"movflags": "faststart"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert not Layout.of(path).index
    assert b"".join(streamable(path)) == path.read_bytes()


@pytest.mark.parametrize("where", [8, 40, 200, 400, 800])
def test_a_damaged_index_goes_as_it_is_or_moved_but_never_breaks(tmp_path: Path, where: int) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=12)
    data = bytearray(clip.read_bytes())
    index = Layout.of(clip).index_offset
    data[index + where : index + where + 4] = b"\xff\xff\xff\xff"
    clip.write_bytes(data)
    assert len(b"".join(streamable(clip))) == len(data)


@pytest.mark.parametrize("content", [b"", b"\0", b"\0\0\0\1moov", b"\0\0\0\1mdat" + b"\xff" * 8, b"\0\0\0\0mdat"])
def test_files_that_are_none_go_as_they_are(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    assert b"".join(streamable(tmp_path / "a.mp4")) == content


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for attempt in (streamable, paced, schedule):
        with pytest.raises(MediaError, match="absent"):
            list(attempt(tmp_path / "absent.mp4"))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_every_frame_has_its_time_and_its_bytes(tmp_path: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / f"clip{suffix}")
    layout, dues = schedule(clip)
    assert len(dues) == 60
    assert [round(due.seconds * 24) for due in dues] == list(range(60))
    assert dues[-1].end == layout.total_bytes == clip.stat().st_size
    assert [due.end for due in dues] == sorted(due.end for due in dues)
    half = b"".join(PacedMedia(layout, dues, longest_seconds=30 / 24, begin_at=time.perf_counter() - 100)())
    whole = b"".join(streamable(clip))
    assert half == whole[: dues[29].end]


def test_a_frame_is_sent_at_its_time_and_not_before(tmp_path: Path) -> None:
    layout, dues = schedule(write_clip(tmp_path / "clip.mkv"), fps=100.0)
    media = PacedMedia(layout, dues, longest_seconds=0.3)
    begin = time.perf_counter()
    assert len(b"".join(media())) == dues[29].end
    assert time.perf_counter() - begin >= 0.29
    sent = [media.sent_at[due.pts] for due in dues[:30] if due.pts is not None]
    assert all(at - begin >= due.seconds for at, due in zip(sent, dues, strict=False))
    assert len(media.sent_at) == 30


def test_sending_can_be_stopped(tmp_path: Path) -> None:
    layout, dues = schedule(write_clip(tmp_path / "clip.mkv"), fps=0.01)
    media = PacedMedia(layout, dues)
    pieces = iter(media())
    next(pieces)
    media.stop()
    begin = time.perf_counter()
    assert sum(map(len, pieces)) < layout.total_bytes
    assert time.perf_counter() - begin < 10


def test_no_frame_of_a_live_copy_waits_for_a_later_one(tmp_path: Path) -> None:
    copy = live_copy(write_clip(tmp_path / "clip.mkv"), tmp_path / "live.mkv")
    with av.open(str(copy)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert len(packets) == 60
    assert all(packet.pts == packet.dts for packet in packets)
