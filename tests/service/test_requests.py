"""What a stream's config asks of the engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from acfd_stream.config import DetectConfig
from acfd_stream.service.requests import read_request
from acfd_stream.service.settings import ServiceSettings
from acfd_stream.v1 import stream_pb2


def engine(concurrency: int) -> Any:
    spec = SimpleNamespace(name="acfd-n")
    return SimpleNamespace(config=DetectConfig(batch=4), spec=spec, concurrency=concurrency)


@pytest.mark.parametrize(("concurrency", "batch"), [(1, 4), (2, 2), (16, 4)])
def test_a_file_hands_over_as_many_pictures_as_are_looked_at_at_once(concurrency: int, batch: int) -> None:
    config = stream_pb2.TrackConfig(mode=stream_pb2.STREAM_MODE_FILE)
    assert read_request(config, ServiceSettings(), engine(concurrency)).lane.batch == batch


def test_the_slices_of_a_live_frame_are_decoded_on_several_cores_and_files_beside_each_other() -> None:
    modes = {stream_pb2.STREAM_MODE_LIVE: 0, stream_pb2.STREAM_MODE_FILE: 1}
    for mode, threads in modes.items():
        request = read_request(stream_pb2.TrackConfig(mode=mode), ServiceSettings(), engine(2))
        assert request.video.threads == threads
