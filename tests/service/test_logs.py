from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from acfd_stream.client.client import Client
from acfd_stream.errors import AcfdError, ConfigError
from acfd_stream.service.access.interceptor import AccessInterceptor
from acfd_stream.service.access.token_file import add_token
from acfd_stream.service.interceptors.call_log import REQUEST_ID_KEY, CallLogInterceptor
from acfd_stream.service.logs import start_logging, stop_logging
from acfd_stream.service.settings import AccessConfig, LogConfig
from acfd_stream.v1 import face_track_pb2, face_track_pb2_grpc
from tests.service.small_server import EchoServicer, Held, small_server

log = logging.getLogger("acfd_stream.service.test")


@contextmanager
def logged(**settings: Any) -> Iterator[io.StringIO]:
    text = io.StringIO()
    handler = start_logging(LogConfig(**settings), text)
    try:
        yield text
    finally:
        stop_logging(handler)


def objects(text: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.getvalue().splitlines()]


def test_json_is_an_object_a_line_whatever_is_said() -> None:
    with logged(format="json") as text:
        log.warning("two\nlines %s", "“quoted”", extra={"frames": 3})
        try:
            raise ValueError("inside")
        except ValueError:
            log.exception("it broke")
    first, second = objects(text)
    assert first["message"] == "two\nlines “quoted”"
    assert (first["level"], first["frames"]) == ("warning", 3)
    assert first["time"].endswith("Z")
    assert "ValueError: inside" in second["fault"]


def test_text_is_one_line_a_message() -> None:
    with logged() as text:
        log.info("two\nlines", extra={"code": "OK", "seconds": 0.5, "why": "a b"})
    assert text.getvalue().count("\n") == 1
    assert text.getvalue().endswith('info two lines code=OK seconds=0.500 why="a b"\n')


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "secret",
    [
        "Bearer hunter2-hunter2",
        "acfd_0123456789abcdefghijklmnop",
        "rtsp://user:hunter2@camera/stream",
        "https://host/film.mkv?signature=hunter2",
    ],
)
def test_no_secret_comes_through(form: str, secret: str) -> None:
    with logged(format=form) as text:
        log.info("given %s", secret, extra={"given": secret})
        try:
            raise ValueError(secret)
        except ValueError:
            log.exception("failed")
    assert "hunter2" not in text.getvalue()
    assert "0123456789" not in text.getvalue()


@pytest.mark.parametrize("is_shown", [False, True])
def test_media_is_named_only_where_the_operator_allows_it(is_shown: bool) -> None:
    with logged(format="json", shows_media=is_shown) as text:
        log.info("cannot open /films/secret.mkv", extra={"media": "/films/secret.mkv"})
    assert ("secret" in text.getvalue()) is is_shown


def test_less_than_the_level_is_not_written() -> None:
    with logged(level="warning") as text:
        log.info("quiet")
        log.warning("loud")
    assert "quiet" not in text.getvalue()
    assert "loud" in text.getvalue()


@pytest.mark.parametrize("settings", [{"format": "xml"}, {"level": "verbose"}])
def test_unknown_settings_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        LogConfig(**settings)  # type: ignore[arg-type]


class Failing(EchoServicer):
    """Detect aborts, GetCapacity breaks."""

    def Detect(self, request: Any, context: Any) -> Any:  # noqa: N802
        log.info("inside")
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "bad picture")

    def GetCapacity(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise RuntimeError("a fault")


@pytest.mark.filterwarnings("ignore")
def test_every_call_is_one_line_with_its_code() -> None:
    with (
        logged(format="json") as text,
        small_server([CallLogInterceptor()], Failing()) as address,
        Client(address) as client,
    ):
        list(client.track([b""]))
        for call in (lambda: client.detect(b""), lambda: client.capacity((1, 1), 1.0)):
            with pytest.raises(AcfdError):
                call()
    calls = [entry for entry in objects(text) if "method" in entry]
    assert [entry["message"] for entry in calls] == ["Track OK", "Detect INVALID_ARGUMENT", "GetCapacity UNKNOWN"]
    assert all(entry["seconds"] >= 0 for entry in calls)
    assert len({entry["request_id"] for entry in calls}) == 3


def test_a_callers_request_id_stands_in_every_line_of_its_call_and_comes_back() -> None:
    request = face_track_pb2.DetectRequest()
    server = small_server([CallLogInterceptor()], Failing())
    with logged(format="json") as text, server as address, grpc.insecure_channel(address) as channel:
        detect = face_track_pb2_grpc.FaceTrackServiceStub(channel).Detect
        with pytest.raises(grpc.RpcError) as caught:
            detect(request, metadata=[(REQUEST_ID_KEY, "mine-1")])
        with pytest.raises(grpc.RpcError):
            detect(request, metadata=[(REQUEST_ID_KEY, "not fit for a log {}")])
    assert (REQUEST_ID_KEY, "mine-1") in [tuple(pair) for pair in caught.value.trailing_metadata()]
    ids = [entry["request_id"] for entry in objects(text)]
    assert ids[:2] == ["mine-1", "mine-1"]
    assert len(ids) == 4
    assert len(ids[2]) == 32


def test_a_stream_that_is_broken_off_is_logged_as_cancelled() -> None:
    held = Held()
    with logged(format="json") as text, small_server([CallLogInterceptor()]) as address, Client(address) as client:
        stream = client.track(held)
        assert stream.start.stream_id == "s"
        stream.close()
        held.let_go()
    assert [entry["code"] for entry in objects(text)] == ["CANCELLED"]


def test_the_line_of_a_call_names_its_caller(tmp_path: Path) -> None:
    token = add_token(tmp_path / "tokens.toml", "studio")
    chain = [CallLogInterceptor(), AccessInterceptor(AccessConfig(tokens=tmp_path / "tokens.toml"))]
    with logged(format="json") as text, small_server(chain) as address:
        with Client(address, token=token) as client:
            client.capacity((1, 1), 1.0)
        with Client(address) as stranger, pytest.raises(AcfdError):
            stranger.capacity((1, 1), 1.0)
    calls = [(entry["code"], entry["caller"]) for entry in objects(text) if "method" in entry]
    assert calls == [("OK", "studio"), ("UNAUTHENTICATED", "ip:127.0.0.1")]
