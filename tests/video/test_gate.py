"""What FFmpeg may take for a video, and which other files and addresses it may open."""

from __future__ import annotations

import io
import os
import socket
import ssl
import threading
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.errors import MediaError
from acfd_stream.video import open_video
from tests.service.certificates import Authority, Pair
from tests.video.conftest import Clip, write_clip
from tests.video.web_server import Site, serving

FRAMES = 24
SEGMENT = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n{more}#EXTINF:1,\n{place}\n#EXT-X-ENDLIST\n"
QUICK = VideoConfig(threads=1, url_timeout_seconds=5)


def frames_of(source: str | Path) -> int:
    with open_video(source, QUICK) as video:
        return sum(1 for _ in video)


def refusal(source: str | Path | io.BytesIO) -> str:
    with pytest.raises(MediaError) as caught:
        open_video(source, QUICK)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_clip(tmp_path, Clip(name="clip.ts"))
    return tmp_path


TEXTS = {
    "concat": "ffconcat version 1.0\nfile clip.ts\n",
    "hls": SEGMENT.format(more="", place="clip.ts"),
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "mpd": "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><BaseURL>clip.ts</BaseURL></MPD>",
    "imf": "<CompositionPlaylist xmlns='http://www.smpte-ra.org/schemas/2067-3/2016'/>",
    "vobsub": "# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\n",
    "words": "All the words of a film.\n" * 50,
    "ansi": "\x1b[31mAll the words\x1b[0m\n" * 50,
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("suffix", [".mkv", ".txt", ".ans", ".nfo", ".bin", ".sdp", ".idx", ".m3u8", ".ffconcat"])
def test_a_text_is_no_video(folder: Path, kind: str, suffix: str) -> None:
    path = folder / f"ep{suffix}"
    path.write_text(TEXTS[kind])
    if (kind, suffix) in (("hls", ".m3u8"), ("concat", ".ffconcat")):  # the user says that it is a playlist
        assert frames_of(path) == FRAMES
        assert frames_of(f"FILE://{path}") == FRAMES
    else:
        said = refusal(path)
        assert "text, not a video" in said or "manifest" in said
    assert "text" in (said := refusal(io.BytesIO(TEXTS[kind].encode()))) or "playlist" in said or "manifest" in said


@pytest.mark.parametrize("kind", ["concat", "sdp"])
def test_a_segment_of_a_playlist_is_a_video_too(folder: Path, kind: str) -> None:
    (folder / "inner.ts").write_text(TEXTS[kind])
    (folder / "a.m3u8").write_text(SEGMENT.format(more="", place="inner.ts"))
    (folder / "a.ffconcat").write_text("ffconcat version 1.0\nfile inner.ts\n")
    refusal(folder / "a.m3u8")
    if kind == "sdp":
        refusal(folder / "a.ffconcat")


def test_a_local_playlist_opens_no_address(folder: Path) -> None:
    with serving(Site({"/clip.ts": (folder / "clip.ts").read_bytes()})) as site:
        (folder / "a.m3u8").write_text(SEGMENT.format(more="", place=f"{site.url}/clip.ts"))
        refusal(folder / "a.m3u8")
        assert site.asked == []


def test_a_pattern_in_a_name_is_the_name_of_one_picture(tmp_path: Path) -> None:
    for name in ("a001.png", "a002.png", "a%03d.png", "a*.png"):
        cv2.imwrite(str(tmp_path / "x.png"), np.full((16, 16, 3), 9, np.uint8))
        os.rename(tmp_path / "x.png", tmp_path / name)
    assert frames_of(tmp_path / "a%03d.png") == 1
    assert frames_of(tmp_path / "a*.png") == 1


@pytest.mark.parametrize(
    "url", ["concat://clip.ts|clip.ts", "subfile://a", "gophers://h/1", "rtmpts://h/a", "hls://h/a"]
)
def test_other_protocols_of_ffmpeg_are_not_read(url: str) -> None:
    assert "addresses are not read" in refusal(url)


@pytest.mark.parametrize("scheme", ["tls", "rtsps", "rtmps"])
def test_ffmpeg_verifies_certificates_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    trusted, unknown = Authority(tmp_path, "trusted"), Authority(tmp_path, "unknown")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.ca))
    heard = {each: _heard(each.pair("web"), f"{scheme}://localhost") for each in (trusted, unknown)}
    assert heard[unknown] == b""
    assert scheme == "tls" or heard[trusted] != b""  # a TLS server speaks first


def _heard(pair: Pair, place: str) -> bytes:
    """What a server with a certificate hears before it hangs up."""
    context, heard = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    context.load_cert_chain(pair.certificate, pair.key)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.settimeout(5)
            try:
                with context.wrap_socket(connection, server_side=True) as inner:
                    heard.append(inner.recv(100))
            except OSError:
                connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        refusal(f"{place}:{server.getsockname()[1]}/a")
        thread.join()
    return b"".join(heard)


def hls(folder: Path, **options: str) -> dict[str, bytes]:
    """The files of a playlist of two segments, by path."""
    target = folder / "main.m3u8"
    with (
        av.open(str(target), "w", format="hls", options={"hls_time": "0.5", "hls_list_size": "0", **options}) as output,
        av.open(str(write_clip(folder, Clip(name="clip.mp4")))) as clip,
    ):
        stream = output.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(clip.streams.video[0]):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    return {f"/{path.name}": path.read_bytes() for path in folder.iterdir() if path.suffix != ".mp4"}


@pytest.mark.parametrize("kind", ["segments", "one file", "fragments", "encrypted"])
def test_hls_is_read_through_the_gate(tmp_path: Path, kind: str) -> None:
    options = {
        "one file": {"hls_flags": "single_file"},
        "fragments": {"hls_segment_type": "fmp4", "hls_flags": "single_file"},
    }.get(kind, {})
    if kind == "encrypted":
        (tmp_path / "key").write_bytes(bytes(range(16)))
        (tmp_path / "info").write_text(f"key\n{tmp_path / 'key'}\n")
        options = {"hls_key_info_file": str(tmp_path / "info")}
    site = Site(hls(tmp_path, **options))
    with serving(site):
        assert frames_of(f"{site.url}/main.m3u8") == FRAMES


def test_a_playlist_may_be_told_by_its_type_and_lie_behind_a_redirect(tmp_path: Path) -> None:
    site = Site({f"/deep{name}": data for name, data in hls(tmp_path).items()}, redirects={"/a": "/deep/main.m3u8"})
    site.files["/deep/live"] = site.files["/deep/main.m3u8"]
    site.headers["/deep/live"] = {"Content-Type": "application/x-mpegURL"}
    with serving(site):
        assert frames_of(f"{site.url}/a") == FRAMES
        assert frames_of(f"{site.url}/deep/live") == FRAMES
        site.files["/all/master.m3u8"] = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nmain.m3u8\n"
        site.redirects["/all/main.m3u8"] = "/deep/main.m3u8"
        assert frames_of(f"{site.url}/all/master.m3u8") == FRAMES


@pytest.mark.parametrize("part", ["segment", "key", "variant", "redirected segment"])
def test_a_playlist_behind_https_opens_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    authority = Authority(tmp_path, "trusted")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    data = write_clip(tmp_path, Clip(name="clip.ts")).read_bytes()
    for place in ("http", f"file://{tmp_path}/clip.ts", f"{tmp_path}/clip.ts", "subfile,,start,0,end,0,,:/etc/passwd"):
        with serving(Site({"/clip.ts": data})) as plain, serving(Site(), authority.pair("web")) as site:
            target = f"{plain.url}/clip.ts" if place == "http" else place
            site.redirects["/r.ts"] = target
            site.files["/clip.ts"] = data
            site.files["/main.m3u8"] = {
                "segment": SEGMENT.format(more="", place=target),
                "key": SEGMENT.format(more=f'#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n', place="clip.ts"),
                "variant": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{target}\n",
                "redirected segment": SEGMENT.format(more="", place="r.ts"),
            }[part].encode()
            refusal(f"{site.url}/main.m3u8")
            assert plain.asked == []


def test_a_lost_segment_is_passed_over(tmp_path: Path) -> None:
    site = Site(hls(tmp_path))
    del site.files["/main1.ts"]
    with serving(site):
        assert 0 < frames_of(f"{site.url}/main.m3u8") < FRAMES


def test_what_lies_at_an_address_is_no_playlist_of_ffmpeg(folder: Path) -> None:
    site = Site({"/a.ffconcat": TEXTS["concat"].encode(), "/clip.ts": (folder / "clip.ts").read_bytes()})
    with serving(site):
        assert "playlist of FFmpeg" in refusal(f"{site.url}/a.ffconcat")
        assert "/clip.ts" not in site.paths
