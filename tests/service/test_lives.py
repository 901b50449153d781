"""How streams live beside each other: one stalls, one is cancelled, one drops; and what is told of them."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import grpc
import psutil
import pytest
from prometheus_client import CollectorRegistry

from acfd_stream.service.access.token_file import add_token
from acfd_stream.service.server import Server
from acfd_stream.service.settings import AccessConfig, Limits
from acfd_stream.service.streams.stream import StreamCall
from acfd_stream.v1 import face_track_pb2, stream_pb2, types_pb2
from tests.service.rig import calling, draw, eventually, failure, frames_of, plain_results, sending, serving, write_clip

LIVE = stream_pb2.STREAM_MODE_LIVE
SMALL = Limits(ingest_bytes=2**16, queue_bytes=2**20, idle_seconds=60.0)


def gauges(server: Server) -> dict[str, float]:
    """Every gauge of what is going on, by name and labels."""
    names = ("acfd_streams_active", "acfd_queue_depth", "acfd_inflight_bytes")
    registry: CollectorRegistry = server.metrics.registry
    return {
        f"{sample.name}{sample.labels}": sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name in names
    }


def is_quiet(server: Server) -> bool:
    return server.host is not None and server.host.stream_count == 0 and not any(gauges(server).values())


def is_stalled(stream: StreamCall) -> bool:
    """Whether its call's thread has been waiting for its reader."""
    since = stream.sending_since
    return since is not None and time.monotonic() - since > 0.5


def test_a_slow_reader_stops_its_own_stream_only_and_memory_stays(tiny_model: Path, clip: Path, tmp_path: Path) -> None:
    long = write_clip(tmp_path / "long.mkv", frames=1200).read_bytes()
    narrow = [("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0)]
    with serving(tiny_model, limits=SMALL) as server, calling(server) as stub, calling(server, narrow) as slow_stub:
        data = clip.read_bytes()
        alone = plain_results(stub.Track(sending(data)))
        before = psutil.Process().memory_info().rss
        slow = [slow_stub.Track(sending(long)) for _ in range(3)]
        assert server.host is not None
        assert eventually(lambda: [is_stalled(stream) for stream in server.host.streams_of("")] == [True] * 3)
        assert plain_results(stub.Track(sending(data))) == alone
        assert psutil.Process().memory_info().rss - before < 100 * 2**20
        held = sum(value for name, value in gauges(server).items() if name.startswith("acfd_inflight_bytes"))
        assert 0 < held < 3 * (SMALL.queue_bytes + SMALL.ingest_bytes + 2**16)
        assert (
            sum(stream.meter.history.total().frames for stream in server.host.streams_of("") if stream.meter) < 3 * 600
        )
        for call in slow:
            call.cancel()
        assert eventually(lambda: is_quiet(server))


def test_a_cancelled_stream_frees_its_slot_and_its_threads(server: Server, clip: Path) -> None:
    hold = threading.Event()
    with calling(server) as stub:
        list(stub.Track(sending(clip.read_bytes())))
        assert eventually(lambda: is_quiet(server))
        before = {thread.name for thread in threading.enumerate() if not thread.name.startswith("acfd-call")}
        for mode in (stream_pb2.STREAM_MODE_FILE, LIVE):
            call = stub.Track(sending(clip.read_bytes(), stream_pb2.TrackConfig(mode=mode), until=hold))
            assert next(call).WhichOneof("response") == "start"
            call.cancel()
            assert eventually(lambda: is_quiet(server))
        hold.set()
        assert eventually(
            lambda: (
                not [
                    t
                    for t in threading.enumerate()
                    if t.name.startswith("acfd-") and t.name not in before and not t.name.startswith("acfd-call")
                ]
            )
        )


def test_a_live_stream_is_answered_at_once_with_times_and_a_verdict(server: Server, clip: Path) -> None:
    hold, config = threading.Event(), stream_pb2.TrackConfig(mode=LIVE, name="camera")
    config.objective.FromMilliseconds(10_000)
    with calling(server) as stub:
        call = stub.Track(sending(clip.read_bytes(), config, until=hold, piece=512))
        assert next(call).start.objective.seconds == 10
        begun = list(next(call).results.frames)  # more than one where the second was there already
        first = begun[0]
        stages = {types_pb2.Stage.Name(time.stage).removeprefix("STAGE_").lower() for time in first.stage_times}
        assert {"ingest", "decode", "queue", "preprocess", "infer", "nms", "track", "encode"} <= stages
        assert first.verdict.outcome == types_pb2.OUTCOME_OK
        assert 0 < first.verdict.latency.ToNanoseconds() < 10**10
        hold.set()
        rest = frames_of(list(call))
    assert [frame.index for frame in begun + rest] == list(range(60))


def test_a_late_frame_says_which_stage_was_the_cause(server: Server, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", frames=480)  # more than the fastest machine sees in 200 ms
    config = stream_pb2.TrackConfig(mode=LIVE)
    config.objective.FromMilliseconds(200)
    with calling(server) as stub:
        frames = frames_of(list(stub.Track(sending(clip.read_bytes(), config))))  # faster than they can be seen
    late = [frame for frame in frames if frame.verdict.outcome == types_pb2.OUTCOME_LATE]
    assert late
    for frame in late:
        longest = max(frame.stage_times, key=lambda time: time.duration.ToNanoseconds())
        assert frame.verdict.cause == longest.stage
        assert frame.verdict.latency.ToMilliseconds() >= 200
    assert all(frame.verdict.latency.ToMilliseconds() <= 200 for frame in frames if frame not in late)


@pytest.mark.parametrize("mode", [stream_pb2.STREAM_MODE_FILE, LIVE])
def test_a_picture_that_cannot_be_decoded_fails_alone(server: Server, mode: int) -> None:
    def pictures() -> Iterator[Any]:
        config = stream_pb2.TrackConfig(mode=mode, frame_time_base=types_pb2.Rational(numerator=1, denominator=10))
        config.objective.FromSeconds(10)
        yield face_track_pb2.TrackRequest(config=config)
        for index in range(12):
            image = cv2.imencode(".png", draw(index, (96, 128), 99))[1].tobytes()
            bad = b"no picture" if index == 5 else image
            yield face_track_pb2.TrackRequest(frame=face_track_pb2.EncodedFrame(image=bad, pts=index * 3))

    with calling(server) as stub:
        answers = list(stub.Track(pictures()))
    frames = frames_of(answers)
    assert [(frame.index, frame.pts) for frame in frames] == [(index, index * 3) for index in range(12)]
    failed = [frame for frame in frames if frame.verdict.outcome == types_pb2.OUTCOME_FAILED]
    assert [frame.index for frame in failed] == [5]
    assert "PNG" in failed[0].verdict.failure
    assert frames[-1].faces
    assert answers[-1].end.is_complete


@pytest.mark.parametrize("policy", [stream_pb2.DROP_POLICY_DROP_OLDEST, stream_pb2.DROP_POLICY_DROP_LATEST])
def test_dropped_frames_are_told_in_order_with_their_reason(
    tiny_model: Path, clip: Path, policy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = stream_pb2.TrackConfig(mode=LIVE, drop_policy=policy)
    with serving(tiny_model) as server, calling(server) as stub:
        assert server.host is not None
        engine = server.host.context.scheduler.engine
        detect = engine.detect_timed
        # On any machine slower than the frames, which come as fast as they can be decoded.
        monkeypatch.setattr(engine, "detect_timed", lambda pictures: time.sleep(0.05) or detect(pictures))
        frames = frames_of(list(stub.Track(sending(clip.read_bytes(), config))))
        counted = server.metrics.registry.get_sample_value
        drops = [frame.verdict.drop_reason for frame in frames if frame.verdict.outcome == types_pb2.OUTCOME_DROPPED]
        assert [frame.index for frame in frames] == list(range(60))
        assert drops
        assert types_pb2.DROP_REASON_UNSPECIFIED not in drops
        assert counted("acfd_frames_total", {"outcome": "dropped"}) == len(drops)
        assert eventually(lambda: is_quiet(server))


def test_one_sees_the_statistics_of_ones_own_streams(tiny_model: Path, clip: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    ann, bob = ({"metadata": (("authorization", f"Bearer {add_token(tokens, name)}"),)} for name in ("ann", "bob"))
    hold = threading.Event()
    with serving(tiny_model, access=AccessConfig(tokens=tokens)) as server, calling(server) as stub:
        call = stub.Track(sending(clip.read_bytes(), stream_pb2.TrackConfig(name="hers"), until=hold), **ann)
        stream_id = next(call).start.stream_id
        assert next(call).results.frames
        mine = stub.GetStreamStats(face_track_pb2.GetStreamStatsRequest(), **ann).streams
        assert [(stats.stream_id, stats.name) for stats in mine] == [(stream_id, "hers")]
        assert mine[0].info.display_size.width == 128
        assert list(stub.GetStreamStats(face_track_pb2.GetStreamStatsRequest(), **bob).streams) == []
        request = face_track_pb2.GetStreamStatsRequest(stream_id=stream_id)
        assert stub.GetStreamStats(request, **ann).streams[0].stream_id == stream_id
        assert failure(lambda: stub.GetStreamStats(request, **bob))[0] is grpc.StatusCode.NOT_FOUND
        hold.set()
        answers = list(call)
        assert answers[-1].end.is_complete


def test_the_page_shows_the_pictures_of_a_stream_whose_owner_allows_it(tiny_model: Path, clip: Path) -> None:
    def look(stream_id: str) -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            connection.request("GET", f"/streams/{stream_id}/overlay.jpg")
            answer = connection.getresponse()
            return answer.status, answer.read()

    hold, looked = threading.Event(), threading.Event()
    with serving(tiny_model, metrics="127.0.0.1:0") as server, calling(server) as stub:
        assert server.dashboard is not None
        port = server.dashboard.port
        hidden = stub.Track(sending(clip.read_bytes(), until=hold))
        assert look(next(hidden).start.stream_id)[0] == 404
        shown = stub.Track(sending(clip.read_bytes(), stream_pb2.TrackConfig(shows_overlay=True), until=looked))
        stream_id = next(shown).start.stream_id
        look(stream_id)
        looked.set()
        assert next(shown).results.frames
        assert eventually(lambda: look(stream_id)[1][:2] == b"\xff\xd8")
        hold.set()
        assert list(hidden)[-1].end.is_complete
        assert list(shown)[-1].end.is_complete
