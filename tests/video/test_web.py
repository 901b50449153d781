"""What an http or https address may lead to, and that its file is read as a local one is."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.errors import MediaError
from acfd_stream.video import open_video
from acfd_stream.video.web import WebRules, WebUrl
from tests.service.certificates import Authority
from tests.video.conftest import Clip, write_clip
from tests.video.web_server import Site, serving

PROMPT = VideoConfig(threads=1, url_timeout_seconds=0.5)
FRAMES = 24


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_clip(tmp_path_factory.mktemp("film"), Clip(name="clip.ts")).read_bytes()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """One that this machine trusts, and no other."""
    made = Authority(tmp_path, "trusted")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
    return made


def frames_of(url: str) -> int:
    with open_video(url, VideoConfig(threads=1, url_timeout_seconds=10)) as video:
        count = sum(1 for _ in video)
        assert video.error is None
    return count


def refusal(url: str, config: VideoConfig = PROMPT) -> str:
    with pytest.raises(MediaError) as caught:
        open_video(url, config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_certificate_of_a_trusted_authority_is_taken(authority: Authority, film: bytes) -> None:
    with serving(Site({"/clip.ts": film}), authority.pair("web")) as site:
        assert frames_of(f"{site.url}/clip.ts") == FRAMES
        assert frames_of(f"HTTPS{site.url[5:]}/clip.ts") == FRAMES


def test_rules_may_trust_another_authority(authority: Authority, film: bytes, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    with serving(Site({"/clip.ts": film}), other.pair("web")) as site:
        url = f"{site.url}/clip.ts"
        assert "not valid here" in refusal(url)
        assert frames_of(WebUrl.under(url, WebRules(ca_file=other.ca))) == FRAMES


@pytest.mark.parametrize(
    ("fault", "words"),
    [("unknown", "unable to get local issuer"), ("elsewhere", "Hostname mismatch"), ("over", "has expired")],
)
def test_a_certificate_that_is_not_valid_is_refused_and_nothing_is_asked(
    authority: Authority, film: bytes, tmp_path: Path, fault: str, words: str
) -> None:
    by = Authority(tmp_path, "unknown") if fault == "unknown" else authority
    pair = by.pair("web", host="elsewhere.example" if fault == "elsewhere" else "localhost", is_over=fault == "over")
    with serving(Site({"/clip.ts": film}), pair) as site:
        said = refusal(f"{site.url}/clip.ts?token=abc")
        assert "the certificate of localhost is not valid here" in said
        assert words in said
        assert "abc" not in said
        assert site.asked == []


@pytest.mark.parametrize("target", ["http", "ftp://localhost/a.ts", "file:///etc/passwd", "data:,a", "http:"])
def test_a_redirect_does_not_leave_https(authority: Authority, film: bytes, target: str) -> None:
    with serving(Site({"/clip.ts": film})) as plain:
        place = f"{plain.url}/clip.ts" if target == "http" else target
        with serving(Site(redirects={"/a": place}), authority.pair("web")) as site:
            said = refusal(f"{site.url}/a")
        assert "which is not read from here" in said
        assert plain.asked == []


def test_a_redirect_within_the_rules_is_followed_and_one_back_to_http_is_not(authority: Authority, film: bytes) -> None:
    inner = Site({"/clip.ts": film}, redirects={"/near": "clip.ts"})
    with serving(inner, authority.pair("web")), serving(Site(redirects={"/to": f"{inner.url}/near"})) as site:
        assert frames_of(f"{site.url}/to") == FRAMES
        inner.redirects["/near"] = f"{site.url}/clip.ts"
        assert "not read from here" in refusal(f"{site.url}/to")
        assert "/clip.ts" not in site.paths


def test_redirects_are_bounded_and_their_bodies_are_not_read() -> None:
    def endless(handler: Any) -> None:
        handler.send_response(302)
        handler.send_header("Location", "/gone.ts")
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(2**16))

    with serving(Site(redirects={"/round": "/round"}, answers={"/endless": endless})) as site:
        assert "8 redirects" in refusal(f"{site.url}/round")
        assert len(site.asked) <= 10 * 2  # once more to tell what it is
        assert "404" in refusal(f"{site.url}/endless")


def test_a_password_is_for_its_own_host(film: bytes) -> None:
    def guarded(handler: Any) -> None:
        is_known = handler.headers.get("Authorization") == "Basic dTpwOg=="
        handler.send_response(302 if is_known else 401)
        handler.send_header(
            "Location" if is_known else "WWW-Authenticate", other.url if is_known else 'Basic realm="a"'
        )
        handler.end_headers()

    other = Site({"/clip.ts": film}, answers={"/": lambda handler: handler.send_error(401)})
    with serving(other, host="127.0.0.1"), serving(Site(answers={"/clip.ts": guarded})) as site:
        said = refusal(site.url.replace("://", "://u:p%3A@") + "/clip.ts")
        assert "401" in said
        assert any("Authorization" in headers for _, headers in site.asked)
        assert other.asked
        assert not any("Authorization" in headers for _, headers in other.asked)


def test_a_password_is_given_in_a_digest_too(film: bytes) -> None:
    def guarded(handler: Any) -> None:
        said = handler.headers.get("Authorization", "")
        if said.startswith("Digest ") and 'username="u"' in said and "p:" not in said:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(film)))
            handler.end_headers()
            handler.wfile.write(film)
        else:
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Digest realm="a", nonce="b", qop="auth"')
            handler.end_headers()

    with serving(Site(answers={"/clip.ts": guarded})) as site:
        assert frames_of(site.url.replace("://", "://u:p%3A@") + "/clip.ts") == FRAMES


@pytest.mark.parametrize(
    ("address", "farthest"),
    [
        ("8.8.8.8", "public"),
        ("2001:4860:4860::8888", "public"),
        ("127.0.0.1", "private"),
        ("10.0.0.1", "private"),
        ("192.168.1.1", "private"),
        ("0.0.0.0", "private"),
        ("::1", "private"),
        ("fd00::1", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("100.64.0.1", "private"),
        ("169.254.169.254", "any"),
        ("fe80::1%eth0", "any"),
        ("fd00:ec2::254", "any"),
        ("100.100.100.200", "any"),
        ("::ffff:169.254.169.254", "any"),
        ("64:ff9b::a9fe:a9fe", "any"),
        ("64:ff9b:1::a9fe:a9fe", "any"),
        ("2002:a9fe:a9fe::1", "any"),
        ("2002:a00:1::1", "private"),
        ("::a9fe:a9fe", "any"),
        ("::", "private"),
    ],
)
def test_addresses_are_told_apart(address: str, farthest: str) -> None:
    reaches = ("public", "private", "any")
    allowed = [WebRules(addresses=each).allows(address) for each in reaches]
    assert allowed == [reaches.index(each) >= reaches.index(farthest) for each in reaches]


def test_hosts_and_addresses_hold_for_names_redirects_and_odd_spellings(film: bytes) -> None:
    with serving(Site({"/clip.ts": film})) as site:
        port = site.url.rpartition(":")[2]
        site.redirects["/away"] = f"http://127.0.0.1:{port}/clip.ts"
        by_name = WebRules(hosts=("*.example.org", "LOCALHOST"))
        assert frames_of(WebUrl.under(f"{site.url}/clip.ts", by_name)) == FRAMES
        seen = len(site.asked)
        assert "not one that may be read" in refusal(WebUrl.under(f"{site.url}/away", by_name))
        assert "/clip.ts" not in site.paths[seen:]
        seen = len(site.asked)
        for host in ("localhost", "127.0.0.1", "127.1", "2130706433", "[::ffff:127.0.0.1]"):
            said = refusal(WebUrl.under(f"http://{host}:{port}/clip.ts", WebRules(addresses="public")))
            assert "may not be read" in said, host
        assert len(site.asked) == seen


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mp4", "clip.ts"])
@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_file_is_read_as_a_local_one(tmp_path: Path, name: str, has_ranges: bool) -> None:
    path = write_clip(tmp_path, Clip(name=name))
    with open_video(path) as video:
        local = [frame.pts_seconds for frame in video]
    with serving(Site({f"/a b é/{name}": b""}, has_ranges=has_ranges)) as site:
        site.files[f"/a%20b%20%C3%A9/{name}"] = path.read_bytes()
        url = f"{site.url}/a b é/{name}"
        with open_video(url) as video:
            assert [frame.pts_seconds for frame in video] == local


@pytest.mark.parametrize("name", ["clip.mkv", "clip.ts"])
def test_a_server_that_hangs_up_leaves_the_frames_before(tmp_path: Path, name: str) -> None:
    data = write_clip(tmp_path, Clip(name=name)).read_bytes()
    with serving(Site({"/a": data}, sends=len(data) * 9 // 10)) as site:
        with open_video(f"{site.url}/a", PROMPT) as video:
            assert 2 < sum(1 for _ in video) < FRAMES
            assert f"hung up after {site.sends} of {len(data)} bytes" in str(video.error)
        site.sends = len(data) // 10
        assert "hung up" in refusal(f"{site.url}/a")


def test_a_server_that_drips_is_given_up() -> None:
    def head(handler: Any) -> None:
        for letter in b"HTTP/1.1 200 OK\r\nX-Drip: " + b"a" * 100:
            handler.wfile.write(bytes([letter]))
            time.sleep(0.1)

    def body(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"\0")
            time.sleep(0.1)

    with serving(Site(answers={"/head": head, "/body": body})) as site:
        for path in ("/head", "/body"):
            began = time.monotonic()
            assert "no answer within 0.5 s" in refusal(site.url + path)
            assert time.monotonic() - began < 8


def test_a_server_that_packs_the_file_is_told_so(film: bytes) -> None:
    site = Site({"/clip.ts": film}, headers={"/clip.ts": {"Content-Encoding": "gzip"}})
    with serving(site):
        assert "packs it (gzip)" in refusal(f"{site.url}/clip.ts")
    assert site.asked[0][1]["Accept-Encoding"] == "identity"


def test_no_server_and_no_host_are_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "connection refused" in refusal(f"http://127.0.0.1:{port}/a")
    for url in ("http:///a", "https://[/a", "http://a:b/c", "http://\x1b[31m/"):
        assert "address" in refusal(url), url
