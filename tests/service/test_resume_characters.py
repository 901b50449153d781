"""Characters of a stream that was cut: the same links and the same end, or a bounded part of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from acfd_stream.service.server import Server
from acfd_stream.service.streams import resume_point
from acfd_stream.v1 import stream_pb2, types_pb2
from tests.cli.test_client_characters import CORNERS, SHOT_FRAMES, clip
from tests.service.rig import calling, frames_of, plain_results, sending, serving
from tests.service.test_resume import EAGER, read_until

__all__ = ["clip"]
FILE, LIVE = stream_pb2.STREAM_MODE_FILE, stream_pb2.STREAM_MODE_LIVE
SHOTS = len(CORNERS)


@pytest.fixture(scope="module")
def eager(tiny_model: Path) -> Iterator[Server]:
    with serving(tiny_model, answers=EAGER) as running:
        yield running


def configured(mode: int = FILE, token: bytes = b"") -> Any:
    patient = Duration(seconds=20) if mode == LIVE else None
    return stream_pb2.TrackConfig(mode=mode, resume_token=token, with_characters=True, objective=patient)


@pytest.mark.parametrize(("mode", "cut"), [(FILE, 1), (FILE, SHOT_FRAMES + 3), (FILE, 60), (LIVE, SHOT_FRAMES)])
def test_a_stream_that_goes_on_links_its_tracks_as_if_nothing_had_been(
    eager: Server, clip: Path, mode: int, cut: int
) -> None:
    data = clip.read_bytes()
    with calling(eager) as stub:
        whole = list(stub.Track(sending(data, configured(mode))))
        before, point = read_until(stub.Track(sending(data, configured(mode))), cut)
        rest = list(stub.Track(sending(data, configured(mode, point.token))))
    assert before + plain_results(rest) == plain_results(whole)
    assert rest[-1].end == whole[-1].end
    assert sum(len(each.tracks) for each in rest[-1].end.characters) == rest[-1].end.track_count > 1
    assert any(frame.links for frame in frames_of(whole))


def test_a_token_that_is_too_large_leaves_the_characters_out(
    eager: Server, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume_point, "_TOKEN_SHARE", 0.0)
    data = clip.read_bytes()
    with calling(eager) as stub:
        whole = list(stub.Track(sending(data, configured())))
        before, point = read_until(stub.Track(sending(data, configured())), 3 * SHOT_FRAMES)
        rest = list(stub.Track(sending(data, configured(token=point.token))))
    assert [*map(track_ids, frames_of(whole))][len(before) :] == [*map(track_ids, frames_of(rest))]
    known = {track for each in rest[-1].end.characters for track in each.tracks}
    assert known < set(range(1, SHOTS + 1))
    assert SHOTS in known
    numbers = [each.number for each in rest[-1].end.characters]
    last = max(face.character for frame in map(parsed, before) for face in frame.faces)
    assert min(numbers) > last, "a number was used twice"


def parsed(frame: bytes) -> Any:
    return types_pb2.FrameResult.FromString(frame)


def track_ids(frame: Any) -> list[int]:
    return [face.track_id for face in frame.faces]
