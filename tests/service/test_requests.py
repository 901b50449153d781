"""What a stream's config asks of the engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from acfd_stream.config import DetectConfig, TrackConfig
from acfd_stream.errors import ConfigError
from acfd_stream.pipeline.checkpoint import FORMAT
from acfd_stream.pipeline.live_input_size import LiveInputSize
from acfd_stream.service.requests import read_request
from acfd_stream.service.settings import ServiceSettings
from acfd_stream.v1 import stream_pb2


def engine(threads: int, device: str = "cpu") -> Any:
    spec = SimpleNamespace(name="acfd-n")
    return SimpleNamespace(config=DetectConfig(batch=4, threads=threads), spec=spec, device=device)


@pytest.mark.parametrize(("threads", "device", "batch"), [(1, "cuda", 4), (1, "cpu", 1), (2, "cpu", 2), (16, "cpu", 4)])
def test_a_file_hands_over_as_many_pictures_as_are_looked_at_at_once(threads: int, device: str, batch: int) -> None:
    config = stream_pb2.TrackConfig(mode=stream_pb2.STREAM_MODE_FILE)
    assert read_request(config, ServiceSettings(), engine(threads, device)).queue.batch == batch


def test_a_stream_may_say_the_score_from_which_tracks_start() -> None:
    config = stream_pb2.TrackConfig(mode=stream_pb2.STREAM_MODE_LIVE)
    for score, wanted in ((None, TrackConfig.start_score), (0.7, 0.7), (0.0, 0.0)):
        if score is not None:
            config.min_score = score
        track = read_request(config, ServiceSettings(), engine(2)).track
        assert (track.start_score, track.fills_gaps) == (wanted, False)
    config.min_score = 1.5
    with pytest.raises(ConfigError, match=r"min_score must be in \[0, 1\], got 1.5"):
        read_request(config, ServiceSettings(), engine(2))


def test_the_slices_of_a_live_frame_are_decoded_on_several_cores_and_files_beside_each_other() -> None:
    modes = {stream_pb2.STREAM_MODE_LIVE: 0, stream_pb2.STREAM_MODE_FILE: 1}
    for mode, threads in modes.items():
        request = read_request(stream_pb2.TrackConfig(mode=mode), ServiceSettings(), engine(2))
        assert request.video.threads == threads


class Opener:
    """A signer that finds a stream's state in any token."""

    def __init__(self, size: int) -> None:
        self._size = size

    def unpack(self, token: bytes) -> dict[str, Any]:
        """A state that was seen at the size."""
        rest: dict[str, Any] = {"model": {}, "media": {}, "stream": {"next_index": 3}, "handed_out": 3}
        return {"format": FORMAT, "settings": {"detect.size": self._size}, "ready": [], "swallowed": 0, **rest}


@pytest.mark.parametrize(
    ("mode", "asked", "objective", "had", "side"),
    [
        (stream_pb2.STREAM_MODE_LIVE, 0, 0.05, None, 384),
        (stream_pb2.STREAM_MODE_LIVE, 0, 0.1, None, 0),  # there is time enough
        (stream_pb2.STREAM_MODE_LIVE, 512, 0.05, None, 0),  # it is what the client wants
        (stream_pb2.STREAM_MODE_FILE, 0, 0.05, None, 0),
        (stream_pb2.STREAM_MODE_LIVE, 0, 0.05, 448, 448),  # begun on a quicker machine
        (stream_pb2.STREAM_MODE_LIVE, 0, 0.05, 512, 0),
        (stream_pb2.STREAM_MODE_LIVE, 0, 0.05, 100, 384),  # no live view: the session refuses the token itself
    ],
)
def test_live_frames_are_seen_as_the_machine_can_unless_the_stream_says_or_began_otherwise(
    mode: int, asked: int, objective: float, had: int | None, side: int
) -> None:
    config = stream_pb2.TrackConfig(mode=mode, detect=stream_pb2.DetectConfig(size=asked))
    config.objective.FromMilliseconds(round(objective * 1e3))
    signer: Any = None
    if had is not None:
        config.resume_token, signer = b"token", Opener(had)
    request = read_request(config, ServiceSettings(), engine(2), signer, LiveInputSize(384, enough_seconds=0.08))
    assert request.view_side == side
