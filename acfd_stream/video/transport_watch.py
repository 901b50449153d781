"""Finds where the video of a transport stream goes on with another PID, program or codec.

FFmpeg shows no stream that appears behind the first megabytes, and decodes another codec on the same PID as the one
before. So the stream is cut there, and the demuxer begins anew behind it. Source: ISO/IEC 13818-1, 2.4.4.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from acfd_stream.video.boundaries import ENDLESS, Boundary

_PACKET = 188
STRIDES = (188, 192, 204)
"""Bytes from packet to packet: plain; with a time in front (M2TS); with check bytes behind (DVB)."""
SYNC = 0x47
"""The first byte of a packet."""
_VIDEO_TYPES = {0x01, 0x02, 0x10, 0x1B, 0x20, 0x24, 0x33, 0x42, 0xD1, 0xD2, 0xD4, 0xEA}
_PRIVATE_TYPE, _AV1 = 0x06, b"AV01"
_ALL, _STARTS = 1, 2  # of the packets of a PID: all, as of a table, or those that begin a picture
_SCRAMBLED_RUN = 8  # scrambled packets of a stream, one behind the other, that are no damage of their heads
_SILENT_PICTURES = 64
"""Pictures of a stream that appeared, without one of the followed stream, after which that has ended."""

_Stream: TypeAlias = tuple[int, int]  # PID and stream type


@dataclass(slots=True)
class _Section:
    """A table of one PID: its bytes so far, and the packets that they came in."""

    data: bytearray = field(default_factory=bytearray)
    packets: list[bytes] = field(default_factory=list)
    parsed: bytes = b""
    parsed_packets: bytes = b""
    parsed_at: int = 0  # offset of its first packet
    begins_at: int = 0


@dataclass(slots=True)
class _Follower:
    """Finds the stream that continues another one."""

    followed: _Stream
    candidate: _Stream | None = None  # appeared after the last picture of the followed one
    begin: int = 0  # offset of its first picture
    pictures: int = 0
    beside: set[_Stream] = field(default_factory=set)  # streams with pictures between those of the followed one

    def note(self, offset: int, stream: _Stream, listed: frozenset[_Stream]) -> bool:
        """Note the beginning of a picture; whether the candidate continues the followed stream from ``begin`` on."""
        if stream == self.followed:
            if self.candidate is not None:
                self.beside.add(self.candidate)
                self.candidate = None
        elif self.candidate is None and stream not in self.beside:
            self.candidate, self.begin, self.pictures = stream, offset, 0
        self.pictures += stream == self.candidate
        is_over = self.followed not in listed or self.pictures >= _SILENT_PICTURES
        return self.candidate is not None and is_over


def transport_layout(head: bytes) -> tuple[int, int] | None:
    """(offset, distance) of the sync bytes of a transport stream; None: it is none."""
    for stride in STRIDES:
        for offset in range(min(stride, max(0, len(head) - 2 * stride))):
            places = range(offset, len(head), stride)
            if len(places) >= 3 and all(head[place] == SYNC for place in places):
                return offset, stride
    return None


class TransportWatch:
    """Looks for the end of the followed video stream.

    Nothing is cut before ``follow``: what was read up to then is judged there.

    Args:
        layout: offset and distance of the packets.
    """

    known_end = ENDLESS

    def __init__(self, layout: tuple[int, int]) -> None:
        self._offset, self._stride = layout  # the offset moves on with what was scanned
        self._tail = b""
        self._end = 0
        self._sections: dict[int, _Section] = {0: _Section()}
        self._programs: dict[int, set[_Stream]] = {}  # PID of a program's table → its video streams
        self._watched = np.zeros(8192, np.uint8)  # by PID: _ALL, _STARTS, or neither
        self._watched[0] = _ALL
        self._has_new_pids = False
        self._types: dict[int, int] = {}  # PID → type in the last table that lists it
        self._listed: frozenset[_Stream] = frozenset()
        self._follower: _Follower | None = None
        self._pictures: list[tuple[int, _Stream, frozenset[_Stream]]] = []  # before ``follow``
        self._scrambled: dict[int, tuple[int, int]] = {}  # PID → scrambled packets of late; offset of the last
        self._scrambled_to: dict[int, deque[int]] = {}  # PID → where scrambled spans end

    @property
    def keep_from(self) -> int:
        """All before ``follow``; then the first picture of a stream that may continue the followed one."""
        if self._follower is None:
            return 0
        return self._end - len(self._tail) if self._follower.candidate is None else self._follower.begin

    @property
    def strange_bytes(self) -> int:
        """Bytes at the end of scrambled streams, where the followed one is listed no more."""
        if self._follower is None or self._follower.followed in self._listed:
            return 0
        return _PACKET * sum(self._scrambled.get(pid, (0, 0))[0] for pid, _ in self._listed)

    @property
    def skip_to(self) -> int:
        """All bytes have to be seen."""
        return self._end

    def fresh(self) -> TransportWatch:
        """For the bytes from a packet on."""
        return TransportWatch((0, self._stride))

    def scan(self, start: int, data: bytes) -> Boundary | None:
        """The first picture of the stream that continues the followed one."""
        window = self._tail + data
        begin = start - len(self._tail)
        self._end = start + len(data)
        for offset, packet in self._packets(window, begin):
            boundary = self._note(offset, packet)
            if boundary is not None:
                return boundary
        return None

    def at_end(self) -> Boundary | None:
        """The stream that began after the last followed picture, however few pictures it has."""
        return None if self._follower is None else self._boundary(self._follower)

    def follow(self, pid: int) -> Boundary | None:
        """Follow the stream of this PID, or the first of those that it continues; a boundary in what was read."""
        pictures, self._pictures = self._pictures, []
        streams = list(dict.fromkeys(stream for _, stream, _ in pictures))
        wanted = next((stream for stream in streams if stream[0] == pid), (pid, self._types.get(pid, -1)))
        first = next((stream for stream in streams if wanted in _chain(stream, pictures)), wanted)
        self._follower = _Follower(first)
        for picture in pictures:
            if self._follower.note(*picture):
                return self._boundary(self._follower)
        return None

    @property
    def followed_pid(self) -> int | None:
        """PID of the followed stream."""
        return None if self._follower is None else self._follower.followed[0]

    def _boundary(self, follower: _Follower) -> Boundary | None:
        stream, end = follower.candidate, follower.begin
        if stream is None:
            return None
        tables = [pid for pid, streams in self._programs.items() if stream in streams]
        prefix = b"".join(self._sections[pid].parsed_packets for pid in [0, *tables])
        if stream[0] == follower.followed[0] and tables:
            # With the table of the new codec FFmpeg would take the last picture for one of it.
            end = min(end, self._sections[tables[0]].parsed_at)
        return Boundary(end, follower.begin, prefix, stream[0])

    # Packets

    def _packets(self, window: bytes, begin: int) -> Iterator[tuple[int, bytes]]:
        """Offset and bytes (with those of the layout around it) of each packet that matters."""
        place, stride = self._offset - begin, self._stride
        while True:
            count = max(0, len(window) - place) // stride
            rows = np.frombuffer(window, np.uint8, count * stride, place).reshape(count, stride)
            is_lost = rows[:, 0] != SYNC
            whole = int(np.argmax(is_lost)) if is_lost.any() else count
            self._note_scrambled(begin + place, rows[:whole])
            for index in self._matters(rows[:whole]):
                at = place + index * stride
                yield begin + at, window[at : at + stride]
            place += whole * stride
            if whole == count:
                break
            found = window.find(bytes([SYNC]), place + 1)
            place = len(window) if found < 0 else found
        self._offset, self._tail = begin + place, window[place:]

    def _note_scrambled(self, offset: int, rows: NDArray[np.uint8]) -> None:
        is_scrambled = rows[:, 3] & 0xC0 != 0
        if not self._scrambled and not is_scrambled.any():
            return
        loaded = np.flatnonzero(rows[:, 3] & 0x10)
        pids = (rows[loaded, 1] & 0x1F).astype(np.uint16) << 8 | rows[loaded, 2]
        for pid in {*self._scrambled, *pids[is_scrambled[loaded]].tolist()}:
            run, last = self._scrambled.pop(pid, (0, 0))
            for index in loaded[pids == pid].tolist():
                if is_scrambled[index]:
                    run, last = run + 1, offset + index * self._stride
                    continue
                if run >= _SCRAMBLED_RUN:
                    self._scrambled_to.setdefault(pid, deque()).append(last)
                run = 0
            if run:
                self._scrambled[pid] = run, last

    def take_scrambled(self, offset: int) -> bool:
        """Whether a scrambled span of the followed stream ends before ``offset``; False after the first call."""
        spans, is_passed = self._scrambled_to.get(self.followed_pid or 0), False
        while spans and spans[0] < offset:
            spans.popleft()
            is_passed = True
        return is_passed

    def _matters(self, rows: NDArray[np.uint8]) -> Iterator[int]:
        first = rows[:, 1]
        pids = (first & 0x1F).astype(np.uint16) << 8 | rows[:, 2]
        kinds = np.where(first & 0x40, _ALL | _STARTS, _ALL)
        begin = 0
        while begin < len(rows):
            self._has_new_pids = False
            found = np.flatnonzero(self._watched[pids[begin:]] & kinds[begin:]) + begin
            begin = len(rows)
            for index in found.tolist():
                yield index
                if self._has_new_pids:  # a table in this packet named them
                    begin = index + 1
                    break

    def _note(self, offset: int, packet: bytes) -> Boundary | None:
        pid, is_start = (packet[1] & 0x1F) << 8 | packet[2], bool(packet[1] & 0x40)
        skipped = 5 + packet[4] if packet[3] & 0x20 else 4
        payload = packet[skipped:_PACKET] if packet[3] & 0x10 else b""
        if pid in self._sections:
            self._note_table(pid, offset, packet, payload, is_start=is_start)
        elif is_start and payload.startswith(b"\0\0\1"):
            picture = offset, (pid, self._types[pid]), self._listed
            if self._follower is None:
                self._pictures.append(picture)
            elif self._follower.note(*picture):
                return self._boundary(self._follower)
        return None

    # Tables

    def _note_table(self, pid: int, offset: int, packet: bytes, payload: bytes, *, is_start: bool) -> None:
        section = self._sections[pid]
        if is_start and payload:
            section.data, section.packets, section.begins_at = bytearray(payload[1 + payload[0] :]), [], offset
        elif not section.packets:
            return
        else:
            section.data += payload
        section.packets.append(packet)
        if len(section.data) < 3:
            return
        size = 3 + ((section.data[1] & 0x0F) << 8 | section.data[2])
        if len(section.data) < size:
            return
        data = bytes(section.data[:size])
        is_new = data != section.parsed and size >= 12 and data[5] & 1 and _crc(data) == 0
        if is_new:
            section.parsed, section.parsed_packets = data, b"".join(section.packets)
            section.parsed_at = section.begins_at
            self._read_programs(data) if pid == 0 else self._read_streams(pid, data)
            self._listed = frozenset[_Stream]().union(*self._programs.values())
        section.packets = []

    def _read_programs(self, data: bytes) -> None:
        places = range(8, len(data) - 4, 4)
        tables = {(data[at + 2] & 0x1F) << 8 | data[at + 3] for at in places if data[at] or data[at + 1]}
        for gone in set(self._programs) - tables:
            del self._programs[gone]
        for pid in tables:
            self._sections.setdefault(pid, _Section())
            self._watch(pid, _ALL)

    def _watch(self, pid: int, packets: int) -> None:
        self._has_new_pids = self._has_new_pids or self._watched[pid] != packets
        self._watched[pid] = packets

    def _read_streams(self, pid: int, data: bytes) -> None:
        streams: set[_Stream] = set()
        place = 12 + ((data[10] & 0x0F) << 8 | data[11])
        while place + 5 <= len(data) - 4:
            kind, stream = data[place], (data[place + 1] & 0x1F) << 8 | data[place + 2]
            size = (data[place + 3] & 0x0F) << 8 | data[place + 4]
            if kind in _VIDEO_TYPES or (kind == _PRIVATE_TYPE and _AV1 in data[place + 5 : place + 5 + size]):
                streams.add((stream, kind))
                self._types[stream] = kind
                self._watch(stream, _STARTS)
            place += 5 + size
        self._programs[pid] = streams


def _chain(stream: _Stream, pictures: list[tuple[int, _Stream, frozenset[_Stream]]]) -> list[_Stream]:
    """This stream and those that continue it one after the other."""
    chain, follower = [stream], _Follower(stream)
    for picture in pictures:
        if follower.note(*picture) and follower.candidate is not None:
            chain.append(follower.candidate)
            follower = _Follower(follower.candidate)
    return chain if follower.candidate is None else [*chain, follower.candidate]


def _crc(data: bytes) -> int:
    """The CRC of a section with its CRC: 0 if it is whole. Source: ISO/IEC 13818-1, Annex A."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ (0x04C11DB7 if register & 0x80000000 else 0)) & 0xFFFFFFFF
    return register
