"""A stream must be worth its place: who drips while others wait loses it, who pauses keeps it; rates are measured."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import grpc
import pytest

from acfd_stream.service.server import Server
from acfd_stream.service.settings import Limits, SourceSettings
from acfd_stream.v1 import face_track_pb2, stream_pb2
from tests.service.rig import PATIENCE, ROOMY, calling, draw, eventually, failure, frames_of, sending, serving

LATE = grpc.StatusCode.DEADLINE_EXCEEDED
LIMITS = Limits(idle_seconds=1.5, least_frames_per_second=8.0, least_bytes_per_second=20_000.0)
"""A test lasts seconds, so its drips fall faster than those of ``limits.md``."""
ONE_FILE = replace(ROOMY, file_streams=1)
PICTURE = cv2.imencode(".png", draw(3, (96, 128), 99))[1].tobytes()


def gets_in(server: Server, data: bytes) -> bool:
    """Whether a whole stream is answered."""
    try:
        with calling(server) as stub:
            return len(frames_of(stub.Track(sending(data)))) == 60
    except grpc.RpcError:
        return False


def dripping_bytes(data: bytes, over: threading.Event) -> Iterator[Any]:
    """The head of a video, and then a byte now and again."""
    yield face_track_pb2.TrackRequest(config=stream_pb2.TrackConfig())
    yield face_track_pb2.TrackRequest(data=data[:3000])
    while not over.wait(0.3):
        yield face_track_pb2.TrackRequest(data=b"\0")


def dripping_frames(data: bytes, over: threading.Event) -> Iterator[Any]:
    """A valid picture now and again."""
    yield face_track_pb2.TrackRequest(config=stream_pb2.TrackConfig())
    for index in itertools.count():
        yield face_track_pb2.TrackRequest(frame=face_track_pb2.EncodedFrame(image=PICTURE, pts=900 * index))
        if over.wait(0.3):
            return


@contextmanager
def dripping_url(data: bytes, over: threading.Event) -> Iterator[str]:
    """A URL whose server sends a third of a video, and then about a frame now and again."""
    size = -(-len(data) // 60)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(data[: 20 * size])
                for place in range(20 * size, len(data), size):
                    self.wfile.write(data[place : place + size])
                    if over.wait(0.3):
                        return

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/clip.mkv"
        over.set()
        server.shutdown()


@pytest.mark.parametrize(("kind", "idle_seconds"), [("bytes", 1.5), ("frames", 1.5), ("url", 5.0)])
def test_a_dripping_stream_loses_its_place_when_another_waits(
    tiny_model: Path, clip: Path, kind: str, idle_seconds: float
) -> None:
    over, data, ends = threading.Event(), clip.read_bytes(), []
    limits = replace(LIMITS, idle_seconds=idle_seconds)  # a URL may be silent for no longer than that
    sources = SourceSettings(schemes=("http",), addresses="any")
    with (
        serving(tiny_model, limits=limits, capacity=ONE_FILE, sources=sources) as server,
        calling(server) as stub,
        dripping_url(data, over) as url,
    ):
        if kind == "url":
            call = stub.TrackUri(face_track_pb2.TrackUriRequest(uri=url))
        else:
            call = stub.Track({"bytes": dripping_bytes, "frames": dripping_frames}[kind](data, over))
        thread = threading.Thread(target=lambda: ends.append(failure(lambda: list(call))))
        thread.start()
        thread.join(2.0)
        assert thread.is_alive()  # nobody waits
        assert eventually(lambda: gets_in(server, data), 3 * PATIENCE)
        thread.join(PATIENCE)
        over.set()
    code, message, _ = ends[0]
    assert (code, f"too slow for {idle_seconds:g} s while others waited" in message) == (LATE, True)


def test_a_live_stream_that_pauses_for_less_than_idle_seconds_is_unharmed(tiny_model: Path, clip: Path) -> None:
    data, config = clip.read_bytes(), stream_pb2.TrackConfig(mode=stream_pb2.STREAM_MODE_LIVE)
    limits, is_over = replace(LIMITS, idle_seconds=5.0), threading.Event()

    def pausing() -> Iterator[Any]:
        for number, request in enumerate(sending(data, config)):
            if number in (3, 6):
                time.sleep(3.0)  # twice this is more than ``idle_seconds``
            yield request

    def others(server: Server) -> None:
        with calling(server) as stub:
            while not is_over.wait(0.1):
                failure(lambda: list(stub.Track(sending(data))))

    with serving(tiny_model, limits=limits, capacity=replace(ROOMY, file_streams=0)) as server, ExitStack() as stack:
        waiting = threading.Thread(target=others, args=(server,))
        waiting.start()
        stack.callback(waiting.join)
        stack.callback(is_over.set)
        with calling(server) as stub:
            answers = list(stub.Track(pausing()))
    assert (len(frames_of(answers)), answers[-1].end.is_complete) == (60, True)


def test_a_stream_that_never_gives_a_frame_ends(tiny_model: Path, clip: Path) -> None:
    over = threading.Event()
    with serving(tiny_model, limits=Limits(frameless_seconds=1.0)) as server, calling(server) as stub:
        code, message, _ = failure(lambda: list(stub.Track(dripping_bytes(clip.read_bytes(), over))))
        over.set()
    assert (code, message) == (LATE, "no frame came for 1 s; the stream was ended")


def liar(config: Any, over: threading.Event) -> Iterator[Any]:
    """A hundred frames a second, whatever the config declares."""
    yield face_track_pb2.TrackRequest(config=config)
    for index in itertools.count():
        if over.wait(0.01):
            return
        yield face_track_pb2.TrackRequest(frame=face_track_pb2.EncodedFrame(image=PICTURE, pts=900 * index))


def read(call: Any, answered: list[Any]) -> None:
    """Collect the frames that were not dropped, until the call ends."""
    with suppress(grpc.RpcError):
        for answer in call:
            answered.extend(frame for frame in answer.results.frames if frame.verdict.outcome in (1, 2))


@pytest.mark.parametrize("policy", [stream_pb2.DROP_POLICY_WAIT, stream_pb2.DROP_POLICY_DROP_OLDEST])
def test_a_live_stream_is_held_to_the_rate_that_it_declares(tiny_model: Path, policy: Any) -> None:
    config = stream_pb2.TrackConfig(
        mode=stream_pb2.STREAM_MODE_LIVE, drop_policy=policy, every_frame=True, objective={"seconds": 5},
        declared_size={"height": 96, "width": 128}, declared_frame_rate=0.01,
    )  # fmt: skip
    over = threading.Event()
    answered: list[Any] = []
    with serving(tiny_model) as server, calling(server) as stub:
        call = stub.Track(liar(config, over))
        reader = threading.Thread(target=read, args=(call, answered))
        reader.start()
        registry = server.metrics.registry
        assert eventually(lambda: (registry.get_sample_value("acfd_frames_held_total") or 0) >= 1)
        reader.join(1.0)
        assert reader.is_alive()
        assert 1 <= len(answered) <= 9
        over.set()
        call.cancel()
        reader.join(PATIENCE)
        assert eventually(lambda: server.host is not None and server.host.stream_count == 0)
