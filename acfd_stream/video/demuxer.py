"""Gives the packets of its main video stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from typing import NoReturn

from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from acfd_stream.config import VideoConfig
from acfd_stream.errors import MediaError
from acfd_stream.types import Seam
from acfd_stream.video import encryption
from acfd_stream.video.boundaries import Boundary
from acfd_stream.video.container import (
    FALLBACK_RATE,
    NoVideoError,
    UnreadableError,
    best_stream,
    coding_of,
    duration_of,
    frame_rate_of,
    open_container,
    set_up_decoder,
    unwatched,
)
from acfd_stream.video.foreign import container_behind
from acfd_stream.video.gate import close_input, raise_failure
from acfd_stream.video.origin import BytesReader, SeekableReader, os_reason
from acfd_stream.video.packet_times import PictureNumbers, corrected
from acfd_stream.video.parts import PartsReader, in_parts
from acfd_stream.video.peek import Peek
from acfd_stream.video.repeats import repeats_behind, with_repeats
from acfd_stream.video.timeline import SeamPoint, Timeline, from_keyframe, is_end, new_packet, shown
from acfd_stream.video.unreadable import explanation

_LATEST_PTS = 2**62  # FFmpeg counts in 64 bits
_NO_TIMESTAMPS = 0x80  # AVFMT_NOTIMESTAMPS; PyAV's Flags refuse newer bits
# Containers that give the order of decoding only, from which FFmpeg invents presentation times that may be shuffled.
_WITHOUT_PTS = ("avi", "asf", "asf_o")
_ANIMATIONS = ("gif", "apng")
_NO_FOURCC = "\0\0\0\0"
_MPEG_FORMATS = ("mpegts", "mpeg")  # whose clocks wrap


class Demuxer:
    """The best video stream of a container, or of several that lie one behind the other in a file.

    It is read in stretches, each of which has a clock and a stream of its own: ``packets`` gives those of one, on one
    line of time, and ``next_stretch`` goes on to the next.

    Args:
        target: URL or ``file:…`` name; a reader for bytes.
        name: its name in messages.
        config: threads and caps.
        hardware: decodes instead of the CPU where it can.
        on_packet: called when a packet comes, and when the next one is wanted.

    Raises:
        MediaError: no container that FFmpeg knows, no video stream in it, or no decoder for that.
    """

    def __init__(
        self,
        target: str | BytesReader,
        name: str,
        config: VideoConfig,
        hardware: HWAccel | None = None,
        on_packet: Callable[[], None] = unwatched,
    ) -> None:
        self.name = name
        self._config, self._hardware, self._on_packet = config, hardware, on_packet
        try:
            self._target = in_parts(target)
        except OSError as error:
            raise MediaError(f"{name}: {os_reason(error)}") from error
        self._peek = Peek(target)
        self._encrypted: str | None = None  # why packets cannot be decoded
        self._reader = None if isinstance(self._target, str) else self._target
        self._container: InputContainer | None = None
        self.unread: str | None = None  # what behind the parts that were read is lost, in words
        self.arrived_at = self.taken_at = time.perf_counter()  # when the last packet arrived, and went on
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        try:
            self._open()
            if (kind := encryption.encryption_of(self._peek, self.stream.id)) is not None:
                raise MediaError(encryption.message(self.name, kind))
        except UnreadableError as error:
            raise MediaError(explanation(self._peek, self.name, None, str(error))) from error
        self.time_base: Fraction = self.stream.time_base or Fraction(1, 90_000)
        self._line = Timeline(
            self.time_base,
            1 / (self.frame_rate or FALLBACK_RATE),
            wraps=self.stream.container.format.name in _MPEG_FORMATS,
            has_dts=not self.is_matroska,
        )
        self._numbers = PictureNumbers()
        self._coding = coding_of(self.stream)
        self._is_continued = False  # the part before has the same coding
        self._start_stretch()

    def _start_stretch(self) -> None:
        self.seam: SeamPoint | None = None  # the last one that was met
        self.is_new_part = self._has_restarted = False  # new: no packet of it has been read
        self._pending: Packet[VideoStream] | None = None  # the first of the next stretch
        self._skip_to: int | None = None
        self._demuxed: Iterator[Packet[VideoStream]] | None = None
        self.last: Packet[VideoStream] | None = None  # with data

    def _open(self, stream_id: int | None = None) -> None:
        """Open the container of the part.

        Args:
            stream_id: of the stream to follow; None: the best.
        """
        try:
            self._container = open_container(self._target, self.name, self._config, self._hardware)
            self.raise_interrupt()
            self.stream = self._followed(stream_id)
            self._stream_id = self.stream.id
            set_up_decoder(self.stream, self.name, self._config)
        except BaseException:
            self.close_container()
            self.raise_interrupt()  # it is the cause of FFmpeg's error
            raise

    def _followed(self, stream_id: int | None) -> VideoStream:
        assert self._container is not None
        stream = best_stream(self._container, self.name, stream_id)
        if not isinstance(self._reader, PartsReader):
            return stream
        if (followed := self._reader.follow(stream.id)) is None:
            return stream
        if self._reader.was_read_over:  # FFmpeg has seen packets of the next part
            self.close_container()
            self._reader.begin_again()
            self._container = open_container(self._target, self.name, self._config, self._hardware)
            self.raise_interrupt()
        return best_stream(self._container, self.name, followed)

    @property
    def is_matroska(self) -> bool:
        """Whether it is Matroska or WebM, whose durations are exact; other containers estimate them."""
        return "matroska" in self.stream.container.format.name

    @property
    def is_bare(self) -> bool:
        """Whether it is a stream without a container, whose times FFmpeg invents from an assumed rate."""
        return bool(self.stream.container.format.flags & _NO_TIMESTAMPS)

    @property
    def has_pts(self) -> bool:
        """Whether the container itself says when pictures are shown, and not only in which order to decode them."""
        is_vfw = self.is_matroska and self.stream.codec_context.codec_tag != _NO_FOURCC
        return not (self.is_bare or is_vfw or self.stream.container.format.name in _WITHOUT_PTS)

    @property
    def is_animation(self) -> bool:
        """Whether it is an animated picture, which has a delay per picture and no rate."""
        return self.stream.container.format.name in _ANIMATIONS

    @property
    def has_durations(self) -> bool:
        """Whether the container stores how long each picture is shown; others leave it to FFmpeg's estimate."""
        return self.is_animation or self.is_matroska or "mp4" in self.stream.container.format.name

    @property
    def listed_packets(self) -> int:
        """Packets in the index of an MP4, without those that its edit list cuts away; 0: no such index."""
        return len(self.stream.index_entries) if "mp4" in self.stream.container.format.name else 0

    @property
    def duration_seconds(self) -> float | None:
        """As the header claims; None if it does not say."""
        return duration_of(self.stream, self._container)

    @property
    def frame_rate(self) -> Fraction | None:
        """Average frames per second, if known; for a raw stream the rate in its headers."""
        return frame_rate_of(self.stream, is_bare=self.is_bare, low_delay=self._config.low_delay)

    def close(self) -> None:
        """Close the container and stop the decoder's threads; may be called twice."""
        self.close_container()
        if isinstance(self._reader, PartsReader):
            self._reader.close()

    def close_container(self) -> None:
        """Close the container of the part."""
        container, self._container, self._demuxed = self._container, None, None
        if container is not None:
            close_input(container)
        if hasattr(self, "stream"):
            del self.stream  # the last reference to the decoder

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets of the stretch in the container's order, from the current position; the last one has no data or time.

        If the container has no pts, the pts is the dts; other empty packets repeat the picture before.

        Raises:
            READ_ERRORS: a read failed.
        """
        skip_to, self._skip_to = self._skip_to, None
        return self._read() if skip_to is None else from_keyframe(self._read(), skip_to)

    def _read(self) -> Iterator[Packet[VideoStream]]:
        if self._container is None:
            return
        if self._demuxed is None:
            self._demuxed = self._checked(self._until_cut(self._completed(self._container.demux(self.stream))))
        pending, self._pending = self._pending, None
        if pending is not None:
            self._place(pending, restarts=True)
            yield pending
        for packet in self._demuxed:
            if not is_end(packet):
                if self._has_restarted and packet.is_discard:  # FFmpeg does so with fragments of earlier times
                    packet = shown(packet)
                restarts = self._line.restarts(packet)
                if restarts and packet.is_keyframe:
                    self._has_restarted = True
                    self._pending = shown(packet) if packet.is_discard else packet
                    yield new_packet(b"")
                    return
                self._place(packet, restarts=restarts)
            yield packet

    def _checked(self, packets: Iterator[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
        has_pts = self.has_pts
        for packet in packets:
            self.raise_interrupt()
            if is_end(packet) and self._container is not None:
                raise_failure(self._container)
            self._note_arrival(packet)
            if packet.size and packet.has_sidedata("encryption_info"):
                self._refuse_encrypted(encryption.COMMON_ENCRYPTION)
            is_transport = self.stream.container.format.name == "mpegts"
            if is_transport and not packet.size and (kind := encryption.encryption_at_end(self._peek, self._stream_id)):
                self._refuse_encrypted(kind)
            if not has_pts:
                packet.pts = packet.dts
            self._numbers.correct(packet)
            if self._line.has_place(packet):
                yield packet

    def _completed(self, packets: Iterator[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
        """With the empty packets that FFmpeg leaves out, and the times that it knows only where it can seek."""
        name, is_matroska = self.stream.container.format.name, self.is_matroska
        if name == "avi" or is_matroska:
            behind = partial(repeats_behind, self._target, is_matroska=is_matroska)
            return with_repeats(packets, counts_chunks=name == "avi", behind=behind)
        return corrected(packets, self.stream, is_seekable=self.is_seekable)

    def _refuse_encrypted(self, kind: str) -> NoReturn:
        self._encrypted = encryption.message(self.name, kind)
        raise MediaError(f"from here on the video is encrypted ({kind})")

    def why_nothing(self, error: str) -> str:
        """``error``, that there is no frame, or what the source says of itself."""
        return self._encrypted or explanation(self._peek, self.name, self._stream_id, error)

    def _until_cut(self, packets: Iterator[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
        """The packets, also where the first bytes of the next part end the reading of this one with an error."""
        try:
            yield from packets
        except FFmpegError:
            if not isinstance(self._reader, PartsReader) or not self._reader.was_read_over:
                raise
            yield new_packet(b"")

    def is_behind_scrambled(self, packet: Packet[VideoStream]) -> bool:
        """Whether pictures before this one were scrambled; to be asked once for each packet in order."""
        return isinstance(self._reader, PartsReader) and self._reader.take_scrambled(packet.pos or 0)

    def _place(self, packet: Packet[VideoStream], *, restarts: bool) -> None:
        seam = self._line.place(packet, restarts=restarts)
        if self.is_new_part:
            self.is_new_part = False
            if seam is not None or not self._is_continued:
                self.seam = SeamPoint((Seam.STREAM,) if seam is None else (Seam.CLOCK, Seam.STREAM))
        elif seam is not None:
            self.seam = SeamPoint(seam.seams, None if packet.is_keyframe else seam.pts)

    def take_cuts(self) -> list[str]:
        """Warnings of parts that are cut short, since the last call."""
        return self._reader.take_cuts() if isinstance(self._reader, PartsReader) else []

    def next_stretch(self) -> bool:
        """Go on to what lies behind the end of ``packets``, after the decoder's last frame; False: nothing.

        Raises:
            READ_ERRORS: a read failed.
        """
        if self._pending is not None:
            self.stream.codec_context.flush_buffers()
            return True
        last = self.last.pos or 0 if self.last is not None else 0
        if not isinstance(self._reader, PartsReader):
            self.unread = container_behind(self._target, self.stream.container.format.name, last)
            return False
        while (boundary := self._reader.next_part()) is not None:
            self.raise_interrupt()
            if self._open_part(boundary):
                return True
        format_name = self.stream.container.format.name
        self.unread = self._reader.unread(last) or self.unread or container_behind(self._reader, format_name, last)
        return False

    def _open_part(self, boundary: Boundary) -> bool:
        before, container, stream = self._coding, self._container, self.stream
        self._container = None
        try:
            self._open(boundary.stream_id)
        except MediaError as error:
            self._container, self.stream = container, stream
            if not isinstance(error, NoVideoError):
                reason = str(error).removeprefix(f"{self.name}: ")
                self.unread = self.unread or f"the part that begins at byte {boundary.start} cannot be read: {reason}"
            return False
        if container is not None:
            container.close()
        self._coding = coding_of(self.stream)
        # Segments of one stream may each have a header.
        self._is_continued = boundary.stream_id is None and self._coding == before
        self._start_stretch()
        self.is_new_part = True
        self._line.begin_part(self.stream.time_base or self.time_base)
        return True

    def _note_arrival(self, packet: Packet[VideoStream]) -> None:
        self.arrived_at = self.taken_at = time.perf_counter()
        self.last = packet if packet.size else self.last
        self._on_packet()
        if self._reader is not None and packet.pos is not None and packet.pos >= 0:
            self._reader.forget_before(packet.pos)
            fed_at = self._reader.fed_at(packet.pos + packet.size)
            self.arrived_at = self.taken_at if fed_at is None else min(fed_at, self.taken_at)

    @property
    def is_seekable(self) -> bool:
        """Whether ``seek`` may be tried."""
        return self._container is not None and (self._reader is None or self._reader.is_seekable)

    @property
    def is_rereadable(self) -> bool:
        """Whether ``reopen`` gives the same bytes; what an address gives may change."""
        is_local = not isinstance(self._target, str) or self._target.startswith("file:")
        if not is_local or not self.is_seekable:
            return False
        try:
            self.seek(0)  # a named pipe refuses
        except FFmpegError:
            return False
        return True

    def seek(self, pts: int) -> None:
        """Go to a keyframe at or before ``pts``.

        Where clocks may restart unseen by FFmpeg, the packets before it are read, and not given.

        Raises:
            FFmpegError: the position has not changed.
        """
        assert self._container is not None
        if isinstance(self._reader, PartsReader) or self.stream.container.format.name == "mpeg":
            self.reopen()
            self._skip_to = pts
            return
        self._container.seek(min(pts, _LATEST_PTS), stream=self.stream)
        self._demuxed = self._pending = None
        self._line.forget()

    def reopen(self) -> None:
        """Begin again."""
        self.close_container()
        if isinstance(self._reader, PartsReader):
            self._reader.rewind()
        elif isinstance(self._reader, SeekableReader):
            self._reader.seek(0)
        self.unread = None
        self._begin()

    def raise_interrupt(self) -> None:
        """Raise a Ctrl-C that came while the demuxer was reading from a Python object."""
        if self._reader is not None and self._reader.interrupt is not None:
            raise self._reader.interrupt
