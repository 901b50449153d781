"""Only the bytes and the index of a file show that it is cut short; what its header says of other things does not."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from acfd_stream.video import Source, open_video
from acfd_stream.video.bytestream import ByteStream
from acfd_stream.video.declared_size import declared_bytes
from tests.video.containers import THEORA

MakeClip = Callable[..., Path]
FRAME = Fraction(1, 24)
LONG = range(192)  # 8 s


def warnings_of(source: Source) -> list[str]:
    with open_video(source) as video:
        assert list(video)
    assert (video.is_complete, video.error) == (not video.warnings, None)
    return video.warnings


def as_stream(data: bytes) -> ByteStream:
    stream = ByteStream(2**24)
    stream.feed(data)
    stream.close()
    return stream


AS_SOURCE: dict[str, Callable[[Path], Source]] = {
    "path": lambda path: path,
    "file object": lambda path: io.BytesIO(path.read_bytes()),
    "stream": lambda path: as_stream(path.read_bytes()),
}


def faststart(path: Path, target: Path) -> Path:
    """An MP4 with its index in front."""
    with av.open(str(path)) as source, av.open(str(target), "w", options={"movflags": "faststart"}) as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    return target


@pytest.mark.parametrize("source", AS_SOURCE.values(), ids=AS_SOURCE)
@pytest.mark.parametrize(("name", "promise"), [("a.mkv", "8.0 s"), ("a.mp4", "192 frames"), ("a.avi", "192 frames")])
def test_a_file_that_is_cut_says_so(
    name: str, promise: str, source: Callable[[Path], Source], make_clip: MakeClip, tmp_path: Path
) -> None:
    codec = "mpeg4" if name == "a.avi" else "libx264"
    whole = make_clip(name=name, codec=codec, pts=LONG, time_base=FRAME, keyframe_distance=1, b_frames=0)
    if name == "a.mp4":
        whole = faststart(whole, tmp_path / "front.mp4")
    data = whole.read_bytes()
    with av.open(str(whole)) as container:
        places = [packet.pos or 0 for packet in container.demux(video=0) if packet.size]
    short = tmp_path / f"short{whole.suffix}"
    short.write_bytes(data[: places[100]])  # an MP4 ends between two packets
    found = warnings_of(source(short))
    assert [warning for warning in found if warning.startswith(f"the file is cut short: its header promises {promise}")]
    assert warnings_of(source(whole)) == []


@pytest.mark.parametrize("source", AS_SOURCE.values(), ids=AS_SOURCE)
@pytest.mark.parametrize("name", ["a.mkv", "a.webm"])
def test_a_short_file_that_is_cut_says_how_much_is_missing(
    name: str, source: Callable[[Path], Source], make_clip: MakeClip, tmp_path: Path
) -> None:
    codec = "libvpx" if name == "a.webm" else "libx264"
    whole = make_clip(name=name, codec=codec, pts=range(24), time_base=FRAME, keyframe_distance=1, b_frames=0)
    data = whole.read_bytes()
    with av.open(str(whole)) as container:
        last, behind = [packet for packet in container.demux(video=0) if packet.size][-2:]
    short = tmp_path / f"short{whole.suffix}"
    for end, there in ((last.pos or 0, 22), ((behind.pos or 0) + behind.size + 4, 24)):  # 4: in the index, behind all
        short.write_bytes(data[:end])
        with open_video(source(short)) as video:
            assert len(list(video)) == there
        gaps = [(round(gap.time, 2), round(gap.missing_seconds, 2)) for gap in video.gaps]
        assert gaps == ([(0.92, 0.08)] if there < 24 else [])


@pytest.mark.parametrize("source", AS_SOURCE.values(), ids=AS_SOURCE)
@pytest.mark.parametrize("removed", [1, 2, 40])
@pytest.mark.parametrize("name", ["a.gif", "a.y4m", "theora.ogv"])
def test_an_end_without_its_mark_says_so(
    name: str, removed: int, source: Callable[[Path], Source], make_clip: MakeClip, tmp_path: Path
) -> None:
    """A GIF ends with a trailer, YUV4MPEG2 with a whole frame, Ogg with a page that says so."""
    codec, pixels = ("gif", "gray") if name == "a.gif" else ("wrapped_avframe", "yuv420p")
    size = (96, 128)
    clip = dict(name=name, codec=codec, pixel_format=pixels, size=size, time_base=FRAME, pts=range(12))
    whole = THEORA if name == "theora.ogv" else make_clip(**clip)
    assert warnings_of(source(whole)) == []
    short = tmp_path / f"short{whole.suffix}"
    short.write_bytes(whole.read_bytes()[:-removed])
    found = warnings_of(source(short))
    assert found[0].startswith("the file is cut short: ")


def test_bytes_behind_the_end_of_a_gif_are_no_cut(make_clip: MakeClip, tmp_path: Path) -> None:
    data = make_clip(name="a.gif", codec="gif", pixel_format="gray", pts=range(6), time_base=FRAME).read_bytes()
    (tmp_path / "more.gif").write_bytes(data + b"\n" + bytes(9))
    assert warnings_of(tmp_path / "more.gif") == []


@pytest.mark.parametrize("source", AS_SOURCE.values(), ids=AS_SOURCE)
def test_sound_that_lasts_longer_is_no_cut(source: Callable[[Path], Source], make_clip: MakeClip) -> None:
    assert warnings_of(source(make_clip(sound="pcm_s16le", sound_seconds=6.0))) == []


def test_a_tag_of_before_a_cut_is_no_cut(tmp_path: Path, make_clip: MakeClip) -> None:
    data = make_clip().read_bytes()
    tag = b"00:00:00.98"
    assert data.count(tag) == 1
    (tmp_path / "stale.mkv").write_bytes(data.replace(tag, b"00:00:30.98"))
    assert warnings_of(tmp_path / "stale.mkv") == []


@pytest.mark.parametrize("source", AS_SOURCE.values(), ids=AS_SOURCE)
def test_a_longer_length_in_the_head_of_an_avi_is_no_cut(
    source: Callable[[Path], Source], make_clip: MakeClip, tmp_path: Path
) -> None:
    data = bytearray(make_clip(name="a.avi", codec="mpeg4", pts=LONG, time_base=FRAME, b_frames=0).read_bytes())
    data[48:52] = (400).to_bytes(4, "little")  # dwTotalFrames
    place = data.index(b"strh") + 8 + 32
    data[place : place + 4] = (400).to_bytes(4, "little")  # dwLength
    (tmp_path / "long.avi").write_bytes(data)
    assert warnings_of(source(tmp_path / "long.avi")) == []


def test_what_an_edit_list_cuts_away_is_no_cut(make_clip: MakeClip, tmp_path: Path) -> None:
    data = bytearray(make_clip(name="a.mp4", pts=LONG, time_base=FRAME, keyframe_distance=1).read_bytes())
    with av.open(str(tmp_path / "a.mp4")) as container:
        time_base = container.streams.video[0].time_base
    assert time_base is not None
    place = data.index(b"elst") + 12
    data[place : place + 4] = (1000).to_bytes(4, "big")  # duration in ms
    data[place + 4 : place + 8] = round(4 / time_base).to_bytes(4, "big")
    (tmp_path / "trimmed.mp4").write_bytes(data)
    with open_video(tmp_path / "trimmed.mp4") as video:
        assert 20 < len(list(video)) < 40
    assert (video.is_complete, video.warnings) == (True, [])


def test_a_file_that_ends_inside_its_last_packet_says_so(make_clip: MakeClip, tmp_path: Path) -> None:
    whole = make_clip(name="a.mp4", codec="mpeg4", pts=LONG, time_base=FRAME, keyframe_distance=1, b_frames=0)
    data = faststart(whole, tmp_path / "front.mp4").read_bytes()
    (tmp_path / "short.mp4").write_bytes(data[:-4])
    with open_video(tmp_path / "short.mp4") as video:
        list(video)
    assert "the file is cut short: its last packet is incomplete" in video.warnings


@pytest.mark.parametrize("source", [AS_SOURCE["path"], AS_SOURCE["file object"]], ids=["path", "file object"])
@pytest.mark.parametrize("pointer", [b"\xc0", b"\x20", b"\0"], ids=["far", "negative", "before the beginning"])
def test_an_end_that_leads_nowhere_keeps_no_frame_back(
    pointer: bytes, source: Callable[[Path], Source], make_clip: MakeClip, tmp_path: Path
) -> None:
    """FFmpeg takes 8 of the last 12 bytes of a NUT for the distance of its index, also in one that is cut."""
    data = make_clip(name="a.nut", codec="mpeg4", pts=range(24), time_base=FRAME, b_frames=0).read_bytes()
    (tmp_path / "cut.nut").write_bytes(data[: len(data) // 2] + pointer + b"\0" * 3 + b"\xc0" * 8)
    with open_video(source(tmp_path / "cut.nut")) as video:
        assert len(list(video)) > 8


@pytest.mark.parametrize(
    ("head", "size"),
    [
        (b"RIFF\x10\x00\x00\x00AVI ", 24),
        (b"RIFX\x00\x00\x00\x10AVI ", 24),
        (b"\x1a\x45\xdf\xa3\x82\x00\x00\x18\x53\x80\x67\x84", 16),
        (b"\x1a\x45\xdf\xa3\x82\x00\x00\x18\x53\x80\x67\x40\x05", 18),
        (b"\x1a\x45\xdf\xa3\x82\x00\x00\x18\x53\x80\x67\xff", None),  # a live recording
        (b"\x1a\x45\xdf\xa3\x82\x00\x00\x18\x53\x80\x67\x01" + b"\xff" * 7, None),
        (b"\x1a\x45\xdf\xa3\x82\x00", None),
        (b"\x1a\x45\xdf\xa3", None),
        (b"RIFF", None),
        (b"", None),
    ],
)
def test_the_declared_size_is_that_of_the_outermost_element(head: bytes, size: int | None) -> None:
    assert declared_bytes(head) == size


def with_zeros(path: Path, begin: float, end: float) -> Path:
    """The file with zeros between two shares of its bytes."""
    data = path.read_bytes()
    first, last = int(begin * len(data)), int(end * len(data))
    path.write_bytes(data[:first] + bytes(last - first) + data[last:])
    return path


@pytest.fixture
def noisy(tmp_path: Path) -> Callable[[str], Path]:
    """Eight seconds of noise, whose packets are large, in the container of the name."""

    def make(name: str) -> Path:
        path = tmp_path / name
        random = np.random.default_rng(1)
        codec, options = ("mpeg4", {}) if name.endswith("avi") else ("libx264", {"bf": "3", "preset": "ultrafast"})
        with av.open(str(path), "w") as output:
            stream = output.add_stream(codec, rate=24, options=options)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.gop_size = 128, 96, 24
            for _ in LONG:
                frame = av.VideoFrame.from_ndarray(random.integers(0, 255, (96, 128, 3), np.uint8), format="rgb24")
                output.mux(stream.encode(frame))
            output.mux(stream.encode())
        return path

    return make


def missing_of(source: Source) -> tuple[int, float, bool]:
    """Number of frames, seconds that the gaps miss, and whether the video is complete."""
    with open_video(source) as video:
        frames = len(list(video))
    return frames, sum(gap.missing_seconds for gap in video.gaps), video.is_complete


@pytest.mark.parametrize("source", AS_SOURCE.values(), ids=AS_SOURCE)
@pytest.mark.parametrize(
    ("name", "begin", "end"), [("a.mkv", 0.5, 1.0), ("a.avi", 0.5, 1.0), ("a.mkv", 0.45, 0.8)], ids=str
)
def test_zeros_in_place_of_pictures_are_a_gap_of_their_length(
    name: str, begin: float, end: float, source: Callable[[Path], Source], noisy: Callable[[str], Path]
) -> None:
    frames, missing, is_complete = missing_of(source(with_zeros(noisy(name), begin, end)))
    assert not is_complete
    assert frames + missing * 24 == pytest.approx(len(LONG), abs=3)


@pytest.mark.parametrize("name", ["a.mkv", "a.avi"])
def test_zeros_behind_a_whole_file_are_no_cut(name: str, noisy: Callable[[str], Path]) -> None:
    path = noisy(name)
    path.write_bytes(path.read_bytes() + bytes(2**17))
    assert missing_of(path) == (len(LONG), 0.0, True)
