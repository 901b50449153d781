from __future__ import annotations

import io
from pathlib import Path

import pytest

from acfd_stream.video.origin import hide_secrets, source_name


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("http://user:secret@host:8080/a/b.mp4?token=abc#part", "http://host:8080/a/b.mp4"),
        (b"https://user:se@cret@host/b.mp4", "https://host/b.mp4"),
        ("rtsp://secret@[::1]:554/live?key=a/b@c", "rtsp://[::1]:554/live"),
        ("http://host?token=abc", "http://host"),
        ("http://host/a@b.mp4", "http://host/a@b.mp4"),
        ("file:///folder/what?#1.mp4", "file:///folder/what?#1.mp4"),
        ("folder/what?#1@home.mp4", "folder/what?#1@home.mp4"),
        (Path("what?.mp4"), "what?.mp4"),
        (io.BytesIO(), "<stream>"),
    ],
)
def test_a_source_is_called_what_it_is_but_for_its_secrets(source: str | bytes | Path | io.BytesIO, name: str) -> None:
    assert source_name(source) == name


def test_a_text_loses_the_secrets_of_its_urls() -> None:
    text = "given rtsp://user:se@cret@camera/a, then http://h/b?token=c and file:///a?b.mp4"
    assert hide_secrets(text) == "given rtsp://camera/a, then http://h/b and file:///a?b.mp4"
