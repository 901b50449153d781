"""Copies the sound of the source into an overlay: packets unchanged if MP4 can hold them, else as AAC."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction

from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Discard

from acfd_stream.config import VideoConfig
from acfd_stream.errors import MediaError
from acfd_stream.video.gate import close_input, open_input
from acfd_stream.video.interruptible import interruptible
from acfd_stream.video.origin import file_target, is_url

_PLAYED = {"aac", "mp3"}  # by every browser, in MP4
_COPIED = _PLAYED | {"ac3", "eac3", "alac", "opus", "flac"}
_AAC_RATES = {8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000}
SOUND_ERRORS = (FFmpegError, MediaError, OSError, ValueError, RuntimeError)


class NoSoundError(Exception):
    """The source has no sound stream, as many have none."""


class Sound:
    """The main sound stream of a file, written together with pictures of the same file.

    Args:
        path: file or URL, which the reader of the pictures has checked.
        is_for_browsers: encode again what some browser does not play.

    Raises:
        NoSoundError: the source has none.
        One of ``SOUND_ERRORS``: its sound cannot be read.
    """

    def __init__(self, path: str, *, is_for_browsers: bool = False) -> None:
        self._copied = _PLAYED if is_for_browsers else _COPIED
        self._is_remote = is_url(path)
        self._container = interruptible(lambda: _open_again(path)) if self._is_remote else _open_again(path)
        try:
            stream = self._container.streams.best("audio")
            if not isinstance(stream, AudioStream) or stream.codec_context is None:
                raise NoSoundError
            self._source = stream
            for other in self._container.streams:
                if other.index != stream.index:
                    other.discard = Discard.all
        except BaseException:
            close_input(self._container)
            raise

    def add_to(self, output: OutputContainer, begin: Fraction) -> None:
        """Make a stream for it in ``output``, in which ``begin`` seconds of the source are time 0."""
        codec = self._source.codec_context
        is_copied = codec.codec.canonical_name in self._copied
        if is_copied:
            self._target = output.add_stream_from_template(self._source)
        else:
            rate = codec.sample_rate if codec.sample_rate in _AAC_RATES else 48_000
            self._target = output.add_stream("aac", rate=rate, layout="mono" if codec.channels == 1 else "stereo")
        self._output = output
        self._begin = begin
        self._waiting: tuple[Fraction, Packet[AudioStream] | AudioFrame] | None = None
        self._encodes = not is_copied
        self._last_dts: int | None = None
        self._pieces = self._timed(self._packets() if is_copied else self._frames())
        self._seek(begin)

    def _seek(self, begin: Fraction) -> None:
        if begin > 10:  # nearer than that, reading forward is as fast, and exact in every container
            try:
                self._container.seek(int((begin - 5) / self._time_base), stream=self._source)
            except FFmpegError:
                return

    @property
    def _time_base(self) -> Fraction:
        return self._source.time_base or Fraction(1, 90_000)

    def write_until(self, seconds: Fraction) -> None:
        """Write the sound before ``seconds`` of the output."""
        while (piece := self._waiting or self._next_piece()) is not None:
            self._waiting = None
            if piece[0] >= seconds:
                self._waiting = piece
                return
            if piece[0] >= 0:
                self._write(piece[1])

    def _next_piece(self) -> tuple[Fraction, Packet[AudioStream] | AudioFrame] | None:
        try:
            if self._is_remote:
                return interruptible(lambda: next(self._pieces, None))
            return next(self._pieces, None)
        except SOUND_ERRORS:
            return None  # the sound ends at a break of the source

    def close(self) -> None:
        """Close the container."""
        close_input(self._container)

    def finish(self) -> None:
        """Write the packets that the encoder still holds."""
        if self._encodes:
            self._output.mux(self._target.encode(None))

    def _packets(self) -> Iterator[Packet[AudioStream]]:
        for packet in self._container.demux(self._source):
            if packet.size > 0 and packet.pts is not None:
                yield packet

    def _frames(self) -> Iterator[AudioFrame]:
        for packet in self._container.demux(self._source):
            try:
                yield from self._source.decode(packet)
            except FFmpegError:
                continue  # a broken packet is a short silence

    def _timed(
        self, pieces: Iterator[Packet[AudioStream]] | Iterator[AudioFrame]
    ) -> Iterator[tuple[Fraction, Packet[AudioStream] | AudioFrame]]:
        """Each piece with its time in the output, seconds, and its pts shifted to the output."""
        for piece in pieces:
            if piece.pts is None:
                continue
            time_base = piece.time_base or self._time_base
            shift = round(self._begin / time_base)
            piece.pts -= shift
            if piece.dts is not None:
                piece.dts -= shift
            yield piece.pts * time_base, piece

    def _write(self, piece: Packet[AudioStream] | AudioFrame) -> None:
        if isinstance(piece, AudioFrame):
            self._output.mux(self._target.encode(piece))
            return
        if piece.dts is None or (self._last_dts is not None and piece.dts <= self._last_dts):
            return  # MP4 cannot store a packet that goes back in time
        self._last_dts = piece.dts
        piece.stream = self._target
        self._output.mux(piece)


def _open_again(path: str) -> InputContainer:
    if is_url(path):
        return open_input(path, timeout=VideoConfig().url_timeout_seconds)
    if not os.path.isfile(path):
        raise ValueError("its source is no file and can be read only once")
    return open_input(file_target(path))
