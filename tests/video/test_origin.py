from __future__ import annotations

import io
from pathlib import Path

import pytest

from acfd_stream.video.origin import RecentBytes, RecentFile, hide_secrets, source_name


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


def test_recent_bytes_are_a_file_from_the_offset_that_is_still_needed() -> None:
    recent = RecentBytes()
    for number in range(4):
        recent.add(bytes([number]) * 2**16)
    recent.forget_before(2 * 2**16 + 16)
    file = RecentFile(recent, 2**16)
    file.seek(2 * 2**16 - 1)
    assert file.read(2) == b"\2\3"
    file.seek(3 * 2**16 - 1)
    assert (file.read(9), file.read(9)) == (b"\3", b"")
    file.seek(0)
    assert file.read(9) == b"", "forgotten"


def test_recent_bytes_are_bounded() -> None:
    recent = RecentBytes()
    for _ in range(40):
        recent.add(bytes(2**20))
    assert recent.at(0, 1) == b""
