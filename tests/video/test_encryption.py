"""Encrypted video is refused before its first frame, whatever the container, from files and from bytes."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import pytest

from acfd_stream.errors import MediaError
from acfd_stream.video.source import open_video
from tests.video.joined_clips import fed

COMMON_ENCRYPTION = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "76" * 16, "encryption_kid": "a7" * 16}


def clip(path: Path, codec: str = "libx264", options: dict[str, str] | None = None, seconds: int = 1) -> bytes:
    with av.open(str(path), "w", options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=24)
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = 48, 64, "yuv420p", 12
        stream.codec_context.thread_count = 1  # the same pictures each time
        for index in range(24 * seconds):
            image = np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


def cenc(folder: Path) -> bytes:
    return clip(folder / "given.mp4", options=COMMON_ENCRYPTION)


def cenc_clear_slices(folder: Path) -> bytes:
    """Marked as encrypted, with pictures that a decoder takes for clear ones."""
    clear, marked = clip(folder / "clear.mp4"), cenc(folder)
    pictures = clear[clear.index(b"mdat") + 4 : clear.index(b"moov") - 4]
    begin = marked.index(b"mdat") + 4
    assert marked[begin + len(pictures) + 4 :].startswith(b"moov")
    return marked[:begin] + pictures + marked[begin + len(pictures) :]


def cenc_fragments(folder: Path) -> bytes:
    return clip(folder / "given.mp4", options={"movflags": "frag_keyframe+empty_moov"} | COMMON_ENCRYPTION)


def cbcs(folder: Path) -> bytes:
    return cenc(folder).replace(b"schm\0\0\0\0cenc", b"schm\0\0\0\0cbcs")


def fairplay(folder: Path) -> bytes:
    return cenc(folder).replace(b"encv", b"drmi")


def fairplay_without_scheme(folder: Path) -> bytes:
    data = clip(folder / "given.mp4")
    begin = data.index(b"avc1", data.index(b"stsd"))
    return data[:begin] + b"drmi" + data[begin + 4 :]


def element(name: str, content: bytes) -> bytes:
    return bytes.fromhex(name) + (len(content) | 1 << 56).to_bytes(8, "big") + content


def matroska(folder: Path) -> bytes:
    """A file whose track has ContentEncryption, with no key id, put in at the beginning of its entry."""
    data = clip(folder / "given.mkv", options={"live": "1"})
    mark = element("6d80", element("6240", element("5033", b"\1") + element("5035", element("47e1", b"\5"))))
    tracks = data.index(bytes.fromhex("1654ae6b"), 100)  # the one before is in the list of positions
    entry = data.index(b"\xae", tracks + 5)
    number = data.index(b"\xd7\x81\x01", entry)  # the first element of the entry
    end = number + (int.from_bytes(data[entry + 1 : number], "big") & (1 << 7 * (number - entry - 1)) - 1)
    changed = element("1654ae6b", element("ae", mark + data[number:end]))
    return data[:tracks] + changed + data[data.index(bytes.fromhex("1f43b675")) :]


def scrambled(data: bytes, stride: int = 188, sync: int = 0, begin: int = 0, pid: int = 0x100) -> bytes:
    """A transport stream with noise for the pictures behind ``begin``, and headers that say so."""
    out, rng = bytearray(data), np.random.default_rng(1)
    for at in range(begin // stride * stride + sync, len(out), stride):
        if (out[at + 1] & 0x1F) << 8 | out[at + 2] == pid and out[at + 3] & 0x10:
            first = at + (5 + out[at + 4] if out[at + 3] & 0x20 else 4)
            out[at + 3] |= 0x80
            out[first : at + 188] = rng.bytes(at + 188 - first)
    return bytes(out)


def transport_stream(folder: Path) -> bytes:
    return scrambled(clip(folder / "given.ts"))


def m2ts(folder: Path) -> bytes:
    return scrambled(clip(folder / "given.ts", options={"mpegts_m2ts_mode": "1"}), 192, 4, pid=0x1011)


def transport_stream_cut(folder: Path) -> bytes:
    """One that begins in mid-packet."""
    return transport_stream(folder)[100:]


def program_stream(folder: Path) -> bytes:
    """Like a DVD: the heads of the packets stay clear, and the pictures do here, too."""
    data = bytearray(clip(folder / "given.vob", "mpeg2video"))
    at = -1
    while (at := data.find(b"\0\0\1\xe0", at + 1)) >= 0:
        data[at + 6] |= 0x30
    return bytes(data)


def windows_media(folder: Path) -> bytes:
    data = clip(folder / "given.wmv", "wmv2")
    mark = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e") + struct.pack("<Q", 40) + bytes(16)
    size, count = struct.unpack_from("<QI", data, 16)
    return data[:16] + struct.pack("<QI", size + 40, count + 1) + data[28:30] + mark + data[30:]


ENCRYPTED: list[Callable[[Path], bytes]] = [
    cenc, cenc_clear_slices, cenc_fragments, cbcs, fairplay, fairplay_without_scheme, matroska, transport_stream, m2ts,
    transport_stream_cut, program_stream, windows_media,
]  # fmt: skip


class Pipe(io.BytesIO):
    """Bytes that cannot be read twice."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise OSError("a pipe")


@pytest.mark.parametrize("source", ["file", "object", "pipe"])
@pytest.mark.parametrize("make", ENCRYPTED)
def test_encrypted_video_is_refused(make: Callable[[Path], bytes], source: str, tmp_path: Path) -> None:
    data, path = make(tmp_path), tmp_path / "clip"
    if source == "pipe" and make in (cenc, cenc_clear_slices, cbcs, fairplay, fairplay_without_scheme):
        data = with_index_in_front(data)
    path.write_bytes(data)
    given: Path | BinaryIO = path if source == "file" else Pipe(data) if source == "pipe" else io.BytesIO(data)
    with pytest.raises(MediaError, match=r"^(.*clip|<stream>): the video is encrypted \(.*\); decrypt it with its key"):
        open_video(given)


def with_index_in_front(data: bytes) -> bytes:
    """An MP4 with ``moov`` before ``mdat``; nothing is decoded, so offsets may stay."""
    moov, mdat = data.index(b"moov") - 4, data.index(b"mdat") - 4
    end = moov + int.from_bytes(data[moov : moov + 4], "big")
    return data[:mdat] + data[moov:end] + data[mdat:moov] + data[end:]


@pytest.mark.parametrize("clear_part", [0.5, 0.9])
@pytest.mark.parametrize("source", ["file", "pipe", "fed"])
def test_a_recording_that_becomes_scrambled_ends_there_with_the_reason(
    source: str, clear_part: float, tmp_path: Path
) -> None:
    clear = clip(tmp_path / "given.ts", seconds=4)
    path = tmp_path / "clip.ts"
    path.write_bytes(scrambled(clear, begin=int(len(clear) * clear_part)))
    data = path.read_bytes()
    with open_video(path if source == "file" else Pipe(data) if source == "pipe" else fed(data, 300)) as video:
        assert 96 * clear_part - 24 < sum(1 for _ in video) < 96 * clear_part + 24
        assert not video.is_complete
        assert "from here on the video is encrypted (a scrambled transport stream)" in str(video.error)


@pytest.mark.parametrize("source", ["file", "pipe"])
def test_a_scrambled_stream_of_another_pid_behind_the_video_is_told(source: str, tmp_path: Path) -> None:
    clear = clip(tmp_path / "clear.ts")
    behind = scrambled(clip(tmp_path / "behind.ts", options={"mpegts_start_pid": "512"}, seconds=4), pid=512)
    path = tmp_path / "clip.ts"
    path.write_bytes(clear + behind)
    with open_video(path if source == "file" else Pipe(path.read_bytes())) as video:
        assert sum(1 for _ in video) == 24
        assert not video.is_complete
        assert "bytes behind the end of the video cannot be read" in video.warnings[0]
    path.write_bytes(clear + clip(tmp_path / "behind.ts", options={"mpegts_start_pid": "512"}, seconds=4))
    with open_video(path) as video:
        assert (sum(1 for _ in video), video.is_complete) == (120, True)


def test_a_key_is_needed_for_an_encrypted_playlist(tmp_path: Path) -> None:
    (tmp_path / "part.ts").write_bytes(np.random.default_rng(1).bytes(1504))
    text = (
        '#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD={},URI="gone.key"\n#EXTINF:1,\npart.ts\n#EXT-X-ENDLIST\n'
    )
    main = tmp_path / "main.m3u8"
    main.write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nclip.m3u8\n")
    for method in ("AES-128", "SAMPLE-AES"):
        path = tmp_path / "clip.m3u8"
        path.write_text(text.format(method))
        for given in (path, main):
            with pytest.raises(MediaError, match=f"the video is encrypted \\(HLS, {method}\\)"):
                open_video(given)


def test_what_only_mentions_encryption_is_read(tmp_path: Path) -> None:
    """A sample entry of Common Encryption whose samples are clear by default; key systems beside clear pictures."""
    data = clip(tmp_path / "clip.mp4")
    system = b"pssh" + bytes(4) + bytes(range(16)) + bytes(4)
    (tmp_path / "clip.mp4").write_bytes(data + struct.pack(">I", len(system) + 4) + system)
    with open_video(tmp_path / "clip.mp4") as video:
        assert sum(1 for _ in video) == 24
