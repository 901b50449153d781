"""Which URLs the decoder opens itself, and which ones go to fsspec."""

from __future__ import annotations

import pytest

from acfd_stream.recording.remote import is_remote


@pytest.mark.parametrize("source", ["a.mkv", "file:///a.mkv", "https://host/a.mkv", "rtsp://host/a", "tcp://host:9000"])
def test_paths_and_protocols_of_ffmpeg_go_to_the_decoder(source: str) -> None:
    assert not is_remote(source)


@pytest.mark.parametrize("source", ["s3://bucket/a.mkv", "memory://a.mkv"])
def test_object_stores_go_to_fsspec(source: str) -> None:
    assert is_remote(source)
