"""What a decoder process does: it opens a source, and sends its frames as far as the caller takes them.

Messages from here: ``info``; ``frame`` and ``ask`` with a picture; at last ``end``, ``stuck`` or ``raise``.
Messages from the caller: ``open``, ``go``, ``more`` for frames it took, ``answer``.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from acfd_stream.config import VideoConfig
from acfd_stream.errors import AcfdError
from acfd_stream.types import Picture
from acfd_stream.video.decode_position import DecodePosition
from acfd_stream.video.frame import Frame
from acfd_stream.video.process.channel import Channel
from acfd_stream.video.process.ffmpeg_memory import FFmpegMemory
from acfd_stream.video.process.limits import SHARED_PARTS, DecoderLimits
from acfd_stream.video.process.sent_bytes import SentBytes, WatchedFile
from acfd_stream.video.process.served_file import ServedFile
from acfd_stream.video.process.slots import SlotWriter
from acfd_stream.video.process.watch import DecoderWatch
from acfd_stream.video.source import Source, VideoSource, open_video

FRAMES_AHEAD = 3
"""Frames that a decoder sends before the caller has taken one."""
FRAMES_TOLD = 2
"""Frames after which the caller says that it took them: each message wakes this process."""
_SEND_SECONDS = 1.0


@dataclass(frozen=True)
class Order:
    """What to decode, for a message."""

    kind: str  # "name": a path or URL; "file": an open file; a socket of "bytes" or of a "served" file
    name: str
    config: VideoConfig
    limits: DecoderLimits

    @property
    def message(self) -> tuple[str, str, VideoConfig, DecoderLimits]:
        """The fields."""
        return self.kind, self.name, self.config, self.limits


def decode(channel: Channel, descriptor: int | None) -> None:
    """Decode what the first message of ``channel`` orders, from ``descriptor`` if it is not a name."""
    logging.disable()  # a log names videos, which the caller decides
    with suppress(EOFError):  # the caller is gone
        _, *fields = channel.receive()
        _Child(channel, Order(*fields), descriptor).run()


class _Child:
    def __init__(self, channel: Channel, order: Order, descriptor: int | None) -> None:
        self._channel, self._order, self._descriptor = channel, order, descriptor
        self._slots = SlotWriter(FFmpegMemory.of_size(order.limits.memory_bytes // SHARED_PARTS))
        self._credit = FRAMES_AHEAD
        self._answer: bool | None = None
        self._said: list[Any] = [None, None]  # what is sent only when it changes
        self._sending = threading.Lock()
        counts_bytes = order.kind != "name"
        self._watch = DecoderWatch(order.limits, self._end_stuck, counts_bytes=counts_bytes)

    def run(self) -> None:
        """Open, and iterate."""
        os.nice(self._order.limits.niceness)  # before any thread: each one has its own
        self._watch.start()
        try:
            with open_video(self._source(), self._order.config, on_packet=self._watch.note_packet) as video:
                height, width = video.info.display_size
                self._watch.note_picture(height * width)
                self._send(("info", video.info, video.loss_counts))
                self._run(video)
        except AcfdError as error:
            public = next(kind for kind in type(error).__mro__ if kind.__module__ == AcfdError.__module__)
            self._send(("raise", public.__name__, str(error)))
        except MemoryError:
            self._send(("raise", "MemoryError", ""))

    def _source(self) -> Source:
        order, descriptor, watch = self._order, self._descriptor, self._watch
        if descriptor is None:
            return order.name
        if order.kind == "bytes":
            return SentBytes(socket.socket(fileno=descriptor), watch.note_read)
        read: Any = (
            ServedFile(socket.socket(fileno=descriptor)) if order.kind == "served" else os.fdopen(descriptor, "rb")
        )
        file: Any = WatchedFile(read, order.name, watch.note_read)
        return file  # type: ignore[no-any-return]  # as much of a BinaryIO as is read

    def _run(self, video: VideoSource) -> None:
        _, place, next_index = self._channel.receive()
        if place is not None:
            index, pts, is_pts_filled, counts = place
            video.resume_after(DecodePosition(index, pts, is_pts_filled, counts, self._is_picture), next_index)
        for frame in video:
            self._send_frame(frame, video)
        outcome = (video.warnings, video.gaps, video.error, video.is_complete, video.last_seconds)
        self._send(("end", *outcome, video.is_at_position, video.loss_counts))

    def _send_frame(self, frame: Frame, video: VideoSource) -> None:
        height, width = frame.picture.stored_size
        self._watch.note_picture(height * width)
        self._take_messages(lambda: self._credit > 0)
        self._credit -= 1
        times = (frame.arrived_at, frame.ingest_seconds, frame.decode_seconds)
        fields = (frame.index, frame.pts, frame.is_pts_filled, *times, frame.is_damaged, frame.seams)
        self._send_picture(("frame", fields, self._changed(0, video.loss_counts)), frame.picture)

    def _send_picture(self, about: tuple[Any, ...], picture: Picture) -> None:
        written = self._slots.write(picture)
        dropped, self._slots.dropped = self._slots.dropped, []
        descriptors = [] if written.descriptor is None else [written.descriptor]
        form = self._changed(1, (picture_fields(picture), written.size, written.planes))
        self._send((*about, form, written.memory, written.number, written.offsets, dropped), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)

    def _changed(self, place: int, value: object) -> object:
        """``value``; None if it is what was sent before: building it there takes longer than all else in a message."""
        if self._said[place] == value:
            return None
        self._said[place] = value
        return value

    def _is_picture(self, picture: Picture) -> bool:
        """Ask the caller, which alone knows the picture of the position."""
        self._answer = None
        self._send_picture(("ask",), picture)
        self._take_messages(lambda: self._answer is not None)
        return bool(self._answer)

    def _take_messages(self, is_enough: Callable[[], bool]) -> None:
        """Take the messages that are there, and wait for more until ``is_enough``."""
        while not is_enough() or select.select([self._channel], [], [], 0)[0]:
            kind, *content = self._channel.receive()
            if kind == "answer":
                [self._answer] = content
            else:
                taken, freed = content
                self._slots.give_back(freed)
                self._credit += taken

    def _send(self, message: tuple[Any, ...], descriptors: Iterable[int] = ()) -> None:
        with self._sending:
            self._channel.send(message, descriptors)

    def _end_stuck(self, reason: str) -> None:
        """Say why, and end this process, whose main thread may be in C code."""
        if self._sending.acquire(timeout=_SEND_SECONDS):
            with suppress(EOFError):
                self._channel.send(("stuck", reason))
        os._exit(0)


def picture_fields(picture: Picture) -> tuple[Any, ...]:
    """The fields of a Picture besides its planes."""
    colors = (picture.color_matrix, picture.is_full_range, picture.rotation, picture.view_side)
    return (picture.pixel_format, picture.display_size, picture.bit_depth, *colors, picture.transfer, picture.primaries)
