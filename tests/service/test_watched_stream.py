"""A real stream on the page: what it shows while the stream runs, and what is left when it has ended."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from acfd_stream.client.client import Client
from acfd_stream.client.stream_progress import StreamOptions
from acfd_stream.service.server import Server
from tests.service.watched import (
    LIVE,
    TIMEOUT_SECONDS,
    camera,
    get,
    get_json,
    send,
    streamable_clip,
    url,
    watched_server,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with watched_server(tmp_path_factory.mktemp("watched")) as server:
        yield server


def awaited(address: str, status: int) -> bytes:
    """The body, once the answer has that status."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while (answer := get(address))[0] != status:
        assert time.monotonic() < end, answer
        time.sleep(0.05)
    return answer[2]


def test_its_last_frame_can_be_seen_while_it_runs(server: Server) -> None:
    options = StreamOptions(**LIVE, name="camera", shows_overlay=True)
    with Client(f"127.0.0.1:{server.port}") as client, client.track_frames(camera(), options) as stream:
        results = iter(stream)
        first = next(results)
        row = next(row for row in get_json(url(server, "/streams.json"))["streams"])
        assert (row["name"], row["mode"], row["path"], row["has_overlay"]) == ("camera", "live", "frames", True)
        address = url(server, f"/streams/{row['id']}/overlay.jpg")
        assert get(address)[0] == 204
        for result in itertools.islice(results, 10):  # somebody looks now
            assert result.index > first.index
        image = cv2.imdecode(np.frombuffer(awaited(address, 200), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (96, 128, 3)
    assert image[46, 56].min() > 200  # the bright square
    awaited(address, 404)


def test_what_has_ended_is_remembered_with_its_figures(server: Server, tmp_path: Path) -> None:
    assert send(server, streamable_clip(tmp_path), mode="file", name="episode") == 60
    end = time.monotonic() + TIMEOUT_SECONDS
    while not (found := [row for row in get_json(url(server, "/streams.json"))["ended"] if row["name"] == "episode"]):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert (found[0]["outcomes"]["ok"], found[0]["shots"], found[0]["error"]) == (60, 1, "")
    assert found[0]["size"] == [96, 128]
    assert found[0]["tracks"] >= 1


def test_it_is_healthy_while_it_serves_and_not_while_it_drains(tmp_path: Path) -> None:
    with watched_server(tmp_path) as server:
        address = url(server, "/healthz")
        assert get(address)[0] == 200
        server.health.drain()
        assert get(address)[::2] == (503, b"draining\n")
