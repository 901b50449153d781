"""The size of a still picture is that which its decoder will use, whatever else its bytes say."""

from __future__ import annotations

import contextlib
import random
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.errors import MediaError
from acfd_stream.video.decode_image import decode_image
from acfd_stream.video.still import MOST_CHUNKS, MOST_SCANS, MOST_SEGMENTS, decode_still, still_size

SIZE, HUGE = (24, 40), 12_000
ENCODINGS = {
    "jpeg": (".jpg", []),
    "progressive jpeg": (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "png": (".png", []),
    "webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 60]),
    "lossless webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),
}


def encoded(name: str, channels: int = 3) -> bytes:
    """A small picture of noise, so that its data is as long as its header."""
    suffix, options = ENCODINGS[name]
    image = np.random.default_rng(1).integers(0, 255, (*SIZE, channels), np.uint8)
    return cv2.imencode(suffix, image, options)[1].tobytes()


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def riff(kind: bytes, content: bytes) -> bytes:
    """A chunk of a WebP."""
    return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def extended(size: tuple[int, int], flags: int, rest: bytes) -> bytes:
    """A WebP with a canvas of (height, width)."""
    sides = b"".join(struct.pack("<I", side - 1)[:3] for side in reversed(size))
    body = b"WEBP" + riff(b"VP8X", bytes([flags, 0, 0, 0]) + sides) + rest
    return b"RIFF" + struct.pack("<I", len(body)) + body


def grown(data: bytes) -> bytes:
    """A JPEG whose frame header says HUGE."""
    place = min(place for marker in (b"\xff\xc0", b"\xff\xc2") if (place := data.find(marker)) > 0)
    return data[: place + 5] + struct.pack(">HH", HUGE, HUGE) + data[place + 9 :]


def lies() -> dict[str, bytes]:
    """Pictures of HUGE sides that begin with a small size, or hide the large one."""
    jpeg, progressive = grown(encoded("jpeg"))[2:], grown(encoded("progressive jpeg"))[2:]
    small = struct.pack(">BBHBHHBBBB", 0xFF, 0xC0, 11, 8, 16, 16, 1, 1, 0x11, 0)
    png = encoded("png")
    header, rest = png[8:33], png[33:]
    large = chunk(b"IHDR", struct.pack(">II", HUGE, HUGE) + header[16:21])
    frame = struct.pack(">IIIIIHHBB", 0, HUGE, HUGE, 0, 0, 1, 25, 0, 0)
    vp8 = bytearray(encoded("webp")[12:])
    vp8[14:18] = struct.pack("<HH", HUGE, HUGE)
    place = struct.pack("<I", 0)[:3] * 2 + struct.pack("<I", HUGE - 1)[:3] * 2 + bytes(4)
    return {
        "a jpeg in a segment of no marker": b"\xff\xd8\xff\x00" + struct.pack(">H", len(jpeg) + 2) + jpeg + small,
        "a jpeg behind bytes between its segments": b"\xff\xd8\xff\xff\x00junk\xff\x00" + jpeg,
        "a jpeg behind a restart marker": b"\xff\xd8\xff\xd3\xff\x01" + jpeg,
        "a jpeg behind a segment without content": b"\xff\xd8\xff\xfe\x00\x00" + jpeg,
        "a jpeg behind one in a comment": b"\xff\xd8\xff\xfe" + struct.pack(">H", len(small) + 2) + small + jpeg,
        "a jpeg with two frame headers": b"\xff\xd8" + small + jpeg,
        "a progressive jpeg": b"\xff\xd8" + progressive,
        "a png with two headers": png[:8] + header + large + rest,
        "a png whose second header comes first": png[:8] + large + header + rest,
        "a png that begins with a text": png[:8] + chunk(b"tEXt", header[4:21]) + large + rest,
        "a png with a text of 2 GiB": png[:33] + struct.pack(">I4s", 2**31 - 1, b"tEXt") + rest,
        "a png with data of 1 GiB": png[:33] + struct.pack(">I", 2**30) + rest[4:],
        "an animation with a frame beyond its canvas": png[:8]
        + header + chunk(b"acTL", struct.pack(">II", 1, 0)) + chunk(b"fcTL", frame) + rest,
        "a webp with a small canvas": extended(SIZE, 0, bytes(vp8)),
        "a webp with a large canvas": extended((HUGE, HUGE), 0, encoded("webp")[12:]),
        "an animated webp with a large frame": extended(
            SIZE, 2, riff(b"ANIM", bytes(6)) + riff(b"ANMF", place + bytes(vp8))
        ),
    }  # fmt: skip


def peak_bytes() -> int:
    """The most resident memory since ``clear_refs`` was written."""
    return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


@pytest.mark.parametrize("name", lies())
def test_no_memory_is_taken_for_a_picture_that_hides_its_size(name: str) -> None:
    data = lies()[name]
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("the kernel does not forget a peak")
    held = peak_bytes()
    with contextlib.suppress(MediaError):
        assert decode_still(data, 2**20).shape[:2] == SIZE
    assert peak_bytes() - held < 16 * 2**20


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_changed_byte_never_makes_the_decoder_use_another_size(name: str) -> None:
    original, dice, decoded = encoded(name), random.Random(5), 0
    for _ in range(1500):
        data = bytearray(original)
        for _ in range(dice.choice((1, 1, 2, 4))):
            place = dice.randrange(2, min(len(data), 700))
            if dice.random() < 0.2:
                data[place:place] = dice.choice((b"\xff", b"\xff\x00", b"\xff\xd0", b"\xff\xfe\x00\x02", b"\x00"))
            else:
                data[place] = dice.choice((0, 1, 0xFF, 0xC0, dice.randrange(256)))
        size = still_size(bytes(data))
        if size is None or size[0] * size[1] > 2**20:
            continue
        with contextlib.suppress(MediaError):
            assert decode_image(bytes(data)).shape[:2] in (size, size[::-1])
            decoded += 1
    assert decoded > (0 if name == "png" else 100)  # a PNG has checksums


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_picture_has_its_own_size(name: str) -> None:
    assert still_size(encoded(name)) == SIZE
    assert decode_still(encoded(name), SIZE[0] * SIZE[1]).shape == (*SIZE, 3)
    with pytest.raises(MediaError, match="40×24 pixels are above the limit of 959"):
        decode_still(encoded(name), SIZE[0] * SIZE[1] - 1)


def progressive(scans: int, comment: bytes = b"") -> bytes:
    """A gray progressive JPEG of 64×64 pixels, whose scans after the first say that nothing follows."""

    def segment(marker: int, content: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content

    table = bytes([1] + [0] * 15)  # one code, of one bit
    parts = [b"\xff\xd8", segment(0xFE, comment), segment(0xDB, b"\0" + b"\1" * 64)]
    parts += [segment(0xC2, struct.pack(">BHHB", 8, 64, 64, 1) + b"\1\x11\0")]
    parts += [segment(0xC4, b"\x00" + table + b"\x00"), segment(0xC4, b"\x10" + table + b"\xe0")]
    parts += [segment(0xDA, b"\1\1\0\0\0\0") + bytes(8)]
    for number in range(scans - 1):
        first = 1 + number % 63
        parts.append(segment(0xDA, bytes([1, 1, 0, first, first, 0])) + b"\x00\x7f")
    return b"".join([*parts, b"\xff\xd9"])


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded() -> None:
    assert decode_still(progressive(MOST_SCANS), 64 * 64).shape == (64, 64, 3)
    with pytest.raises(MediaError, match="more than 64 scans"):
        decode_still(progressive(MOST_SCANS + 1), 64 * 64)


def test_only_the_scans_of_the_picture_itself_count() -> None:
    marks = b"\xff\xda\0\2" * (MOST_SCANS + 1)  # in a segment, as of a thumbnail, and behind the end, as of a film
    assert decode_still(progressive(8, comment=marks) + marks, 64 * 64).shape == (64, 64, 3)


INFLATED_MIB = 600
BOUNDED = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, ({INFLATED_MIB} << 20, {INFLATED_MIB} << 20))
from acfd_stream.video.still import decode_still
print(decode_still(sys.stdin.buffer.read(), 64 * 64).sum())
"""


def png_with(kind: bytes, content: bytes, times: int = 1) -> bytes:
    """A white PNG with chunks behind its header, and junk behind its end."""
    data = cv2.imencode(".png", np.full((64, 64, 3), 255, np.uint8))[1].tobytes()
    return data[:33] + times * chunk(kind, content) + data[33:] + b"\xff" * 40


@pytest.mark.parametrize(
    ("kind", "times"), [(b"iCCP", 1), (b"zTXt", 1), (b"zTXt", 150)], ids=["a profile", "a text", "many texts"]
)
def test_what_a_png_says_besides_its_pixels_is_not_inflated(kind: bytes, times: int) -> None:
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(INFLATED_MIB // times)) + packer.flush()
    data = png_with(kind, b"a\0\0" + packed, times)
    done = subprocess.run([sys.executable, "-c", BOUNDED], input=data, capture_output=True, check=True)
    assert int(done.stdout) == 64 * 64 * 3 * 255


def test_names_of_very_many_texts_are_not_compared() -> None:
    plain = png_with(b"tEXt", b"a\0b")
    texts = b"".join(chunk(b"tEXt", b"%d\0" % number) for number in range(100_000))
    begin = time.process_time()
    assert np.array_equal(decode_image(plain[:33] + texts + plain[33:]), decode_image(plain))
    assert time.process_time() - begin < 10  # minutes, if they were


def test_a_picture_of_very_many_parts_is_refused_before_it_is_decoded() -> None:
    jpeg = cv2.imencode(".jpg", np.full((64, 64, 3), 90, np.uint8))[1].tobytes()
    comment = b"\xff\xfe\0\2"
    assert decode_still(jpeg[:2] + comment * 1000 + jpeg[2:], 64 * 64).shape == (64, 64, 3)
    begin = time.process_time()
    for data in (jpeg[:2] + comment * 700_000 + jpeg[2:], jpeg[:-2] + comment * 700_000 + jpeg[-2:]):
        with pytest.raises(MediaError):
            decode_still(data, 64 * 64)
    with pytest.raises(MediaError):
        decode_still(png_with(b"IDAT", b"", MOST_CHUNKS), 64 * 64)
    assert time.process_time() - begin < 1.0  # two seconds for each JPEG, if all parts were looked at
    with pytest.raises(MediaError, match=f"{MOST_SEGMENTS} segments"):
        decode_still(jpeg[:-2] + comment * MOST_SEGMENTS + jpeg[-2:], 64 * 64)
