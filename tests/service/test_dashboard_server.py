"""The metrics port over real HTTP: what it answers, to whom, and what it never does."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from acfd_stream.errors import ConfigError
from acfd_stream.metrics import JobWait
from acfd_stream.service.dashboard.http_connections import HEAD_BYTES
from acfd_stream.service.dashboard.http_server import DashboardServer
from acfd_stream.service.dashboard.metric_samples import Samples
from acfd_stream.service.dashboard.page_data import PageData, ServiceInfo
from acfd_stream.service.streams.registry import StreamInfo, StreamRegistry
from acfd_stream.types import Face, Mode
from tests.service.scene import Scene, grey_picture
from tests.service.watched import TIMEOUT_SECONDS, get, get_json

FACE = Face(1, (40.0, 20.0, 80.0, 60.0), 0.9)


@pytest.fixture(scope="module")
def scene() -> Scene:
    scene = Scene()
    scene.play(4)
    return scene


@pytest.fixture(scope="module")
def monitor(scene: Scene) -> Iterator[DashboardServer]:
    with DashboardServer(
        "127.0.0.1:0", scene.registry, ServiceInfo("1.2", "acfd-n"), lambda: "serving", scene.samples
    ) as open_:
        yield open_


def base(monitor: DashboardServer) -> str:
    return f"http://127.0.0.1:{monitor.port}"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/charts.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml; charset=utf-8"),
        ("/streams.json", "application/json"),
        ("/healthz", "text/plain; charset=utf-8"),
        ("/healthz?x=1", "text/plain; charset=utf-8"),
    ],
)
def test_every_answer_has_its_kind_and_the_safe_headers(monitor: DashboardServer, path: str, kind: str) -> None:
    status, headers, body = get(base(monitor) + path)
    assert (status, headers["content-type"]) == (200, kind)
    assert body
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "Python" not in headers["server"]


def test_the_page_asks_nobody_else_and_has_no_code_of_its_own(monitor: DashboardServer) -> None:
    page = get(base(monitor) + "/")[2].decode()
    assert "http:" not in page
    assert "https:" not in page
    assert " style=" not in page
    assert page.count("<script") == page.count('<script type="module" src="/page.js"></script>') == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(monitor: DashboardServer, method: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", monitor.port, timeout=TIMEOUT_SECONDS)
    connection.request(method, "/streams.json", body=b"x" if method == "POST" else None)
    assert connection.getresponse().status == 501
    connection.close()


@pytest.mark.parametrize("path", ["/nothing", "/page/page.js", "/../monitor.py", "/%2e%2e/monitor.py", "//etc/passwd"])
def test_other_paths_are_not_found(monitor: DashboardServer, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", monitor.port, timeout=TIMEOUT_SECONDS)
    connection.request("GET", path)
    assert connection.getresponse().status == 404
    connection.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:9", 200), ("evil.example", 403), ("", 403), ("[", 403)],
)
def test_a_web_site_cannot_read_it_through_a_visitors_browser(monitor: DashboardServer, host: str, status: int) -> None:
    assert get(base(monitor) + "/streams.json", Host=host)[0] == status


@pytest.mark.parametrize("state", ["starting", "draining"])
def test_health_is_bad_unless_it_serves(state: str) -> None:
    with DashboardServer("127.0.0.1:0", StreamRegistry(), ServiceInfo(), lambda: state) as monitor:
        status, _, body = get(base(monitor) + "/healthz")
    assert (status, body.decode().strip()) == (503, state)


def test_metrics_come_in_the_format_that_is_asked_for(monitor: DashboardServer) -> None:
    asked = "application/openmetrics-text; version=1.0.0"
    _, headers, body = get(base(monitor) + "/metrics", Accept=asked)
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    assert b"process_resident_memory_bytes" in get(base(monitor) + "/metrics")[2]


def test_the_streams_that_need_a_look_come_first() -> None:
    scene = Scene()
    scene.play(30, load=1.6)
    with DashboardServer("127.0.0.1:0", scene.registry, ServiceInfo(), lambda: "serving", scene.samples) as monitor:
        data = get_json(base(monitor) + "/streams.json")
    assert [row["name"] for row in data["streams"]] == ["studio-a", "studio-b", "preview wall", "dailies"]
    assert data["verdict"]["place"] == "queue"
    assert data["verdict"]["stream_id"] == "id-studio-a"
    assert data["streams"][0]["size"] == [1080, 1920]
    assert len(data["series"]["p95_ms"]) == len(data["series"]["stages_ms"]["queue"]) == 149
    assert data["now"]["streams_live"] == 3
    assert data["now"]["batch"] is not None


def test_an_overlay_is_drawn_only_once_somebody_looks(scene: Scene, monitor: DashboardServer) -> None:
    address = base(monitor) + "/streams/id-studio-a/overlay.jpg"
    scene.show(grey_picture(), (FACE,))
    assert get(address)[0] == 204
    scene.show(grey_picture(), (FACE,))
    status, headers, body = get(address)
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert body.startswith(b"\xff\xd8")


@pytest.mark.parametrize("stream_id", ["id-studio-b", "id-nobody", "", "..", "%00"])
def test_a_stream_that_does_not_show_itself_is_not_found(monitor: DashboardServer, stream_id: str) -> None:
    assert get(f"{base(monitor)}/streams/{stream_id}/overlay.jpg")[0] == 404


def test_many_lookers_cost_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    see = PageData.data
    monkeypatch.setattr(PageData, "data", lambda view: looks.append(1) or see(view))
    with DashboardServer("127.0.0.1:0", StreamRegistry(), ServiceInfo(), lambda: "serving") as monitor:
        monkeypatch.setattr("acfd_stream.service.dashboard.http_server.DATA_SECONDS", 1000.0)
        bodies = {get(base(monitor) + "/streams.json")[2] for _ in range(5)}
    assert (len(looks), len(bodies)) == (1, 1)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"x" * HEAD_BYTES, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * HEAD_BYTES, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ],
)
def test_a_request_that_is_too_long_or_names_no_path_is_refused(
    monitor: DashboardServer, request_: bytes, status: int
) -> None:
    with socket.create_connection(("127.0.0.1", monitor.port), TIMEOUT_SECONDS) as line:
        line.sendall(request_)
        assert line.makefile("rb").readline().split()[1] == str(status).encode()


@pytest.mark.parametrize(
    "request_",
    [b"GET / HTTP/9.9\r\n\r\n", b"\x00\xff\r\n\r\n", b"GET " + b"x" * 70_000, b"<script> / HTTP/1.0\r\n\r\n"],
)
def test_what_is_no_request_is_refused_in_plain_words(monitor: DashboardServer, request_: bytes) -> None:
    with socket.create_connection(("127.0.0.1", monitor.port), TIMEOUT_SECONDS) as line:
        line.sendall(request_)
        line.shutdown(socket.SHUT_WR)
        answer = line.makefile("rb").read()
    assert b"text/html" not in answer
    assert b" 200 " not in answer.partition(b"\r\n")[0]


def test_closing_leaves_no_thread_and_no_port() -> None:
    before = set(threading.enumerate())
    monitor = DashboardServer("127.0.0.1:0", StreamRegistry(), ServiceInfo(), lambda: "serving").start()
    port = monitor.port
    monitor.close()
    monitor.close()
    assert {thread for thread in threading.enumerate() if thread.name.startswith("acfd-")} <= before
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS):
        pass


@pytest.mark.parametrize("address", ["256.0.0.1:0", "127.0.0.1:99999", "127.0.0.1:x"])
def test_a_place_where_it_cannot_listen_is_said(address: str) -> None:
    with pytest.raises(ConfigError, match=f"metrics cannot listen on {address}"):
        DashboardServer(address, StreamRegistry(), ServiceInfo(), lambda: "serving")


@pytest.mark.parametrize(
    ("modes", "words"),
    [
        ([], "No stream is open."),
        ([Mode.LIVE], "No live frames in the last minute."),
        ([Mode.FILE], "No live stream is open; 1 file stream at 0 frames per second."),
        (
            [Mode.FILE, Mode.FILE, Mode.LIVE],
            "No live frames in the last minute; 2 file streams at 0 frames per second.",
        ),
    ],
)
def test_without_live_frames_it_says_what_there_is(modes: list[Mode], words: str) -> None:
    registry = StreamRegistry()
    for number, mode in enumerate(modes):
        registry.open_stream(StreamInfo(str(number), mode=mode))
    view = PageData(registry, Samples(registry.metrics), ServiceInfo(), lambda: "serving")
    assert view.data()["verdict"]["headline"] == words
    json.dumps(view.data(), allow_nan=False)


def test_a_machine_that_is_short_of_processors_is_said_beside_what_is_slow() -> None:
    scene = Scene()
    scene.load = 8.7
    view = PageData(scene.registry, scene.samples, ServiceInfo(), lambda: "serving")
    scene.play(10)
    assert view.data()["notes"] == []
    scene.play(20, load=1.65)
    assert view.data()["notes"] == ["The CPU is overloaded: 8.7 runnable tasks per core. Check what else is running."]


def test_jobs_that_wait_are_said() -> None:
    scene = Scene()
    view = PageData(scene.registry, scene.samples, ServiceInfo(), lambda: "serving")
    waiting = "for room, or for the machine. The log and GetJob say what is missing."
    for count, words in ((1, "1 job waits"), (3, "3 jobs wait")):
        scene.registry.metrics.jobs_waiting.of(JobWait.NO_ROOM).set(count)
        assert view.data()["notes"] == [f"{words} {waiting}"]


def test_a_sender_that_is_too_slow_is_named() -> None:
    scene = Scene()
    for _ in range(30):  # a stream that brings 5 of its 24 frames a second
        for _ in range(10):
            scene.meters[0].frame(scene._result(scene.meters[0], 1.0, 1.0))
        scene.now += 2
    view = PageData(scene.registry, scene.samples, ServiceInfo(), lambda: "serving")
    assert view.data()["notes"] == [
        "“studio-a” sends 5 of its 24 frames per second. Check the sender and the network.",
        "“studio-b” sends 0 of its 24 frames per second. Check the sender and the network.",
        "“preview wall” sends 0 of its 12 frames per second. Check the sender and the network.",
    ]
