from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from acfd_stream.client.client import Client
from acfd_stream.client.errors import Refused, Retry, Unreachable, error_of
from acfd_stream.client.stream_progress import (
    CHUNK_BYTES,
    ByteMedia,
    EncodedFrame,
    FrameMedia,
    StreamOptions,
    StreamProgress,
)
from acfd_stream.errors import AcfdError, ConfigError, MediaError, OverloadedError, ServiceError
from acfd_stream.service.server import Server
from acfd_stream.types import FrameResult
from acfd_stream.v1 import face_track_pb2, stream_pb2, types_pb2
from acfd_stream.wire.channel import KeepaliveConfig, channel_options, is_local
from tests.service.rig import PATIENCE, eventually, serving, write_clip
from tests.service.small_server import EchoServicer, Held, small_server


def client_of(server: Server) -> Client:
    return Client(f"127.0.0.1:{server.port}")


def test_a_stream_goes_on_at_a_new_server_as_if_nothing_had_been(tiny_model: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "long.mkv", frames=150)
    data, held = clip.read_bytes(), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield data[: len(data) * 9 // 10]
        held.wait(PATIENCE)
        yield data[len(data) * 9 // 10 :]

    with serving(tiny_model) as first:
        with client_of(first) as client:
            unbroken = list(client.track(clip))
        client = client_of(first)
        stream = client.track(pieces)
        results = [next(iter(stream))]
        first.stop(0.0)
    held.set()
    with client, serving(tiny_model, listen=f"127.0.0.1:{first.port}"):
        results += stream
    assert results == unbroken
    assert stream.start.first_index > 0
    assert stream.end is not None
    assert stream.end.frames == len(unbroken) == 150


def test_streams_may_be_sent_as_path_file_pieces_and_callable(server: Server, clip: Path) -> None:
    data = clip.read_bytes()
    with client_of(server) as client, clip.open("rb") as file:
        sources: list[Any] = [str(clip), clip, file, [data], lambda: iter([data[:1000], data[1000:]])]
        found = [list(client.track(source)) for source in sources]
    assert all(results == found[0] for results in found)
    assert len(found[0]) == 60


def test_frames_are_tracked_one_by_one_and_detected_alone(server: Server, tmp_path: Path) -> None:
    frames = [EncodedFrame(png(index), index * 3750) for index in range(8)]
    with client_of(server) as client:
        stream = client.track_frames(frames, StreamOptions(mode="live", objective_seconds=20.0))
        results = list(stream)
        alone = client.detect(frames[0].image)
    assert [result.pts for result in results] == [frame.pts for frame in frames]
    assert stream.start.objective_seconds == 20.0
    assert [result.verdict.outcome.value for result in results] == ["ok"] * 8
    assert alone.display_size == (96, 128)
    assert len(alone.faces) == 1


def png(index: int) -> bytes:
    import cv2

    from tests.service.rig import draw

    return bytes(cv2.imencode(".png", draw(index, (96, 128), 60))[1])


def held_behind(clip: Path, held: Held) -> Callable[[], Iterator[bytes]]:
    """The bytes of a clip, and then nothing until ``held`` is let go."""
    return lambda: chain([clip.read_bytes()], held())


def test_models_capacity_and_statistics_are_told(server: Server, clip: Path) -> None:
    held = Held()
    with client_of(server) as client:
        assert [model.name for model in client.models() if model.is_loaded] == ["tiny"]
        assert client.capacity((96, 128), 1.0, 10.0).fits
        with client.track(held_behind(clip, held)) as stream:
            stream_id = stream.start.stream_id
            assert [stats.stream_id for stats in client.stream_stats()] == [stream_id]
            held.let_go()


def test_a_stream_can_be_closed_from_another_thread(server: Server, clip: Path) -> None:
    held = Held()
    with client_of(server) as client:
        stream = client.track(held_behind(clip, held))
        results = iter(stream)
        assert next(results).index == 0
        threading.Timer(0.05, stream.close).start()
        assert len(list(results)) < 60
        assert stream.end is None
        held.let_go()
    assert server.host is not None
    assert eventually(lambda: server.host.stream_count == 0)  # type: ignore[union-attr]


def test_media_that_fails_here_is_told_as_it_failed(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Iterator[bytes]:
        yield b"some bytes"
        raise ZeroDivisionError("in the caller's own code")

    with client_of(server) as client:
        with pytest.raises(MediaError, match=r"cannot read .*absent"):
            list(client.track(tmp_path / "absent.mkv"))
        with pytest.raises(ZeroDivisionError, match="own code"):
            list(client.track(broken))
        with pytest.raises(MediaError):
            list(client.track([b"no video at all"]))
    assert [record for record in caplog.records if record.name.startswith("grpc")] == []


def test_a_service_with_other_settings_than_asked_for_refuses(server: Server, clip: Path) -> None:
    with client_of(server) as client, pytest.raises(ConfigError, match="model 'acfd-n' was requested"):
        list(client.track(clip, StreamOptions(model="acfd-n")))


class Scripted(EchoServicer):
    """Answers each try of a stream by the next of ``tries``, which get the first request."""

    def __init__(self, *tries: Callable[[Any, Any], Iterator[Any]]) -> None:
        super().__init__()
        self._tries = list(tries)

    def Track(self, request_iterator: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        yield from self._tries.pop(0)(next(request_iterator).config, context)


def started(first_index: int = 0) -> Any:
    info = types_pb2.MediaInfo(time_base=types_pb2.Rational(numerator=1, denominator=25))
    return face_track_pb2.TrackResponse(start=stream_pb2.TrackStart(info=info, first_index=first_index))


def frames(*indices: int) -> Any:
    results = [types_pb2.FrameResult(index=index, pts=index) for index in indices]
    return face_track_pb2.TrackResponse(results=stream_pb2.FrameResults(frames=results))


def unavailable(config: Any, context: Any) -> Iterator[Any]:
    context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
    yield


def breaking(config: Any, context: Any) -> Iterator[Any]:
    yield started()
    yield frames(0, 1, 2)
    point = stream_pb2.ResumePoint(token=b"from 2", next_index=2)
    yield face_track_pb2.TrackResponse(resume_point=point)
    context.abort(grpc.StatusCode.UNAVAILABLE, "draining")


def going_on(config: Any, context: Any) -> Iterator[Any]:
    yield started(2)
    yield frames(2, 3)
    end = stream_pb2.TrackEnd(frame_count=4, is_complete=config.resume_token == b"from 2")
    yield face_track_pb2.TrackResponse(end=end)


def test_no_frame_comes_twice_and_no_try_is_one_too_many() -> None:
    servicer = Scripted(unavailable, breaking, unavailable, going_on)
    with small_server(servicer=servicer) as address, Client(address) as client:
        stream = client.track(lambda: [b"media"])
        assert [result.index for result in stream] == [0, 1, 2, 3]
        assert stream.end is not None
        assert stream.end.is_complete


def test_media_that_cannot_be_sent_again_is_not() -> None:
    with small_server(servicer=Scripted(breaking, going_on)) as address, Client(address) as client:
        results: list[FrameResult] = []
        with pytest.raises(Unreachable, match="draining"):
            results.extend(client.track(iter([b"media"])))


def test_patience_ends() -> None:
    server = small_server(servicer=Scripted(breaking, *[unavailable] * 100))
    with (
        server as address,
        Client(address, patience_seconds=1.0) as client,
        pytest.raises(Unreachable, match="not now"),
    ):
        list(client.track(lambda: [b"media"]))


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ([frames(0)], "before the start"),
        ([started(), frames(1)], "frame 0 is missing"),
        ([started(1)], "continues at frame 1"),
        ([started()], "without an end message"),
    ],
)
def test_a_server_that_breaks_the_rules_is_found_out(answers: list[Any], complaint: str) -> None:
    server = small_server(servicer=Scripted(lambda config, context: iter(answers)))
    with server as address, Client(address) as client, pytest.raises(ServiceError, match=complaint):
        list(client.track(lambda: [b"media"]))


def test_a_server_without_the_method_is_told() -> None:
    with small_server() as address, Client(address) as client, pytest.raises(ServiceError, match="no such method"):
        client.models()


def test_pauses_grow_and_patience_counts_from_the_last_word() -> None:
    now = [0.0]
    retry = Retry(10.0, 1.0, clock=lambda: now[0], chance=lambda: 0.5)
    gone = Unreachable("gone")
    assert [retry.pause_after(gone) for _ in range(4)] == [0.1, 0.2, 0.4, 0.8]
    now[0] = 1.0
    with pytest.raises(Unreachable):
        retry.pause_after(gone)  # nothing was ever received
    retry.received()
    assert [retry.pause_after(gone) for _ in range(7)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
    now[0] = 10.5
    assert retry.pause_after(gone) == 0.5
    now[0] = 11.0
    with pytest.raises(Unreachable):
        retry.pause_after(gone)


def test_only_what_may_pass_is_tried_again() -> None:
    retry = Retry(10.0, 1.0)
    with pytest.raises(Refused):
        retry.pause_after(Refused("full"))  # a stream that has not begun does not wait in line
    retry.received()
    assert retry.pause_after(Refused("full")) > 0
    told = Refused("full")
    told.retry_seconds = 7.0
    assert retry.pause_after(told) == 7.0
    for error in (MediaError("a"), ConfigError("b"), ServiceError("c"), OverloadedError("d")):
        with pytest.raises(type(error)):
            retry.pause_after(error)


class Failure:
    """A grpc.RpcError of a size."""

    def __init__(self, side: str) -> None:
        self._side = side

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.RESOURCE_EXHAUSTED

    def details(self) -> str:
        return f"{self._side}: Received message larger than max (6632720 vs. 4194304)"

    def trailing_metadata(self) -> None:
        return None


@pytest.mark.parametrize(("side", "kind"), [("SERVER", MediaError), ("CLIENT", ServiceError)])
def test_a_message_above_a_limit_is_never_tried_again(side: str, kind: type[AcfdError]) -> None:
    retry, error = Retry(10.0, 1.0), error_of(Failure(side), "host:1")
    retry.received()
    assert type(error) is kind
    assert "6.3 MiB, above the limit of 4.0 MiB" in str(error)
    with pytest.raises(kind):
        retry.pause_after(error)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (
            "127.0.0.1:5 127.9.9.9:5 localhost:5 LOCALHOST a.localhost:5 [::1]:5 ::1 ipv6:[::1]:5 ipv6:%5B::1%5D:5 "
            "ipv4:127.0.0.1:5 dns:///localhost:5 dns://8.8.8.8/localhost:5 unix:/tmp/x unix:///tmp/x unix-abstract:x "
            "0.0.0.0:5 [::]:5 [::ffff:127.0.0.1]:5",
            True,
        ),
        (
            "10.0.0.1:5 192.168.1.1 example.com:5 [2001:db8::1]:5 dns:///example.com localhost.example.com:5 "
            "unixhost:5 127.0.0.1.example.com:5",
            False,
        ),
    ],
)
def test_only_targets_on_this_machine_are_local(targets: str, expected: bool) -> None:
    for target in targets.split():
        assert is_local(target) is expected, target
        assert (("grpc.enable_http_proxy", 0) in channel_options(KeepaliveConfig(), 1, target)) is expected


def test_options_become_the_message(tmp_path: Path) -> None:
    options = StreamOptions(
        mode="live", drop_policy="drop_oldest", priority="high", declared_size=(720, 1280), declared_fps=24.0,
        objective_seconds=0.05, start_seconds=1.5, name="camera", shows_overlay=True, size=448,
    )  # fmt: skip
    config = options.message(b"token")
    assert config.mode == stream_pb2.STREAM_MODE_LIVE
    assert config.drop_policy == stream_pb2.DROP_POLICY_DROP_OLDEST
    assert config.priority == stream_pb2.PRIORITY_HIGH
    assert (config.declared_size.height, config.declared_size.width) == (720, 1280)
    assert config.objective == Duration(nanos=50_000_000)
    assert config.start == Duration(seconds=1, nanos=500_000_000)
    assert not config.HasField("end")
    assert config.resume_token == b"token"


@pytest.mark.parametrize("values", [{"mode": "fast"}, {"drop_policy": "all"}, {"priority": "1"}, {"declared_fps": 0.0}])
def test_options_that_are_none_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        StreamOptions(**values)


def test_pieces_fit_a_message_whatever_comes_in(tmp_path: Path) -> None:
    data = bytes(range(256)) * 1000
    (tmp_path / "a").write_bytes(data)
    for source in (tmp_path / "a", [data], [data[:100_000], b"", data[100_000:]], lambda: [data]):
        pieces = list(ByteMedia(source).pieces())
        assert b"".join(pieces) == data
        assert max(map(len, pieces)) <= CHUNK_BYTES


def test_what_can_be_sent_again_is_known() -> None:
    assert ByteMedia("path").is_replayable
    assert ByteMedia(list).is_replayable
    assert FrameMedia([]).is_replayable
    assert not FrameMedia(iter([])).is_replayable
    once = ByteMedia([b"a"])
    assert not once.is_spent
    list(once.pieces())
    assert once.is_spent
    with pytest.raises(ConfigError, match="cannot be sent a second time"):
        list(once.pieces())


def test_frames_that_the_server_has_are_not_sent_again() -> None:
    media = FrameMedia([EncodedFrame(b"a", 0), EncodedFrame(b"b", 1), EncodedFrame(b"c", 2)])
    assert [request.frame.pts for request in media.requests(1)] == [1, 2]


def test_an_exchange_says_where_it_goes_on() -> None:
    progress = StreamProgress("film.mkv", StreamOptions())
    assert progress.first_request().config.resume_token == b""
    progress.take(started())
    assert [result.index for result in progress.take(frames(0, 1))] == [0, 1]
    point = stream_pb2.ResumePoint(token=b"t", next_frame=2)
    progress.take(face_track_pb2.TrackResponse(resume_point=point))
    assert progress.first_request().config.resume_token == b"t"
    assert progress.next_frame == 2
    assert progress.uri_request("u").config.resume_token == b"t"
