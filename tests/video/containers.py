"""Clips whose containers are written by hand, since PyAV writes no such ones: what they hold is known to the packet."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

THEORA = Path(__file__).parents[1] / "fixtures" / "theora.ogv"
"""By libtheora: 40 packets, 24 a second, 3 of them empty."""
RATE = 24
SIZE = (48, 64)  # (height, width)
N_VOP = bytes([0, 0, 1, 0xB6, 0x50, 0x4F])  # MPEG-4: "not coded", P, time 0 of 5 bits
_KEY = 0x10


def luma_of(index: int) -> int:
    """The luma of the flat picture with an index; those of neighbours are far apart."""
    return 20 + index * 37 % 200


def pictures(count: int) -> list[av.VideoFrame]:
    """Flat pictures, 24 a second."""
    frames = []
    for index in range(count):
        frame = av.VideoFrame(SIZE[1], SIZE[0], "yuv420p")
        for place, plane in enumerate(frame.planes):
            value = 128 if place else luma_of(index)
            plane.update(np.full(plane.buffer_size, value, np.uint8).tobytes())
        frame.pts, frame.time_base = index, Fraction(1, RATE)
        frames.append(frame)
    return frames


def encoded(path: Path, codec: str, count: int, options: dict[str, str], container_format: str | None = None) -> Path:
    """Flat pictures in the container that the name says, or in ``container_format``."""
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=RATE, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in pictures(count):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def payloads(path: Path) -> list[tuple[bytes, bool]]:
    """(bytes, is keyframe) of each packet with data."""
    with av.open(str(path)) as container:
        return [(bytes(packet), packet.is_keyframe) for packet in container.demux(video=0) if packet.size]


def packed(chunks: Sequence[tuple[bytes, bool]]) -> list[tuple[bytes, bool]]:
    """MPEG-4 packets as DivX packs them: the first B-picture beside the one it refers to, then a VOP without data."""
    first, place = chunks[0][0], chunks[0][0].index(b"\0\0\1\xb6")
    groups = [[(first[:place] + b"\0\0\1\xb2DivX503b1393p" + first[place:], True)]]
    for data, is_key in chunks[1:]:
        if data[data.index(b"\0\0\1\xb6") + 4] >> 6 == 2:
            groups[-1].append((data, is_key))
        else:
            groups.append([(data, is_key)])
    found = []
    for group in groups:
        head = [(group[0][0] + group[1][0], group[0][1]), *group[2:], (N_VOP, False)] if len(group) > 1 else group
        found += head
    return found


def write_avi(path: Path, chunks: Sequence[tuple[bytes, bool]], fourcc: bytes = b"XVID") -> Path:
    """An AVI with an index; a chunk without data repeats the picture before."""
    height, width = SIZE
    largest = max(len(data) for data, _ in chunks)
    main = struct.pack("<14I", 1_000_000 // RATE, 0, 0, _KEY, len(chunks), 0, 1, largest, width, height, 0, 0, 0, 0)
    counts = 0, 0, 0, 0, 1, RATE, 0, len(chunks), largest, 0, 0, 0, 0, width, height
    stream = b"vids" + fourcc + struct.pack("<IHHIIIIIIIIHHHH", *counts)
    bitmap = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, fourcc, width * height * 3, 0, 0, 0, 0)
    lists = _chunk(b"LIST", b"strl" + _chunk(b"strh", stream) + _chunk(b"strf", bitmap))
    movie, index = b"movi", b""
    for data, is_key in chunks:
        index += b"00dc" + struct.pack("<III", _KEY * is_key, len(movie), len(data))
        movie += _chunk(b"00dc", data)
    head = _chunk(b"LIST", b"hdrl" + _chunk(b"avih", main) + lists)
    path.write_bytes(_chunk(b"RIFF", b"AVI " + head + _chunk(b"LIST", movie) + _chunk(b"idx1", index)))
    return path


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def theora_packets(path: Path) -> tuple[list[bytes], list[bytes]]:
    """Headers and packets of an Ogg file with nothing but Theora."""
    data, offset, found, part = path.read_bytes(), 0, list[bytes](), b""
    while offset < len(data):
        lacing = data[offset + 27 : offset + 27 + data[offset + 26]]
        offset += 27 + len(lacing)
        for length in lacing:
            part += data[offset : offset + length]
            offset += length
            if length < 255:
                found.append(part)
                part = b""
    return found[:3], found[3:]


def write_theora(path: Path, headers: Sequence[bytes], packets: Sequence[bytes]) -> Path:
    """An Ogg file with a packet a page; an empty one repeats the picture before."""
    shift = (headers[0][40] << 8 | headers[0][41]) >> 5 & 31
    pages, last_key = [_page(headers[:1], 0, 0, 2), _page(headers[1:], 0, 1, 0)], 0
    for index, packet in enumerate(packets):
        if packet and not packet[0] & 0x40:
            last_key = index
        granule = (last_key + 1) << shift | index - last_key
        pages.append(_page([packet], granule, index + 2, 4 * (index == len(packets) - 1)))
    path.write_bytes(b"".join(pages))
    return path


def _page(packets: Sequence[bytes], granule: int, number: int, flags: int) -> bytes:
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    head = b"OggS\0" + struct.pack("<BqIII", flags, granule, 7, number, 0) + bytes([len(lacing)])
    page = head + lacing + b"".join(packets)
    checksum = 0
    for byte in page:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ 0x04C11DB7 if checksum & 0x80000000 else checksum << 1) & 0xFFFFFFFF
    return page[:22] + struct.pack("<I", checksum) + page[26:]


def write_matroska(path: Path, codec_id: str, private: bytes, chunks: Sequence[tuple[bytes, bool]]) -> Path:
    """A Matroska file of a cluster a second; a block without data repeats the picture before."""
    video = _element("e0", _element("b0", _number(SIZE[1])) + _element("ba", _number(SIZE[0])))
    codec = _element("86", codec_id.encode()) + _element("63a2", private)
    entry = _element("d7", _number(1)) + _element("73c5", _number(1)) + _element("83", _number(1)) + codec
    track = _element("ae", entry + _element("23e383", _number(10**9 // RATE)) + video)
    body = _element("1549a966", _element("2ad7b1", _number(10**6))) + _element("1654ae6b", track)
    for begin in range(0, len(chunks), RATE):
        cluster = _element("e7", _number(begin * 1000 // RATE))
        for index, (data, is_key) in enumerate(chunks[begin : begin + RATE]):
            head = struct.pack(">BhB", 0x81, round(index * 1000 / RATE), 0x80 * is_key)
            cluster += _element("a3", head + data)
        body += _element("1f43b675", cluster)
    path.write_bytes(_element("1a45dfa3", _element("4282", b"matroska")) + _element("18538067", body))
    return path


def write_vfw(path: Path, chunks: Sequence[tuple[bytes, bool]]) -> Path:
    """A Matroska file of MPEG-4 as Video for Windows has it, whose times are those of decoding."""
    height, width = SIZE
    bitmap = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"XVID", width * height * 3, 0, 0, 0, 0)
    return write_matroska(path, "V_MS/VFW/FOURCC", bitmap, chunks)


def theora_private(headers: Sequence[bytes]) -> bytes:
    """Three headers as Matroska keeps them: their number less one, two sizes, and the bytes (Xiph lacing)."""
    sizes = b"".join(b"\xff" * (len(header) // 255) + bytes([len(header) % 255]) for header in headers[:-1])
    return bytes([len(headers) - 1]) + sizes + b"".join(headers)


def _element(element_id: str, body: bytes) -> bytes:
    return bytes.fromhex(element_id) + struct.pack(">Q", 1 << 56 | len(body)) + body


def _number(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")


def write_film(path: Path) -> tuple[Path, float]:
    """A film whose pictures last by empty packets or delays, or whose times are made up; its duration, seconds."""
    if path.suffix == ".ogv":
        headers, packets = theora_packets(THEORA)
        return write_theora(path, headers, [*(packet for packet in packets if packet), b"", b"", b""]), 1.666667
    if path.suffix == ".gif":
        return write_animation(path, "gif", "rgb8", (0, 10, 150, 400)), 4.1
    if path.stem == "shuffled":
        options = {"bf": "3", "g": "12", "x264-params": "b-adapt=0"}
        return encoded(path, "libx264", 20, options), 0.833333
    chunks = payloads(encoded(path.with_stem("whole"), "mpeg4", 20, {}))
    return write_avi(path, [each for chunk in chunks for each in (chunk, (b"", False))]), 1.666667


def write_animation(path: Path, codec: str, pixel_format: str, hundredths: Sequence[int]) -> Path:
    """A GIF or APNG of pictures that begin at these times, in 1/100 s."""
    with av.open(str(path), "w", format=codec) as container:
        stream = container.add_stream(codec, rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = *SIZE, pixel_format
        stream.codec_context.time_base = Fraction(1, 100)
        for index, pts in enumerate(hundredths):
            drawn = np.full((*SIZE, 3), 40 + 50 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(drawn, "rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = pts, Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
