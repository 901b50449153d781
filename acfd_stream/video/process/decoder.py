"""The caller's side of a decoder process: opens a source there, and gives its frames here."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any, BinaryIO

from acfd_stream import errors
from acfd_stream.config import VideoConfig
from acfd_stream.errors import DecoderError, DecoderMemoryError, MediaError
from acfd_stream.types import Closeable, Gap, MediaInfo, Picture
from acfd_stream.video.bytestream import ByteStream
from acfd_stream.video.decode_position import DecodePosition, LossCounts
from acfd_stream.video.device_planes import DevicePlanes, device_planes
from acfd_stream.video.frame import Frame
from acfd_stream.video.nvdec import choose_decoder
from acfd_stream.video.origin import bytes_reader, source_name
from acfd_stream.video.process.channel import Channel
from acfd_stream.video.process.child import FRAMES_TOLD, Order
from acfd_stream.video.process.fork_server import FORK_SERVER, STOPPED, STOPPED_SECONDS, TOO_MUCH_MEMORY
from acfd_stream.video.process.limits import DecoderLimits
from acfd_stream.video.process.sent_bytes import Sender
from acfd_stream.video.process.served_file import FileServer
from acfd_stream.video.process.slots import SlotReader, Written
from acfd_stream.video.readahead import FrameSource
from acfd_stream.video.source import Source, open_video

_GIVES_WAY = 10  # niceness: where CPU time is short, a tenth of what others get
_EXIT_SECONDS = 5.0  # until the fork server says how a decoder ended
_RAISED = ("MediaError", "ResumeError", "ConfigError", "ShapeError", "RunnerError", "BackendUnavailable")


class DecoderProcess(Closeable):
    """A process that decodes one video; it begins with ``open`` and is killed by ``close``, wherever it stands.

    Args:
        limits: what it may take; None: the defaults.
        on_failure: called when it fails, with "crash", "memory" or "stuck".
    """

    def __init__(
        self, limits: DecoderLimits | None = None, on_failure: Callable[[str], None] = lambda cause: None
    ) -> None:
        self._limits, self.on_failure = limits or DecoderLimits(), on_failure
        self._turn = threading.Lock()
        self._is_closed = False
        self._stream: ByteStream | None = None
        self._channel: Channel | None = None
        self._lifeline: socket.socket | None = None

    def open(self, source: Source, config: VideoConfig | None = None, device: str = "cpu") -> FrameSource:
        """As ``open_video``; a source that NVDEC decodes stays in this process, for its pictures are on the GPU.

        Args:
            source: a file object is read by this process where it has no descriptor.
            config: range, threads and caps, and what decodes.
            device: the device for the planes of its pictures.

        Raises:
            MediaError, BackendUnavailable: as ``open_video``.
            DecoderError: the process ended, or ``close`` was called.
            DecoderMemoryError: the video needs more than the limit.
        """
        config = config or VideoConfig()
        if choose_decoder(config.decoder, device).name == "nvdec":
            return open_video(source, config, device)
        planes = device_planes() if device == "cuda" else None
        name = source_name(source)
        try:
            self._start(source, name, replace(config, decoder="cpu"))
            return RemoteVideo(self, name, planes)
        except BaseException:
            self.release()
            raise

    def give_way(self) -> None:
        """Give live videos CPU time first; before ``open``."""
        self._limits = replace(self._limits, niceness=_GIVES_WAY)

    def _start(self, source: Source, name: str, config: VideoConfig) -> None:
        self._stream = source if isinstance(source, ByteStream) else None
        if isinstance(source, str | bytes | os.PathLike):
            self._order("name", os.fsdecode(source), config, None)
            return
        named = "" if name == "<stream>" else name
        descriptor = None if isinstance(source, ByteStream) else _descriptor(source)
        if descriptor is not None:
            self._order("file", named, config, descriptor)
            return
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise _not_started(name, error) from error
        serve = partial(Sender, source) if isinstance(source, ByteStream) else partial(FileServer, source)
        with theirs, ExitStack() as rollback:
            rollback.callback(ours.close)
            self._order("bytes" if isinstance(source, ByteStream) else "served", named, config, theirs.fileno())
            serve(ours)
            rollback.pop_all()

    def _order(self, kind: str, name: str, config: VideoConfig, descriptor: int | None) -> None:
        with self._turn:
            if self._is_closed:
                raise DecoderError(f"{name}: its decoder was stopped")
            try:
                started = FORK_SERVER.start_decoder(self._limits.memory_bytes, descriptor)
                self._channel, self._lifeline = started
            except (EOFError, OSError) as error:
                raise _not_started(name, error) from error
        self.send(("open", *Order(kind, name, config, self._limits).message))

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a message; where the process is gone, the next ``receive`` says so."""
        if self._channel is not None:
            with suppress(EOFError):
                self._channel.send(message)

    def receive(self, name: str) -> Any:
        """The next message.

        Raises:
            DecoderError: the process of the video ``name`` has ended.
        """
        try:
            if self._channel is None:
                raise EOFError
            return self._channel.receive()
        except EOFError as error:
            raise self._ended(name) from error

    def take_descriptors(self) -> list[int]:
        """See ``Channel.take_descriptors``."""
        return [] if self._channel is None else self._channel.take_descriptors()

    def _ended(self, name: str) -> DecoderError:
        """How the process ended."""
        said = ""
        with suppress(OSError):
            if self._lifeline is not None and not self._is_closed:
                self._lifeline.settimeout(_EXIT_SECONDS)
                said = self._lifeline.recv(64).decode("ascii", "replace")
        if said == TOO_MUCH_MEMORY:
            return self.memory_error(name)
        if not self._is_closed:
            self.on_failure("crash")
        code = int(said) if said.lstrip("-").isdigit() else 0
        how = f"with exit code {code}" if said else "early"
        if code < 0:
            known = {number.value: number.name for number in signal.Signals}
            how = f"by {known.get(-code, f'signal {-code}')}"
        if said == STOPPED:
            how = f"because a signal had stopped it for {STOPPED_SECONDS:g} s"
        return DecoderError(f"{name}: the decoder process ended {how}")

    def memory_error(self, name: str) -> DecoderMemoryError:
        """The error of a video that needs too much memory."""
        self.on_failure("memory")
        return DecoderMemoryError(f"{name}: the video needs more than {self._limits.memory_bytes >> 20} MiB to decode")

    def close(self) -> None:
        """Kill the process; from any thread, and more than once. Wakes a thread in ``receive``, and who feeds bytes."""
        with self._turn:
            self._is_closed = True
            if self._channel is not None:
                self._channel.shut()
            if self._lifeline is not None:
                self._lifeline.close()
        if self._stream is not None:  # at last: to the decoder it is the end of the bytes, which it would answer
            self._stream.leave()

    def release(self) -> None:
        """Close the channel, too; no thread may be in ``receive`` or ``send``."""
        self.close()
        if self._channel is not None:
            self._channel.close()


def _not_started(name: str, error: Exception) -> DecoderError:
    return DecoderError(f"{name}: no decoder process can be started ({error}); try again")


def _descriptor(file: BinaryIO) -> int | None:
    """The descriptor of ``file``, at its position; None: it has none."""
    bytes_reader(file)  # it must be a file
    try:
        descriptor = file.fileno()
        if file.seekable():
            os.lseek(descriptor, file.tell(), os.SEEK_SET)
    except (AttributeError, OSError):
        return None
    return descriptor


class RemoteVideo(Closeable):
    """The frames of a video that another process decodes; as ``VideoSource``, whose properties these are.

    Args:
        process: was given the order.
        name: of the video, in messages.
        planes: brings pictures to the GPU; None: they stay in host memory.

    Raises:
        MediaError, DecoderError: as ``DecoderProcess.open``.
    """

    def __init__(self, process: DecoderProcess, name: str, planes: DevicePlanes | None = None) -> None:
        self.warnings: list[str] = []
        self.error: str | None = None
        self.gaps: list[Gap] = []
        self.last_seconds: Fraction | None = None
        self.is_complete = False
        self.is_at_position = True
        self.info: MediaInfo
        self.loss_counts: LossCounts
        self._process, self._name, self._planes = process, name, planes
        self._slots = SlotReader()
        self._form: Any = None  # of the last picture: its fields, the size of a slot, its planes
        self._turn = threading.RLock()
        self._position: DecodePosition | None = None
        self._next_index = 0
        self._taken = 0  # frames that the decoder was not told of
        self._is_begun = self._is_over = self._is_cancelled = False
        self._last = (0, Fraction(0))  # pts and time base of the last frame
        kind, *content = process.receive(name)
        if kind == "info":
            self.info, self.loss_counts = content
        elif kind == "stuck":
            process.on_failure("stuck")
            raise MediaError(f"{name}: {content[0]}")
        else:
            raise self._raised(kind, content)

    def resume_after(self, position: DecodePosition | None, next_index: int) -> None:
        """See ``VideoSource.resume_after``."""
        self._position, self._next_index, self.is_at_position = position, next_index, position is None

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        with self._turn:
            frame = None
            try:
                if not self._is_over:
                    self._begin()
                    frame = self._received()
            except DecoderError:
                if not self._is_cancelled:  # else it is a consequence of ``close``
                    raise
            finally:
                if frame is None:
                    self._release()
            if frame is None or self._is_cancelled:
                self._release()
                raise StopIteration
            return frame

    def close(self) -> None:
        """Kill the decoder; may be called twice, and from another thread."""
        self._is_cancelled = True
        self._process.close()
        with self._turn:
            self._release()

    def _release(self) -> None:
        self._is_over = True
        self._process.release()
        self._slots.close()

    def _begin(self) -> None:
        if not self._is_begun:
            self._is_begun, position = True, self._position
            place = None
            if position is not None:
                place = (position.index, position.pts, position.is_pts_filled, position.loss_counts)
            self._process.send(("go", place, self._next_index))

    def _received(self) -> Frame | None:
        """The next frame; None at the end, which is noted."""
        while True:
            kind, *content = self._process.receive(self._name)
            if kind == "frame":
                return self._frame(content)
            if kind == "ask":
                self._reply(content)
            elif kind == "end":
                self._note_end(*content)
                return None
            elif kind == "stuck":
                self._process.on_failure("stuck")
                pts, time_base = self._last
                self.error = f"breaks off after {float(pts * time_base):.3f} s: {content[0]}"
                return None
            else:
                raise self._raised(kind, content)

    def _frame(self, content: list[Any]) -> Frame:
        fields, counts, *about = content
        picture = self._picture(about)
        index, pts, is_filled, arrived, waited, work, is_damaged, seams = fields
        self._taken += 1
        if self._taken == FRAMES_TOLD:
            self._process.send(("more", self._taken, self._slots.take_freed()))
            self._taken = 0
        if self._planes is not None:
            picture = self._planes.upload(picture)
        self.loss_counts, self.is_at_position = counts or self.loss_counts, True
        time_base = self.info.time_base
        self._last = pts, time_base
        return Frame(index, pts, time_base, picture, is_filled, arrived, waited, work, "", is_damaged, seams)

    def _reply(self, about: list[Any]) -> None:
        """Whether a picture is the one at the position to resume from."""
        picture = self._picture(about)
        is_picture = self._position is not None and self._position.is_picture(picture)
        del picture
        self._process.send(("answer", is_picture))
        self._process.send(("more", 0, self._slots.take_freed()))

    def _picture(self, about: list[Any]) -> Picture:
        form, memory, number, offsets, dropped = about
        self._form = form or self._form
        self._slots.forget(dropped)
        try:
            (pixel_format, size, bit_depth, *colors), memory_size, layouts = self._form
            written = Written(memory, memory_size, number, offsets, layouts, None)
            planes = self._slots.planes(written, self._process.take_descriptors())
        except (OSError, TypeError, ValueError, KeyError, OverflowError) as error:
            raise DecoderError(f"{self._name}: the decoder process gave no picture ({error})") from error
        return Picture(planes, pixel_format, size, bit_depth, *colors)

    def _note_end(self, *outcome: Any) -> None:
        self.warnings, self.gaps, self.error, self.is_complete, self.last_seconds, *rest = outcome
        self.is_at_position, self.loss_counts = rest

    def _raised(self, kind: str, content: list[Any]) -> Exception:
        """The error that the decoder raised."""
        if kind == "raise" and content[0] == "MemoryError":
            return self._process.memory_error(self._name)
        if kind == "raise" and content[0] in _RAISED:
            error: Exception = getattr(errors, content[0])(content[1])
            return error
        return DecoderError(f"{self._name}: the decoder process sent what nobody understands")
