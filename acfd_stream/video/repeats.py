"""Empty packets that FFmpeg leaves out, each of which repeats the picture before: in AVI, and at the end of Matroska.

The demuxer puts them back, so that the decoder knows how long the last picture is shown, and that nothing is missing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import cast

from av.packet import Packet
from av.video.stream import VideoStream

from acfd_stream.video.container import READ_ERRORS
from acfd_stream.video.ebml import CLUSTER, LONGEST_HEAD, element_head
from acfd_stream.video.origin import BytesReader, SeekableFile, sought

_MOST_REPEATS = 100_000
_HEADER = struct.Struct("<4sI")  # name and size of a chunk
_STREAM_KINDS = (b"dc", b"db", b"wb", b"tx", b"pc", b"iv")  # behind the two digits of a stream
_GROUP, _TIMESTAMP, _SIMPLE_BLOCK, _BLOCK = 0xA0, 0xE7, 0xA3, 0xA1
_LACING = 0x06
_TOP_LEVEL_BITS = 25  # elements with longer ids are no part of a cluster


def with_repeats(
    packets: Iterator[Packet[VideoStream]], *, counts_chunks: bool, behind: Callable[[Packet[VideoStream]], list[int]]
) -> Iterator[Packet[VideoStream]]:
    """``packets`` with the empty ones that FFmpeg leaves out, as packets without data.

    Args:
        packets: as FFmpeg gives them; the last one has neither data nor a time.
        counts_chunks: a dts is the number of the chunk, so that numbers left out are empty chunks.
        behind: times of the empty packets behind the last packet with data, in units of the time base.
    """
    last: Packet[VideoStream] | None = None
    for packet in packets:
        if last is not None and last.dts is not None:
            times: list[int] | range = []
            if packet.size == 0 and packet.dts is None:
                times = behind(last)
            elif counts_chunks and packet.dts is not None and packet.dts - last.dts <= _MOST_REPEATS:
                times = range(last.dts + 1, packet.dts)
            for time in times:
                yield _repeat(time, 1 if counts_chunks else last.duration or 0)
        last = packet
        yield packet


def _repeat(time: int, duration: int) -> Packet[VideoStream]:
    packet = Packet()
    packet.pts = packet.dts = time
    packet.duration = duration
    return cast("Packet[VideoStream]", packet)


def repeats_behind(target: str | BytesReader, last: Packet[VideoStream], *, is_matroska: bool) -> list[int]:
    """Times of the empty packets behind ``last``, the last one with data.

    Args:
        target: URL or ``file:…`` name; a reader for bytes.
        last: in AVI or Matroska.
        is_matroska: False: it is AVI.
    """
    find = blocks_behind if is_matroska else chunks_behind
    try:
        with sought(target) as file:
            return [] if file is None else find(file, last)
    except READ_ERRORS:
        return []


def chunks_behind(file: SeekableFile, last: Packet[VideoStream]) -> list[int]:
    """Numbers of the empty chunks behind the last packet of an AVI, up to the index or the end of ``file``.

    Source: Microsoft, AVI RIFF File Reference: chunks have a name and a size and begin at even offsets.
    """
    offset = last.pos or 0
    file.seek(offset - _HEADER.size)
    name = file.read(4)
    position, count = offset + last.size + last.size % 2, 0
    while count < _MOST_REPEATS:
        file.seek(position)
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            break
        kind, length = _HEADER.unpack(head)
        if kind == name and length == 0:
            count += 1
        elif kind not in (b"JUNK", b"LIST") and not (kind[:2].isdigit() and kind[2:] in _STREAM_KINDS):
            break
        # A list groups chunks: its own follow its 12 bytes.
        position += 12 if kind == b"LIST" else _HEADER.size + length + length % 2
    number = last.dts or 0
    return list(range(number + 1, number + 1 + count))


def blocks_behind(file: SeekableFile, last: Packet[VideoStream]) -> list[int]:
    """Times of the empty blocks behind the last packet of a Matroska track, up to the end of the clusters.

    Source: RFC 9559, 10 (Block Structure).
    """
    offset = last.pos or 0
    file.seek(offset)
    head = file.read(4)
    if len(head) < 4 or not head[0] & 0x80 or head[3] & _LACING:
        return []
    cluster_time = (last.pts or 0) - _relative_time(head)
    position, found = offset + 4 + last.size, []
    for _ in range(_MOST_REPEATS):
        file.seek(position)
        found_head = element_head(file.read(LONGEST_HEAD))
        if found_head is None or (found_head.id.bit_length() >= _TOP_LEVEL_BITS and found_head.id != CLUSTER):
            break
        element, size, length = found_head
        body = position + length
        if element in (CLUSTER, _GROUP):
            position = body
        elif size is None:
            break
        else:
            position = body + size
        file.seek(body)
        if element == _TIMESTAMP:
            cluster_time = int.from_bytes(file.read(min(size or 0, 8)), "big")
        elif element in (_SIMPLE_BLOCK, _BLOCK) and size == 4:
            block = file.read(4)
            if block[:1] == head[:1] and len(block) == 4:
                found.append(cluster_time + _relative_time(block))
    return found


def _relative_time(block: bytes) -> int:
    return int.from_bytes(block[1:3], "big", signed=True)
