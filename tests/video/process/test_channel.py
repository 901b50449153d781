"""What comes from a decoder process is checked: it may have been taken over by what it decodes."""

from __future__ import annotations

import fcntl
import os
import pickle
import socket
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.types import Picture, PixelFormat, PlaneArray
from acfd_stream.video.process.channel import Channel
from acfd_stream.video.process.slots import SlotReader, SlotWriter, Written
from acfd_stream.video.web import WebRules, WebUrl, rules_of


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, Channel(other)


def test_messages_and_descriptors_come_over(ends: tuple[socket.socket, Channel], tmp_path: Path) -> None:
    sender, receiver = Channel(ends[0]), ends[1]
    (path := tmp_path / "a").write_text("here")
    with path.open() as file:
        sender.send(("frame", Fraction(1, 24), VideoConfig(), b"x" * 10**5), [file.fileno(), file.fileno()])
    message = receiver.receive()
    descriptors = receiver.take_descriptors()
    assert message == ("frame", Fraction(1, 24), VideoConfig(), b"x" * 10**5)
    assert [os.pread(each, 4, 0) for each in descriptors] == [b"here", b"here"]
    assert receiver.take_descriptors() == []
    for each in descriptors:
        os.close(each)


def test_descriptors_stay_with_their_messages_when_several_are_read_at_once(tmp_path: Path) -> None:
    one, other = socket.socketpair()
    sender, receiver = Channel(one), Channel(other, 2**14)
    with one, other:
        for number in range(6):
            path = tmp_path / str(number)
            path.write_text(str(number))
            with path.open() as file:
                sender.send((number, b"x" * 10**number), [file.fileno()] if number % 2 else [])
        for number in range(6):
            found, data = receiver.receive()
            descriptors = receiver.take_descriptors()
            assert (found, len(data), len(descriptors)) == (number, 10**number, number % 2)
            for each in descriptors:
                assert os.pread(each, 4, 0) == str(number).encode()
                os.close(each)


def test_descriptors_that_no_message_claims_are_closed(ends: tuple[socket.socket, Channel]) -> None:
    data = pickle.dumps("x")
    for _ in range(4):
        socket.send_fds(ends[0], [struct.pack("<IB", len(data), 0) + data], [0, 0, 0])
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        ends[1].receive()
    with pytest.raises(EOFError, match="without a message"):
        ends[1].receive()
    assert len(os.listdir("/proc/self/fd")) == before


def test_descriptors_that_nobody_takes_are_closed() -> None:
    before = len(os.listdir("/proc/self/fd"))
    one, other = socket.socketpair()
    sender, receiver = Channel(one), Channel(other)
    for message in ("not taken", "last"):
        sender.send(message, [0, 0])
    assert receiver.receive() == "not taken"
    assert len(os.listdir("/proc/self/fd")) == before + 4
    assert receiver.receive() == "last"
    assert len(os.listdir("/proc/self/fd")) == before + 4
    receiver.close()
    sender.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_descriptors_of_a_message_that_announces_more_are_closed(ends: tuple[socket.socket, Channel]) -> None:
    data, before = pickle.dumps("x"), len(os.listdir("/proc/self/fd"))
    socket.send_fds(ends[0], [struct.pack("<IB", len(data), 3) + data], [0])
    with pytest.raises(EOFError):
        ends[1].receive()
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_enum_comes_over_from_a_python_that_pickles_it_by_getattr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PixelFormat, "__reduce_ex__", lambda self, _: (getattr, (type(self), self.name)))
    one, other = socket.socketpair()
    with one, other:
        Channel(one).send(("frame", PixelFormat.NV12, Fraction(1, 24)))
        assert Channel(other).receive() == ("frame", PixelFormat.NV12, Fraction(1, 24))


def test_the_rules_of_a_url_come_over(ends: tuple[socket.socket, Channel]) -> None:
    rules = WebRules(("https",), ("a.example",), "public", Path("/ca.pem"))
    Channel(ends[0]).send(("open", WebUrl.under("https://a.example/a.mkv", rules)))
    _, url = ends[1].receive()
    assert (url, rules_of(url)) == ("https://a.example/a.mkv", rules)


@pytest.mark.parametrize(
    "data",
    [pickle.dumps(os.system), pickle.dumps(Path), pickle.dumps(np.zeros(3)), b"no pickle", pickle.dumps("x")[:-1]],
    ids=["function", "class", "array", "no message", "cut"],
)
def test_a_message_builds_nothing_but_what_it_may_hold(data: bytes, ends: tuple[socket.socket, Channel]) -> None:
    ends[0].sendall(struct.pack("<IB", len(data), 0) + data)
    with pytest.raises(EOFError):
        ends[1].receive()


def test_a_message_has_a_longest_length(ends: tuple[socket.socket, Channel]) -> None:
    ends[0].sendall(struct.pack("<IB", 2**31, 0))
    with pytest.raises(EOFError, match="2147483648 bytes"):
        ends[1].receive()


def picture(side: int = 64) -> Picture:
    planes = tuple(np.arange(size * size, dtype=np.uint8).reshape(size, size) for size in (side, side // 2, side // 2))
    return Picture(planes, PixelFormat.YUV420P, (side, side))


def taken(reader: SlotReader, written: Written) -> tuple[PlaneArray, ...]:
    return reader.planes(written, [] if written.descriptor is None else [written.descriptor])


def test_a_slot_is_used_again_when_its_last_view_is_gone() -> None:
    writer, reader = SlotWriter(), SlotReader()
    first = writer.write(picture())
    assert first.descriptor is not None
    planes = taken(reader, first)
    assert all(np.array_equal(one, other) for one, other in zip(planes, picture().planes, strict=True))
    part = planes[1][3:, 3:]
    del planes
    assert reader.take_freed() == []
    del part
    assert reader.take_freed() == [first.number]
    writer.give_back([first.number])
    again = writer.write(picture())
    assert (again.number, again.descriptor) == (first.number, None)
    writer.give_back([again.number])
    larger = writer.write(picture(256))
    assert larger.descriptor is not None
    os.close(larger.descriptor)
    assert (larger.number, writer.dropped) == (2, [1])


def test_a_slot_that_is_too_small_or_may_shrink_is_refused() -> None:
    written = SlotWriter().write(picture())
    assert written.descriptor is not None
    with pytest.raises(ValueError, match="smaller than its picture"):
        SlotReader().planes(written._replace(size=written.size + 1), [os.dup(written.descriptor)])
    shape, dtype, strides = written.planes[0]
    for offset, stride in ((written.size - 8, strides), (0, (written.size, 1)), (0, (-64, 1)), (0, (2**62, 2**62))):
        beyond = written._replace(offsets=(offset,), planes=((shape, dtype, stride),))
        with pytest.raises((ValueError, TypeError)):
            SlotReader().planes(beyond, [os.dup(written.descriptor)])
    with pytest.raises(OSError, match="not permitted"):
        os.ftruncate(written.descriptor, 0)
    os.close(written.descriptor)
    open_to_shrinking = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.ftruncate(open_to_shrinking, written.size)
    assert fcntl.fcntl(open_to_shrinking, fcntl.F_GET_SEALS) == 0
    with pytest.raises(ValueError, match="smaller than its picture"):
        SlotReader().planes(written, [open_to_shrinking])
