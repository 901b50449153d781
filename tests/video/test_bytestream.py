from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from acfd_stream.errors import ConfigError, MediaError
from acfd_stream.video import ByteStream


def in_thread(work: Callable[[], object]) -> Callable[[], object]:
    """Start ``work`` in a thread; calling the result waits for what it gives."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()

    def wait() -> object:
        thread.join(timeout=30)
        assert not thread.is_alive()
        return found[0]

    return wait


def refusal(stream: ByteStream) -> str:
    with pytest.raises(MediaError) as caught:
        stream.read(1)
    return str(caught.value)


def read_all(stream: ByteStream, size: int) -> bytes:
    return b"".join(iter(lambda: stream.read(size), b""))


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_bytes_come_out_as_they_went_in_and_never_too_many_wait(size: int) -> None:
    stream = ByteStream(5)
    data = bytes(range(200))
    feeding = in_thread(lambda: (stream.feed(data), stream.close()))
    got = b""
    while piece := stream.read(size):
        assert 1 <= len(piece) <= min(size, 5)
        assert stream.waiting_bytes <= 5
        got += piece
    feeding()
    assert got == data


def test_feeding_waits_until_there_is_room() -> None:
    stream = ByteStream(4)
    assert stream.feed(b"1234")
    feeding = in_thread(lambda: stream.feed(b"56"))
    assert stream.read(2) == b"12"
    assert feeding() is True
    stream.close()
    assert read_all(stream, 10) == b"3456"


def test_reading_waits_for_the_first_byte() -> None:
    stream = ByteStream()
    reading = in_thread(lambda: stream.read(10))
    stream.feed(b"x")
    assert reading() == b"x"


def test_abort_wakes_both_sides() -> None:
    full, empty = ByteStream(1), ByteStream()
    full.feed(b"1")
    feeding = in_thread(lambda: full.feed(b"2"))
    full.abort("enough")
    assert feeding() is False
    with pytest.raises(MediaError, match="enough"):
        full.read(1)
    reading = in_thread(lambda: refusal(empty))
    empty.abort("enough")
    assert reading() == "enough"


def test_a_feeder_goes_on_when_the_reader_has_left() -> None:
    stream = ByteStream(1)
    stream.feed(b"1")
    feeding = in_thread(lambda: stream.feed(b"234"))
    stream.leave()
    assert feeding() is False
    assert stream.waiting_bytes == 0


def test_feeding_after_the_end_is_an_error() -> None:
    stream = ByteStream()
    stream.close()
    with pytest.raises(MediaError, match="after its end"):
        stream.feed(b"1")
    with pytest.raises(ConfigError, match="capacity_bytes"):
        ByteStream(0)
