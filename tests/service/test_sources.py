"""What a server reads itself: nothing by default, then only what its operator named."""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from acfd_stream.errors import ConfigError
from acfd_stream.service.access.sources import open_beneath
from acfd_stream.service.server import Server
from acfd_stream.service.settings import Limits, SourceSettings
from acfd_stream.v1 import face_track_pb2
from tests.service.certificates import Authority
from tests.service.rig import calling, eventually, failure, plain_results, sending, serving
from tests.video.web_server import Site
from tests.video.web_server import serving as web_serving

DENIED = grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Path:
    """``allowed`` with a clip, links out of it, and a clip beside it."""
    base = tmp_path_factory.mktemp("media")
    allowed = base / "allowed"
    (allowed / "deep").mkdir(parents=True)
    for place in (allowed / "clip.mkv", allowed / "deep" / "clip.mkv", base / "secret.mkv", base / "allowed2.mkv"):
        place.write_bytes(clip.read_bytes())
    (allowed / "link.mkv").symlink_to(base / "secret.mkv")
    (allowed / "folder").symlink_to(base)
    (allowed / "good.mkv").symlink_to(allowed / "deep" / "clip.mkv")
    (allowed / "list.ffconcat").write_text("ffconcat version 1.0\nfile 'clip.mkv'\n")
    (allowed / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{base}/secret.mkv\n#EXT-X-ENDLIST\n"
    )
    os.mkfifo(allowed / "pipe")
    return allowed


@pytest.fixture(scope="module")
def open_server(tiny_model: Path, folder: Path) -> Iterator[Server]:
    with serving(tiny_model, sources=SourceSettings(folders=(folder,), schemes=("https",))) as running:
        yield running


def asked(server: Server, uri: str) -> Any:
    with calling(server) as stub:
        return failure(lambda: list(stub.TrackUri(face_track_pb2.TrackUriRequest(uri=uri))))


def test_a_file_in_an_allowed_folder_is_tracked_as_if_it_were_sent(open_server: Server, folder: Path) -> None:
    with calling(open_server) as stub:
        sent = plain_results(stub.Track(sending((folder / "clip.mkv").read_bytes())))
        for name in ("clip.mkv", "deep/clip.mkv", "good.mkv", "deep/../clip.mkv"):
            answers = list(stub.TrackUri(face_track_pb2.TrackUriRequest(uri=str(folder / name))))
            assert plain_results(answers) == sent, name
            assert answers[-1].end.is_complete


@pytest.mark.parametrize(
    "uri",
    [
        "{allowed}/../secret.mkv",
        "{allowed}/link.mkv",
        "{allowed}/folder/secret.mkv",
        "{allowed}/../allowed2.mkv",
        "{allowed}2.mkv",
        "/etc/passwd",
        "/no/such/file",
        "clip.mkv",
        "",
        "file:{allowed}/clip.mkv",
        "file://{allowed}/clip.mkv",
        "FILE:///etc/passwd",
        "http://localhost/clip.mkv",
        "concat:{allowed}/clip.mkv",
        "subfile,,start,0,end,0,,:{allowed}/clip.mkv",
        "{allowed}/clip.mkv\0",
    ],
)
def test_what_lies_outside_is_refused_whether_it_is_there_or_not(open_server: Server, folder: Path, uri: str) -> None:
    code, message, details = asked(open_server, uri.format(allowed=folder))
    assert (code, details[0].reason) == (DENIED, "SOURCE_NOT_ALLOWED")
    assert str(folder) not in message


@pytest.mark.parametrize("name", ["none.mkv", "deep", "pipe", "list.ffconcat", "list.m3u8"])
def test_what_lies_inside_and_is_no_video_is_the_callers_fault(open_server: Server, folder: Path, name: str) -> None:
    code, _, _ = asked(open_server, str(folder / name))
    assert code is grpc.StatusCode.INVALID_ARGUMENT


def test_by_default_nothing_is_read(server: Server, folder: Path) -> None:
    for uri in (str(folder / "clip.mkv"), "https://example.org/clip.mkv"):
        assert asked(server, uri)[0] is DENIED


@pytest.fixture
def web(clip: Path) -> Iterator[str]:
    """A server that has the clip, and a page that never comes."""
    hold = threading.Event()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given, directory=str(clip.parent))

        def do_GET(self) -> None:
            if self.path == "/never.mkv":
                hold.wait(20)
            else:
                super().do_GET()

        def log_message(self, format: str, *given: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        hold.set()
        running.shutdown()
        thread.join()


def test_a_url_of_an_allowed_scheme_is_read_and_one_that_keeps_silent_is_given_up(
    tiny_model: Path, clip: Path, web: str
) -> None:
    sources, limits = SourceSettings(schemes=("http",)), Limits(idle_seconds=1.5)
    with serving(tiny_model, sources=sources, limits=limits) as server, calling(server) as stub:
        sent = plain_results(stub.Track(sending(clip.read_bytes())))
        read = plain_results(stub.TrackUri(face_track_pb2.TrackUriRequest(uri=f"{web}/{clip.name}")))
        assert read == sent
        code, message, _ = asked(server, f"{web}/never.mkv?secret=1")
        assert (code, "secret" in message) == (grpc.StatusCode.INVALID_ARGUMENT, False)
        call = stub.TrackUri(face_track_pb2.TrackUriRequest(uri=f"{web}/never.mkv"))
        assert server.host is not None
        assert eventually(lambda: server.host.stream_count == 1)
        call.cancel()
        assert eventually(lambda: server.host.stream_count == 0)


def test_a_url_is_read_under_the_rules_of_the_settings(tiny_model: Path, tmp_path: Path, clip: Path) -> None:
    authority = Authority(tmp_path, "private")
    site, plain = Site({"/clip.mkv": clip.read_bytes()}), Site({"/clip.mkv": clip.read_bytes()})
    sources = SourceSettings(schemes=("https",), hosts=("localhost",), ca_file=authority.ca)
    with (
        web_serving(site, authority.pair("web")),
        web_serving(plain),
        serving(tiny_model, sources=sources) as server,
        calling(server) as stub,
    ):
        for scheme in ("https", "HTTPS"):
            url = f"{scheme}{site.url.removeprefix('https')}/clip.mkv"
            answers = list(stub.TrackUri(face_track_pb2.TrackUriRequest(uri=url)))
            assert answers[-1].end.is_complete
        site.redirects["/away"] = f"{plain.url}/clip.mkv"
        assert asked(server, f"{site.url}/away")[0] is grpc.StatusCode.INVALID_ARGUMENT
        for url in ("https://elsewhere.example/clip.mkv", "https://169.254.169.254/a", f"{plain.url}/clip.mkv"):
            code, _, details = asked(server, url)
            assert (code, details[0].reason) == (DENIED, "SOURCE_NOT_ALLOWED")
    assert plain.asked == []


def test_a_link_in_the_place_of_a_folder_leads_nowhere(tmp_path: Path) -> None:
    """As if it had come between the resolving of the path and the opening."""
    root, outside = tmp_path / "media", tmp_path / "private"
    for folder in (root / "a", outside):
        folder.mkdir(parents=True)
        (folder / "clip.mkv").write_bytes(folder.name.encode())
    (root / "link").symlink_to(outside)
    (root / "a" / "link.mkv").symlink_to(outside / "clip.mkv")
    number = open_beneath(root, Path("a/clip.mkv"))
    assert number is not None
    with os.fdopen(number, "rb") as file:
        assert file.read() == b"a"
    with pytest.raises(OSError, match="Not a directory"):
        open_beneath(root, Path("link/clip.mkv"))
    assert open_beneath(root, Path("a/link.mkv")) is None
    before = len(os.listdir("/proc/self/fd"))
    for path in ("a/none.mkv", "none/clip.mkv", "link/clip.mkv"):
        with contextlib.suppress(OSError):
            open_beneath(root, Path(path))
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for root, path in ((tmp_path, "pipe"), (tmp_path, "socket"), (tmp_path, "."), (Path("/dev"), "null")):
            assert open_beneath(root, Path(path)) is None
    assert open_beneath(Path("/proc"), Path(f"{os.getpid()}/status")) is None


def test_settings_refuse_rules_that_nothing_would_hold() -> None:
    with pytest.raises(ConfigError, match="only http and https where hosts"):
        SourceSettings(schemes=("https", "rtsp"), hosts=("camera",))
    with pytest.raises(ConfigError, match="addresses must be one of public, private, any"):
        SourceSettings(addresses="all")
    with pytest.raises(ConfigError, match="ca_file"):
        SourceSettings(ca_file=Path("/no/such.pem"))


def test_settings_refuse_file_as_a_scheme_and_relative_folders() -> None:
    with pytest.raises(ConfigError, match="never 'file'"):
        SourceSettings(schemes=("file",))
    with pytest.raises(ConfigError, match="absolute"):
        SourceSettings(folders=(Path("media"),))
