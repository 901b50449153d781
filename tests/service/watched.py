"""A real server over a tiny model, with its page and metrics, and clips that it can be sent."""

from __future__ import annotations

import itertools
import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2

from acfd_stream.client.client import Client
from acfd_stream.client.stream_progress import EncodedFrame, StreamOptions
from acfd_stream.config import CapacityConfig
from acfd_stream.detect import Detector
from acfd_stream.service.server import Server
from acfd_stream.service.settings import Limits, ServiceSettings
from tests.detect.tiny_model import white_square, write_tiny_model
from tests.pipeline.conftest import DETECT, write_clip

TIMEOUT_SECONDS = 30
LIVE: dict[str, Any] = {"mode": "live", "declared_fps": 2.0, "objective_seconds": 30.0}
"""Options of a live stream that a busy machine lets in too."""
_ROOMY = CapacityConfig(load_limit=1.0, cores=64)


@contextmanager
def watched_server(folder: Path, **settings: Any) -> Iterator[Server]:
    """A server on free ports; its model finds bright squares, and it believes that it has all cores and memory."""
    model = write_tiny_model(folder / "tiny.onnx")
    limits = Limits(memory_share=1.0)
    asked = ServiceSettings(listen="127.0.0.1:0", metrics="127.0.0.1:0", capacity=_ROOMY, limits=limits, **settings)
    with Detector.open(model, config=DETECT) as detector, Server(asked, detector=detector) as server:
        yield server


def streamable_clip(folder: Path) -> Path:
    """60 frames with one face, in a container that can be read as it comes."""
    return write_clip(folder / "clip.mkv")


def camera() -> Iterator[EncodedFrame]:
    """Frames without end, 50 a second."""
    _, data = cv2.imencode(".png", white_square((96, 128), 40, 30, 32))
    for index in itertools.count():
        yield EncodedFrame(data.tobytes(), index * 1800)
        time.sleep(0.02)  # a camera's pace


def send(server: Server, clip: Path, **options: Any) -> int:
    """Send ``clip`` as a stream and read all its results; how many there were."""
    with Client(f"127.0.0.1:{server.port}") as client, client.track(clip, StreamOptions(**options)) as stream:
        return sum(1 for _ in stream)


def url(server: Server, path: str) -> str:
    assert server.dashboard is not None
    return f"http://127.0.0.1:{server.dashboard.port}{path}"


def get(address: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case and body of a GET; statuses that are errors do not raise."""
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            return answer.status, {key.lower(): value for key, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {key.lower(): value for key, value in error.headers.items()}, error.read()


def get_json(address: str) -> Any:
    status, _, body = get(address)
    assert status == 200
    return json.loads(body)
