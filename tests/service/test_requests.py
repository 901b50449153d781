"""What a stream's config asks of the engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from acfd_stream.config import DetectConfig
from acfd_stream.service.requests import read_request
from acfd_stream.service.settings import ServiceSettings
from acfd_stream.v1 import stream_pb2


def engine(threads: int, device: str = "cpu") -> Any:
    spec = SimpleNamespace(name="acfd-n")
    return SimpleNamespace(config=DetectConfig(batch=4, threads=threads), spec=spec, device=device)


@pytest.mark.parametrize(("threads", "device", "batch"), [(1, "cuda", 4), (1, "cpu", 1), (2, "cpu", 2), (16, "cpu", 4)])
def test_a_file_hands_over_as_many_pictures_as_are_looked_at_at_once(threads: int, device: str, batch: int) -> None:
    config = stream_pb2.TrackConfig(mode=stream_pb2.STREAM_MODE_FILE)
    assert read_request(config, ServiceSettings(), engine(threads, device)).lane.batch == batch


def test_the_slices_of_a_live_frame_are_decoded_on_several_cores_and_files_beside_each_other() -> None:
    modes = {stream_pb2.STREAM_MODE_LIVE: 0, stream_pb2.STREAM_MODE_FILE: 1}
    for mode, threads in modes.items():
        request = read_request(stream_pb2.TrackConfig(mode=mode), ServiceSettings(), engine(2))
        assert request.video.threads == threads
