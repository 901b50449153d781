"""Sends a file at the speed of a camera: the bytes of each frame at its time, and not before."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from acfd_stream.client.faststart import Layout
from acfd_stream.errors import MediaError

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

_ALONE = {"protocol_whitelist": "none"}  # what a playlist names is not sent


@dataclass(frozen=True)
class Due:
    """Bytes that are sent together: one frame, and what follows it up to the next frame."""

    seconds: float  # after the first
    end: int  # total bytes sent by then
    pts: int | None


def schedule(path: str | Path, fps: float | None = None) -> tuple[Layout, list[Due]]:
    """The send time of the bytes of a video.

    Args:
        path: a file.
        fps: frames per second; None: that of the file.

    Raises:
        MediaError: the file cannot be read, or has no video.
    """
    import av

    layout = Layout.of(Path(path))
    try:
        with open(path, "rb") as file, av.open(file, "r", options=_ALONE) as container:
            if not container.streams.video:
                raise MediaError(f"{path} has no video in it")
            stream = container.streams.video[0]
            base = Fraction(stream.time_base or Fraction(1, 1000))
            packets = [
                (layout.sent_offset(packet.pos), packet.dts, packet.pts)
                for packet in container.demux(stream)
                if packet.pos is not None and packet.pos >= 0 and packet.size
            ]
    except av.FFmpegError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}") from error
    if not packets:
        raise MediaError(f"{path} does not have the positions of its frames; it cannot be sent at its own speed")
    packets.sort(key=lambda packet: packet[0])
    ends = [offset for offset, _, _ in packets[1:]] + [layout.total_bytes]
    first = next((dts for _, dts, _ in packets if dts is not None), 0)
    dues: list[Due] = []
    seconds = 0.0
    for number, ((_, dts, pts), end) in enumerate(zip(packets, ends, strict=True)):
        decode_seconds = seconds if dts is None else float((dts - first) * base)
        seconds = number / fps if fps is not None else max(seconds, decode_seconds)
        dues.append(Due(seconds, end, pts))
    return layout, dues


class PacedMedia:
    """The bytes of a video, each frame at its time. ``sent_at`` has the times at which they were sent."""

    def __init__(
        self, layout: Layout, dues: list[Due], *, longest_seconds: float | None = None, begin_at: float | None = None
    ) -> None:
        """Send ``layout`` by ``dues``.

        Args:
            layout: of the file.
            dues: from ``schedule``.
            longest_seconds: maximum time; None: until the end of the file.
            begin_at: send time of the first frame, ``time.perf_counter``; None: when the iteration begins.
        """
        self._layout = layout
        self._dues = dues
        self._longest = longest_seconds
        self._begin_at = begin_at
        self._stopped = threading.Event()
        self.sent_at: dict[int, float] = {}  # pts → time.perf_counter when its bytes were returned

    def stop(self) -> None:
        """End now; safe from any thread."""
        self._stopped.set()

    def __call__(self) -> Iterator[bytes]:
        """The bytes; each step waits until they are due."""
        begin = time.perf_counter() if self._begin_at is None else self._begin_at
        take = _Taker(self._layout.pieces())
        for due in self._dues:
            if self._longest is not None and due.seconds >= self._longest:
                return
            wait = begin + due.seconds - time.perf_counter()
            if wait > 0 and self._stopped.wait(wait):
                return
            if due.pts is not None:
                self.sent_at[due.pts] = time.perf_counter()
            yield from take.until(due.end)


def paced(path: str | Path, fps: float | None = None) -> Iterator[bytes]:
    """The bytes of a video at its own speed, or at ``fps`` frames per second.

    Raises:
        MediaError: as ``schedule``.
    """
    layout, dues = schedule(path, fps)
    return PacedMedia(layout, dues)()


class _Taker:
    """Cuts a sequence of pieces at given offsets."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = b""
        self._taken = 0

    def until(self, end: int) -> Iterator[bytes]:
        """The next bytes before the offset ``end``, counted from the start."""
        while self._taken < end:
            if not self._piece:
                self._piece = next(self._pieces, b"")
                if not self._piece:
                    return
            cut = min(len(self._piece), end - self._taken)
            piece, self._piece = self._piece[:cut], self._piece[cut:]
            self._taken += cut
            yield piece


def live_copy(source: Path, target: Path) -> Path:
    """``source`` encoded like a live stream, without frames that depend on later ones.

    Raises:
        MediaError: it cannot be read or written.
    """
    import av

    try:
        with (
            open(source, "rb") as file,
            av.open(file, "r", options=_ALONE) as film,
            av.open(f"file:{target}", "w", format="matroska") as copy,
        ):
            pictures = film.streams.video[0]
            stream = add_live_stream(copy, (pictures.height, pictures.width), pictures.average_rate)
            for frame in film.decode(pictures):
                frame.pict_type = av.video.frame.PictureType.NONE
                copy.mux(stream.encode(frame))
            copy.mux(stream.encode(None))
    except (av.FFmpegError, OSError, IndexError) as error:
        raise MediaError(f"cannot encode {source} for a live stream: {error}") from error
    return target


def add_live_stream(container: OutputContainer, size: tuple[int, int], rate: Fraction | int | None) -> VideoStream:
    """A stream of ``container`` for frames of ``size`` (height, width), encoded like a live stream."""
    stream = container.add_stream("libx264", rate=rate, options={"preset": "veryfast", "tune": "zerolatency"})
    stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
    return stream
