"""What cannot be read as a video is told by what it is, with what to do, in one line."""

from __future__ import annotations

import gzip
import io
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.animation import is_animated
from acfd_stream.errors import MediaError
from acfd_stream.video.source import open_video
from tests.clips import drawing, encode

HLS = b"#EXTM3U\n#EXT-X-TARGETDURATION:4\n"


def still(suffix: str) -> bytes:
    image = drawing((48, 64), (8, 8), is_behind_cut=False)
    return cv2.imencode(suffix, image)[1].tobytes()


def animated_webp() -> bytes:
    """Two pictures of 64×48 after a header that says so."""
    image = still(".webp")[12:]
    sides = struct.pack("<I", 63)[:3] + struct.pack("<I", 47)[:3]
    frame = b"ANMF" + struct.pack("<I", 16 + len(image)) + bytes(6) + sides + struct.pack("<I", 100)[:3] + b"\0" + image
    body = (
        b"WEBPVP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + sides + b"ANIM" + struct.pack("<IIH", 6, 0, 0) + frame * 2
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def archive() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("episode.mp4", "x")
    return data.getvalue()


KINDS: dict[str, tuple[bytes, str]] = {
    "moving.webp": (animated_webp(), "is an animated WebP, which cannot be read; convert it to MP4, APNG or GIF"),
    "picture.jxl": (b"\xff\x0a" + bytes(range(64)), "is a JPEG XL picture"),
    "moving.jxl": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(range(64)), "is a JPEG XL picture"),
    "empty.m3u8": (HLS + b"#EXT-X-ENDLIST\n", "is a playlist without an entry"),
    "header.m3u8": (b"#EXTM3U\n", "is a playlist without an entry"),
    "empty.ffconcat": (b"ffconcat version 1.0\n# nothing\n", "is a playlist without an entry"),
    "page.mp4": (b"\xef\xbb\xbf\n<!DOCTYPE html><html><body>404</body></html>", "is a web page (HTML)"),
    "old page.mp4": (b"<?xml version='1.0'?>\n<html xmlns='x'></html>", "is a web page (HTML)"),
    "error.mp4": (b'{"error": "not found"}', "is text, not a video that can be read"),
    "archive.mp4": (archive(), "is a ZIP archive, not a video; unpack it"),
    "clip.mp4.gz": (gzip.compress(b"x" * 99), "is a gzip archive"),
    "clip.torrent": (b"d8:announce20:http://x.example/ann4:infod6:lengthi5e4:name5:a.mp4ee", "is a torrent"),
    "zeros.mp4": (bytes(5000), "is not a video: it holds only zeros"),
    "clip.mp4.part": (b"\0\0\0\x20ftypisom" + bytes(range(99)), "is an unfinished download"),
}


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize("name", KINDS)
def test_a_source_is_told_by_what_it_is(name: str, is_file: bool, tmp_path: Path) -> None:
    data, words = KINDS[name]
    path = tmp_path / name
    path.write_bytes(data)
    if not is_file and words == "is an unfinished download":
        pytest.skip("bytes have no name")
    with pytest.raises(MediaError) as caught:
        open_video(path if is_file else io.BytesIO(data))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_playlist_whose_videos_are_gone_is_no_damaged_video(tmp_path: Path) -> None:
    for name, data in {
        "a.m3u8": HLS + b"#EXTINF:1,\ngone.ts\n#EXT-X-ENDLIST\n",
        "a.ffconcat": b"ffconcat version 1.0\nfile gone\n",
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MediaError, match="is a playlist whose videos cannot be read; check that they are there"):
            open_video(tmp_path / name)
        with pytest.raises(MediaError, match="whose videos are not opened from a stream of bytes"):
            open_video(io.BytesIO(data))


def test_other_kinds_keep_their_messages(tmp_path: Path) -> None:
    for name, data, words in [
        ("sub.srt", b"1\n00:00:00,000 --> 00:00:01,000\nHello\n", "has no video stream, only subtitle"),
        ("noise.mp4", np.random.default_rng(3).bytes(4000), "is not a video that can be read"),
        ("empty.mp4", b"", "is empty"),
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MediaError, match=words):
            open_video(tmp_path / name)


def test_a_name_decides_nothing_where_the_bytes_are_a_video(tmp_path: Path) -> None:
    (tmp_path / "picture.mp4").write_bytes(still(".png"))
    clip = encode(tmp_path / "clip.mp4", [drawing((48, 64), (8, 8), is_behind_cut=False)] * 3, (48, 64))
    for path, count in ((tmp_path / "picture.mp4", 1), (clip.rename(tmp_path / "clip.mp4.part"), 3)):
        with open_video(path) as video:
            assert sum(1 for _ in video) == count


@pytest.fixture
def served() -> Iterator[tuple[str, Callable[[bytes], None]]]:
    """An HTTP server on a free port, and what sets its answer."""
    content = [b""]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content[0])))
            self.end_headers()
            self.wfile.write(content[0])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/video", lambda data: content.__setitem__(0, data)
        server.shutdown()


def test_a_url_is_told_by_what_it_is(served: tuple[str, Callable[[bytes], None]]) -> None:
    url, answer = served
    key = b'#EXT-X-KEY:METHOD=AES-128,URI="http://127.0.0.1:9/key"\n#EXTINF:1,\npart.ts\n#EXT-X-ENDLIST\n'
    for data, words in [
        (KINDS["page.mp4"][0], "is a web page"),
        (KINDS["moving.webp"][0], "is an animated WebP"),
        (HLS + key, "the video is encrypted"),
    ]:
        answer(data)
        with pytest.raises(MediaError, match=f"{url}: {words}"):
            open_video(url)


def test_a_still_is_not_taken_for_an_animation(tmp_path: Path) -> None:
    drawn = [drawing((48, 64), (8 + index, 8), is_behind_cut=False) for index in range(3)]
    for suffix in (".png", ".webp", ".gif"):
        assert not is_animated(still(suffix))
    for name in ("a.gif", "a.png"):
        cv2.imwriteanimation(str(tmp_path / name), animation(drawn))
        assert is_animated((tmp_path / name).read_bytes())
    assert is_animated(animated_webp())


def animation(frames: list[np.ndarray]) -> cv2.Animation:
    made = cv2.Animation()
    made.frames, made.durations = frames, [100] * len(frames)
    return made
