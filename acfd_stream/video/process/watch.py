"""Ends a decoder that reads on without a picture: FFmpeg's parsers and probes have no bound of their own.

FFmpeg is in C code all that time and cannot be stopped there. So the process reports why, and ends.

A packet of the video is the sign of life. Between two of them a sound video may have long stretches of sound, large
attachments, an index, or one large picture. So what is bounded is what is *held*: bytes that were read while the memory
grew. A picture of known size may hold as much as it has without compression. Before the first one, attachments of
Matroska and the index of an MP4 may be larger.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from acfd_stream.video import ebml
from acfd_stream.video.process.ffmpeg_memory import shared_bytes
from acfd_stream.video.process.limits import DecoderLimits

_POLL_SECONDS = 0.1
_CHECKED_BYTES = 2**18  # read between two looks at the memory
_PIXEL_BYTES = 8  # of RGBA with 16 bits
_BEGINNING_BYTES = 256 * 2**20  # of attachments, of an index, or of a first picture without compression
_URL_FACTOR = 4  # of a URL the bytes are not known, and a decoder takes memory of its own as it begins
_HEAD_BYTES = 16
# Containers that say how long each of their parts is; others leave it to a parser to find the end of a picture.
_SIZED_HEADS = (ebml.SIGNATURE, b"RIFF", b"\x06\x0e\x2b\x34", b"\x30\x26\xb2\x75", b"FLV", b"nut/", b"YUV4MPEG2")
_SIZED_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def memory_bytes(process_id: int | str = "self") -> int:
    """Memory that a process alone holds, without files and shared memory; 0: it is gone."""
    try:
        with open(f"/proc/{process_id}/statm", "rb") as file:
            fields = file.read().split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * _PAGE_BYTES


def is_stopped(process_id: int) -> bool:
    """Whether a signal or a debugger has stopped a process."""
    try:
        with open(f"/proc/{process_id}/stat", "rb") as file:
            return file.read().rpartition(b")")[2][1:2] in (b"T", b"t")
    except OSError:
        return False


class DecoderWatch:
    """Watches the decoder of this process.

    Args:
        limits: what it may take.
        end: called, on any thread, with why the decoder must end; does not return.
        counts_bytes: the source tells of its reads; a URL does not.
    """

    def __init__(self, limits: DecoderLimits, end: Callable[[str], None], *, counts_bytes: bool) -> None:
        self._limits, self._end, self._counts_bytes = limits, end, counts_bytes
        self._pixels = 0  # of the largest picture that came
        self._head = b""
        self._read_bytes = 0  # since the last packet
        self._checked_at = 0
        self._memory = memory_bytes() + shared_bytes()
        self._seconds = time.process_time()

    def start(self) -> None:
        """Watch from a thread of its own, too."""
        threading.Thread(target=self._poll, name="acfd-watch", daemon=True).start()

    def note_packet(self) -> None:
        """A packet of the video came, or the next one is wanted after decoding."""
        self._read_bytes = self._checked_at = 0
        self._memory = 0  # measured with the next check
        self._seconds = time.process_time()

    def note_picture(self, pixels: int) -> None:
        """A picture came."""
        self._pixels = max(self._pixels, pixels)

    def note_read(self, data: bytes) -> None:
        """Bytes were read."""
        if len(self._head) < _HEAD_BYTES:
            self._head += data[:_HEAD_BYTES]
        self._read_bytes += len(data)
        if self._read_bytes - self._checked_at >= _CHECKED_BYTES:
            self._checked_at = self._read_bytes
            self.check()

    def check(self) -> None:
        """End the decoder if it is beyond a limit."""
        limits, memory = self._limits, memory_bytes() + shared_bytes()
        if not self._memory:
            self._memory = memory
        grown, most = memory - self._memory, self._most_held()
        if self._counts_bytes:
            is_held = self._read_bytes > most and grown > most // 2
        else:
            is_held = grown > max(_URL_FACTOR * limits.held_bytes, most)
        if is_held:
            self._end(f"no picture in {(self._read_bytes or grown) >> 20} MiB; the limit is held_bytes")
        if self._read_bytes > limits.silent_bytes:
            self._end(f"no picture in {self._read_bytes >> 20} MiB; the limit is silent_bytes")
        if time.process_time() - self._seconds > limits.silent_seconds:
            self._end(f"no picture in {limits.silent_seconds:g} s of decoding; the limit is silent_seconds")

    def _most_held(self) -> int:
        held = self._limits.held_bytes
        if self._pixels:
            return max(held, _PIXEL_BYTES * self._pixels)
        is_sized = self._head.startswith(_SIZED_HEADS) or self._head[4:8] in _SIZED_BOXES or not self._counts_bytes
        return max(held, _BEGINNING_BYTES if is_sized else 0)

    def _poll(self) -> None:
        while True:
            time.sleep(_POLL_SECONDS)
            self.check()
