"""The page in a real Chromium: what a person reads there is what the service says."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.client.client import Client
from acfd_stream.client.stream_progress import StreamOptions
from acfd_stream.service.dashboard.http_server import DashboardServer
from acfd_stream.service.dashboard.page_data import ServiceInfo
from tests.service.chromium import Tab, chromium
from tests.service.scene import Scene, drawn_picture
from tests.service.watched import LIVE, camera, watched_server

DESKTOP, PHONE = (900, 1440), (2000, 420)
CARD = ServiceInfo("0.2.0", "acfd-n", "OpenVINO CPU bf16, 2 threads")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with chromium(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab
        assert tab.complaints == []  # no error of its scripts, nothing that the safe headers had to forbid


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scene, DashboardServer]]:
    """A service that has had too much to do for a minute."""
    scene = Scene()
    scene.play(80)
    scene.play(70, load=1.65)
    scene.break_one()
    with DashboardServer("127.0.0.1:0", scene.registry, CARD, lambda: "serving", scene.samples) as monitor:
        yield scene, monitor


def show(tab: Tab, monitor: DashboardServer, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> None:
    tab.open(f"http://127.0.0.1:{monitor.port}/", size, scheme)
    tab.wait_for("document.body?.dataset.shown")


def read(tab: Tab, selector: str) -> list[str]:
    texts = tab.value(f"[...document.querySelectorAll('{selector}')].map(node => node.textContent.trim())")
    return [" ".join(text.split()) for text in texts]


def keep(tab: Tab, name: str) -> np.ndarray:
    """The window as an image; ``ACFD_KEEP_SHOTS`` names a folder where it stays to be looked at."""
    data = tab.picture()
    if folder := os.environ.get("ACFD_KEEP_SHOTS"):
        Path(folder, f"{name}.png").write_bytes(data)
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_it_says_first_what_is_slow_since_when_and_whose(tab: Tab, slow: tuple[Scene, DashboardServer]) -> None:
    show(tab, slow[1])
    assert tab.value("document.getElementById('verdict').dataset.level") == "poor"
    (headline,), (detail,), (since,) = (read(tab, f"#{each}") for each in ("headline", "detail", "since"))
    assert headline.startswith("Live frames: ")
    assert "late" in headline
    assert detail.startswith("Frames wait for the engine")
    assert " Most of these frames belong to “studio-a”. " in detail
    assert since.startswith("since ")
    assert read(tab, "#notes li") == ["Invalid media once in the last minute. See “Recently closed” for the streams."]


def test_the_figures_are_those_of_the_service(tab: Tab, slow: tuple[Scene, DashboardServer]) -> None:
    show(tab, slow[1])
    now = tab.value("fetch('/streams.json').then(answer => answer.json())")["now"]
    assert read(tab, "#p95") == [f"{now['p95_ms']:.0f} ms"]
    assert read(tab, "#goodput") == [f"{now['goodput'] * 100:.0f} %"]
    assert read(tab, "#count, #count-small") == ["4", "3 live · 1 file"]
    assert read(tab, "#lost") == [f"{now['dropped']:,}"]
    assert read(tab, "#objective, #state, #model") == ["acfd-n", "50 ms", "serving"]


def test_streams_stand_in_the_order_of_their_need(tab: Tab, slow: tuple[Scene, DashboardServer]) -> None:
    show(tab, slow[1])
    assert read(tab, "#rows .name") == ["studio-a", "studio-b", "preview wall", "dailies"]
    assert read(tab, "#rows tr:first-child td")[0] == "1920×1080 h264"
    assert read(tab, "#rows tr:first-child .key") == ["queue"]
    assert read(tab, "#details-title") == ["studio-a"]
    assert read(tab, "#split th")[:3] == ["wait for data", "decode", "wait for engine"]
    assert read(tab, "#ended li") == [
        f"{read(tab, '#ended b')[0]} live, ended 0 s ago after 48 s, 0 frames – the H.264 data is damaged after 3.2 s"
    ]


def test_curves_and_their_cursor_say_the_same(tab: Tab, slow: tuple[Scene, DashboardServer]) -> None:
    show(tab, slow[1])
    assert tab.value("document.querySelectorAll('#latency-chart path.line').length") == 3
    assert tab.value("document.querySelectorAll('#stage-chart path.area').length") == 6
    assert read(tab, "#latency-chart .rule-label") == ["objective 50 ms"]
    now, before = read(tab, "#latency-chart .key"), []
    tab.value("document.querySelector('#latency-chart svg').focus()")
    for _ in range(5):
        tab.press("PageDown" if not before else "PageUp", 34 if not before else 33)
        before = read(tab, "#latency-chart .key")
    assert before != now
    assert float(before[1].split()[1]) < 50 < float(now[1].split()[1])
    assert tab.value("document.querySelector('#latency-chart svg').getAttribute('aria-label')").startswith("Latency of")


def test_the_last_frame_is_shown_where_its_owner_allows_it(tab: Tab, slow: tuple[Scene, DashboardServer]) -> None:
    scene, monitor = slow
    show(tab, monitor)
    tab.wait_for("document.getElementById('no-picture').textContent.startsWith('Waiting')")
    scene.show(*drawn_picture())
    tab.wait_for("document.getElementById('overlay').naturalWidth > 0 && !document.getElementById('whole').hidden")
    assert tab.value("document.getElementById('overlay').alt") == "The last frame of studio-a with its faces"
    tab.value("document.querySelector('button[data-id=\"id-studio-b\"]').click()")
    assert read(tab, "#details-title, #no-picture") == ["studio-b", "Preview is off for this stream."]
    assert tab.value("document.getElementById('whole').hidden")


def test_a_name_is_never_code(tab: Tab) -> None:
    scene = Scene()
    scene.play(4)
    scene.meters[0].error = "<script>document.title='x'</script>"
    name = "<img src=x onerror=document.title='x'>"
    object.__setattr__(scene.meters[0].info, "name", name)
    with DashboardServer("127.0.0.1:0", scene.registry, CARD, lambda: "serving", scene.samples) as monitor:
        show(tab, monitor)
        assert name in read(tab, "#rows .name")
        assert tab.value("document.querySelectorAll('#rows img').length") == 0
        assert tab.value("document.title") != "x"


def test_it_says_when_the_service_is_gone(tab: Tab) -> None:
    scene = Scene()
    scene.play(4)
    with DashboardServer("127.0.0.1:0", scene.registry, CARD, lambda: "serving", scene.samples) as monitor:
        show(tab, monitor)
    tab.wait_for("document.getElementById('headline').textContent === 'The service does not answer.'")
    assert read(tab, "#detail")[0].startswith("Last updated ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_light_by_day_and_dark_by_night(tab: Tab, slow: tuple[Scene, DashboardServer], scheme: str) -> None:
    show(tab, slow[1], DESKTOP, scheme)
    tab.wait_for("!document.getElementById('whole').hidden")
    image = keep(tab, f"desk_{scheme}")
    assert image.shape == (*DESKTOP, 3)
    assert (float(np.median(image)) > 200) == (scheme == "light")
    assert len(np.unique(image[::4, ::4].reshape(-1, 3), axis=0)) > 200  # charts and all


@pytest.mark.parametrize("size", [DESKTOP, (1100, 1000), PHONE], ids=lambda size: f"{size[1]}px")
def test_nothing_hangs_over_the_edge(tab: Tab, slow: tuple[Scene, DashboardServer], size: tuple[int, int]) -> None:
    show(tab, slow[1], size)
    keep(tab, f"width_{size[1]}")
    assert tab.value("document.documentElement.scrollWidth") <= size[1]


def test_everything_can_be_reached_by_keyboard_and_has_a_name(tab: Tab, slow: tuple[Scene, DashboardServer]) -> None:
    show(tab, slow[1])
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    named = {"button", "link", "image", "heading", "table", "region"}
    for node in nodes:
        if node.get("role", {}).get("value") in named and not node["ignored"]:
            assert node.get("name", {}).get("value"), node
    reached = tab.value("[...document.querySelectorAll('button, a[href], [tabindex=\"0\"]')].length")
    assert reached >= 4 + 4 + 3  # streams, charts, and what stands above


def test_a_real_stream_of_a_real_server_is_on_it(tab: Tab, tmp_path: Path) -> None:
    options = StreamOptions(**LIVE, name="camera", shows_overlay=True)
    with watched_server(tmp_path) as server, Client(f"127.0.0.1:{server.port}") as client:
        assert server.dashboard is not None
        with client.track_frames(camera(), options) as stream:
            reader = threading.Thread(target=lambda: sum(1 for _ in stream))
            reader.start()
            next_frames = "Number(document.querySelector('#rows td.n')?.textContent.split(' ')[0]) > 0"
            show(tab, server.dashboard)
            tab.wait_for(f"{next_frames} && !document.getElementById('whole').hidden")
            keep(tab, "real")
            assert read(tab, "#rows .name, #state") == ["serving", "camera"]
            assert read(tab, "#rows td")[0] == "128×96 pictures"
            assert tab.value("document.getElementById('overlay').naturalWidth") == 128
        reader.join()
