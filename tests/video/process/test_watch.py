"""Input that yields no picture ends; nothing that a sound video does is taken for that."""

from __future__ import annotations

import itertools
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import av
import numpy as np
import pytest

from acfd_stream.errors import MediaError
from acfd_stream.video.process import watch as watch_module
from acfd_stream.video.process.decoder import DecoderProcess
from acfd_stream.video.process.limits import DecoderLimits
from acfd_stream.video.process.watch import DecoderWatch
from tests.video.conftest import Clip, write_clip
from tests.video.process.processes import flowing

MIB = 2**20
LITTLE = DecoderLimits(held_bytes=2 * MIB, silent_bytes=24 * MIB, silent_seconds=5.0)
ZEROS = bytes(2**16)


def endless(head: bytes, piece: bytes) -> str:
    """Why the reading of ``head`` and then nothing but ``piece`` ends."""
    stream = flowing(head, itertools.repeat(piece * (2**16 // len(piece) or 1)))
    try:
        with closing(DecoderProcess(LITTLE).open(stream)) as video:
            list(video)
            assert not video.is_complete
            reason = video.error or ""
    except MediaError as error:
        reason = str(error)
    assert not stream.feed(b"more")
    return reason


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], bytes]:
    """The bytes of a clip, by codec and container."""
    folder = tmp_path_factory.mktemp("heads")
    return lambda codec, name: write_clip(
        folder,
        Clip(
            name=name,
            codec=codec,
            pixel_format="yuvj420p" if codec == "mjpeg" else "yuv420p",
            pts=range(24),
            time_base=Fraction(1, 24),
            b_frames=0,
        ),
    ).read_bytes()


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("mjpeg", "clip.mjpeg"),
        ("libx264", "clip.h264"),
        ("libx265", "clip.hevc"),
        ("mpeg2video", "clip.mpeg"),
        ("mpeg4", "clip.m4v"),
    ],
)
def test_a_parser_that_finds_no_end_is_ended(codec: str, name: str, heads: Callable[[str, str], bytes]) -> None:
    assert "no picture in" in endless(heads(codec, name), ZEROS)


@pytest.mark.parametrize(
    "head", [b"\xff\xd8", b"\0\0\0\1\x67", b"\0\0\1\xba", b"\0\0\1\xb3"], ids=lambda head: head.hex()
)
def test_a_beginning_without_a_picture_is_ended(head: bytes) -> None:
    assert endless(head, ZEROS)  # by FFmpeg or by us


def test_pages_without_end_are_ended() -> None:
    page = b"OggS\0\2" + struct.pack("<qIIIB", -1, 7, 0, 0, 255) + b"\xff" * 255 + bytes(255 * 255)
    assert endless(page, page.replace(b"\2", b"\1", 1))


PADDING = b"\0\0\1\xbe" + struct.pack(">H", 2042) + b"\xff" * 2042
NULL_PACKETS = (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 16
VAST_ELEMENT = b"\xec\x01" + (2**40).to_bytes(7, "big")  # Void
VAST_BOX = b"\0\0\0\1free" + (2**40).to_bytes(8, "big")


@pytest.mark.parametrize(
    ("codec", "name", "tail", "piece"),
    [
        ("mpeg2video", "clip.mpg", b"", PADDING),
        ("libx264", "clip.ts", b"", NULL_PACKETS),
        ("libx264", "clip.mkv", VAST_ELEMENT, ZEROS),
    ],
    ids=["padding", "null packets", "element"],
)
def test_padding_for_ever_is_ended(
    codec: str, name: str, tail: bytes, piece: bytes, heads: Callable[[str, str], bytes]
) -> None:
    assert "no picture in" in endless(heads(codec, name) + tail, piece)


def test_a_vast_box_before_the_index_is_ended() -> None:
    assert "no picture in" in endless(b"\0\0\0\x10ftypisom\0\0\2\0" + VAST_BOX, ZEROS)


def test_a_hole_in_a_file_is_ended(tmp_path: Path) -> None:
    path = write_clip(tmp_path, Clip(name="clip.mpg", codec="mpeg2video", pts=range(24), time_base=Fraction(1, 24)))
    os.truncate(path, 2**36)
    with path.open("rb") as file, pytest.raises(MediaError, match="no picture in 24 MiB; the limit is silent_bytes"):
        DecoderProcess(LITTLE).open(file)  # FFmpeg looks for the other streams of the container first


class _Zeros(BaseHTTPRequestHandler):
    head = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            self.wfile.write(self.head)
            while True:
                self.wfile.write(ZEROS)
        except OSError:
            pass

    def log_message(self, *about: object) -> None:
        """Say nothing."""


@pytest.fixture
def zeros_url(heads: Callable[[str, str], bytes]) -> Iterator[str]:
    _Zeros.head = heads("mjpeg", "clip.mjpeg")
    with HTTPServer(("127.0.0.1", 0), _Zeros) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/clip.mjpeg"
        server.shutdown()


def test_a_url_of_zeros_is_ended(zeros_url: str) -> None:
    try:
        with closing(DecoderProcess(LITTLE).open(zeros_url)) as video:
            list(video)
            reason = video.error
    except MediaError as error:
        reason = str(error)
    assert reason is not None
    assert "no picture in" in reason


def test_sound_and_large_pictures_are_no_reason(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (1080, 1920, 3), dtype=np.uint8)
    path = tmp_path / "large.mkv"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("ffv1", rate=1)
        picture.height, picture.width, picture.pix_fmt = 1080, 1920, "bgr0"  # 6 MiB a picture
        sound = container.add_stream("pcm_s32le", rate=192_000, layout="stereo")
        for number in range(2):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, number), format="rgb24")
            frame.pts = number * 20
            container.mux(picture.encode(frame))
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 192_000), np.int32), format="s32", layout="stereo")
            for second in range(10 * number, 10 * number + 10):  # 15 MiB between the pictures
                samples.sample_rate, samples.pts = 192_000, second * 192_000
                container.mux(sound.encode(samples))
        container.mux(picture.encode(None))
    with closing(DecoderProcess(replace(LITTLE, silent_bytes=64 * MIB)).open(path)) as video:
        assert len(list(video)) == 2
        assert video.is_complete


def with_attachment(data: bytes, size: int) -> bytes:
    """A Matroska of unknown length, with a font of ``size`` bytes before its first cluster."""

    def element(name: bytes, body: bytes) -> bytes:
        return name + (len(body) | 1 << 56).to_bytes(8, "big") + body

    font = element(b"\x46\x6e", b"a.ttf") + element(b"\x46\x60", b"font/ttf") + element(b"\x46\xae", b"\1")
    file = element(b"\x61\xa7", font + element(b"\x46\x5c", np.random.default_rng(1).bytes(size)))
    begin, segment = data.index(b"\x1f\x43\xb6\x75"), data.index(b"\x18\x53\x80\x67")
    head = data[: segment + 4] + b"\x01" + b"\xff" * 7 + data[segment + 12 : begin]
    return head + element(b"\x19\x41\xa4\x69", file) + data[begin:]


def test_fonts_are_no_reason(plain_clip: Path) -> None:
    data = with_attachment(plain_clip.read_bytes(), 20 * MIB)
    with closing(DecoderProcess(LITTLE).open(flowing(data, ()))) as video:
        assert len(list(video)) == 24


def told(limits: DecoderLimits, *, counts_bytes: bool = True) -> tuple[DecoderWatch, list[str]]:
    reasons: list[str] = []
    return DecoderWatch(limits, reasons.append, counts_bytes=counts_bytes), reasons


def test_bytes_without_memory_are_bounded_later_than_those_that_are_held() -> None:
    watch, reasons = told(LITTLE)
    for _ in range(20):
        watch.note_read(bytes(MIB))
    assert reasons == []
    for _ in range(5):
        watch.note_read(bytes(MIB))
    assert "silent_bytes" in reasons[0]


def test_a_packet_begins_anew_and_a_large_picture_may_hold_more(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = [MIB]  # said, not taken: a heap with room in it does not grow
    monkeypatch.setattr(watch_module, "memory_bytes", lambda: memory[0])
    watch, reasons = told(LITTLE)

    def keep(megabytes: int) -> None:
        for _ in range(megabytes):
            memory[0] += MIB
            watch.note_read(bytes(MIB))

    watch.note_picture(1920 * 1080)
    for _ in range(3):
        keep(8)
        watch.note_packet()
    assert reasons == []
    keep(18)
    assert "held_bytes" in reasons[0]


def test_reading_on_and_on_costs_only_so_much_time() -> None:
    watch, reasons = told(DecoderLimits(silent_seconds=0.05), counts_bytes=False)
    while not reasons:
        watch.check()
    assert "0.05 s" in reasons[0]
