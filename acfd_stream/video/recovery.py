"""Decodes packets so that damage costs what depends on it, and gives the same frames on any number of threads.

FFmpeg's threads work on several pictures at once. Behind damage they race: what a picture is predicted from depends on
which thread is faster. Up to the first damage, in decoding order, they give what one thread gives. There are two ways:

- Fast: the decoder of the stream with its threads, told to report every error. The packets since the last keyframe are
  kept. At the first sign of damage nothing more is taken from it. Signs are an error, a frame marked corrupt, and a
  packet that the container marks.
- Steady: another decoder on one thread, which conceals damage. It begins at that keyframe, leaves out the frames that
  were given already, and goes on to the next clean keyframe, one whose packet gives the same picture when it is decoded
  by itself. From there the fast way is taken again.

VP8 is always decoded steadily, and HEVC on one thread: their decoders leave parts of damaged pictures out without a
sign. With more threads the result of such a damaged HEVC video may differ from run to run.

Frames behind a lost one, in decoding order and up to that keyframe, may be predicted from it and count as damaged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from fractions import Fraction

from av import VideoFrame
from av.video.stream import VideoStream

from acfd_stream.config import VideoConfig
from acfd_stream.video.packet_decoders import (
    DECODE_ERRORS,
    AvPacket,
    FastDecoder,
    NumberedPacket,
    SteadyDecoder,
    is_always_steady,
    is_by_itself,
    is_same_picture,
    steady_context,
)
from acfd_stream.video.size_limit import PictureSizeError, is_refused_for_size

KEPT_BYTES = 64 * 2**20
"""Packets since a keyframe that are kept at most."""


class CannotGoBackError(Exception):
    """The packets that are kept do not lead back to the frames that were given; ``given`` of them came so far."""

    def __init__(self, given: int) -> None:
        super().__init__(given)
        self.given = given


class RecoveringDecoder:
    """Packets of one stream to frames.

    Args:
        stream: its codec context decodes, with the threads that were set there; it is not open yet, or flushed.
        note_lost: called with each packet that is refused, when it is certain that no frame comes of it.
        is_prompt: no frame may wait for a later one; the stream's decoder has one thread, or slice threads where each
            packet gives its frame at once.
        skip: frames to leave out, which were given before; decodes steadily up to a clean keyframe if > 0.
        frame_pixels: pictures that are far larger are refused.
    """

    def __init__(
        self,
        stream: VideoStream,
        note_lost: Callable[[AvPacket], None],
        *,
        is_prompt: bool = False,
        skip: int = 0,
        frame_pixels: int = VideoConfig.frame_pixels,
    ) -> None:
        self._stream, self._note_lost, self._is_prompt = stream, note_lost, is_prompt
        self._frame_pixels = frame_pixels
        self._context = stream.codec_context
        self._fast: FastDecoder | None = None
        self._steady: SteadyDecoder | None = None
        self._fed = 0  # packets that came
        self._kept: list[NumberedPacket] = []  # since the keyframe whose frame was the first of the last frames given
        self._kept_bytes = 0
        self._is_whole = True  # the packets kept lead back to that keyframe, or to the beginning
        self._since, self._given = 0, skip  # frames given since then, and in all
        self._last: VideoFrame | None = None  # that was given
        self._until: int | None = None  # with this packet the frames that were given are decoded again
        self._is_gated = False  # the packets kept begin at a keyframe in mid-stream
        self._is_proven = False  # that keyframe is clean, and no frame but its own was given since
        self._is_always_steady = is_always_steady(self._context)
        if skip or self._is_always_steady:
            self._begin_steady(skip, is_gated=False)
        else:
            self._begin_fast(0)

    @property
    def pixel_aspect(self) -> Fraction | None:
        """Width of a pixel divided by its height, of the latest picture that was decoded; None or 0: not known."""
        return (self._context if self._steady is None else self._steady.context).sample_aspect_ratio

    def decode(self, packet: AvPacket | None) -> Iterator[VideoFrame]:
        """The frames that come of ``packet``; of None, the remaining ones.

        Raises:
            CannotGoBackError: there is damage, and too few packets were kept; see ``begin_anew``.
            PictureSizeError: the next picture is too large.
        """
        if self._context.is_hwaccel:
            yield from self._decode_on_device(packet)
            return
        item = None if packet is None else NumberedPacket(self._fed, packet.pts, packet)
        todo: deque[NumberedPacket | None] = deque([item])
        self._fed += 1
        while todo:
            item = todo.popleft()
            if item is not None:
                self._keep(item)
            again = yield from (self._fast_frames(item) if self._steady is None else self._steady_frames(item))
            todo.extendleft(reversed(again))
        if packet is None and self._steady is not None:
            self._report(self._steady.take_lost(None))

    def begin_anew(self) -> None:
        """Go on with the next packet, after CannotGoBackError where the source cannot be read again."""
        self._begin_steady(0, is_gated=False)
        assert self._steady is not None
        self._steady.begin_damaged(self._fed)

    def _decode_on_device(self, packet: AvPacket | None) -> Iterator[VideoFrame]:
        """By NVDEC, which has its own concealment and no threads."""
        had_size = self._context.width > 0
        try:
            yield from self._context.decode(packet)
        except DECODE_ERRORS as error:
            if is_refused_for_size(self._context, error, self._frame_pixels, had_size=had_size):
                raise PictureSizeError from error
            if packet is not None:
                self._note_lost(packet)

    def _keep(self, item: NumberedPacket) -> None:
        is_needed = (bool(self._kept) or (self._steady is None and self._is_whole)) and not self._is_always_steady
        if not is_needed and not item.packet.is_keyframe:
            return
        self._kept.append(item)
        self._kept_bytes += item.packet.size
        if self._kept_bytes > KEPT_BYTES:
            self._is_whole = False
            self._keep_only([])

    def _keep_only(self, kept: list[NumberedPacket]) -> None:
        self._kept, self._kept_bytes = kept, sum(item.packet.size for item in kept)

    # Fast

    def _begin_fast(self, skip: int) -> None:
        self._fast, self._steady, self._skip = FastDecoder(self._context, self._is_prompt), None, skip

    def _fast_frames(self, item: NumberedPacket | None) -> Generator[VideoFrame, None, list[NumberedPacket | None]]:
        """Frames; returns the packets that have to be decoded again."""
        assert self._fast is not None
        for number, frame in self._fast.decode(item):
            if self._skip:
                self._skip -= 1
            else:
                self._note_given(number, frame)
                yield frame
        if not self._fast.is_damaged:
            return []
        if not self._is_whole:
            if self._fast.is_end_uncertain:
                yield from (frame for _, frame in self._fast.rest())
                return []
            raise CannotGoBackError(self._given)
        again: list[NumberedPacket | None] = [*self._kept, *([None] if item is None else [])]
        self._begin_steady(self._since, is_gated=self._is_gated)
        if not self._is_proven:
            self._until = self._fed if item is None else item.number
        return again

    def _note_given(self, number: int, frame: VideoFrame) -> None:
        self._last, self._is_proven = frame, False
        self._given += 1
        self._since += 1
        place = self._place_of(number) if frame.key_frame else None
        if place is not None and self._kept[place].packet.is_keyframe:
            self._keep_only(self._kept[place:])
            self._since, self._is_gated, self._is_whole = 1, True, True

    def _place_of(self, number: int) -> int | None:
        """The place among the packets kept."""
        return next((place for place, kept in enumerate(self._kept) if kept.number == number), None)

    # Steady

    def _begin_steady(self, skip: int, *, is_gated: bool) -> None:
        self._steady = SteadyDecoder(steady_context(self._stream, self._frame_pixels), self._frame_pixels)
        self._skip = skip
        self._gate = self._kept[0] if is_gated else None
        self._until = None
        self._start = self._kept[0].number if self._kept else self._fed
        self._is_whole = True
        self._keep_only([])

    def _steady_frames(self, item: NumberedPacket | None) -> Generator[VideoFrame, None, list[NumberedPacket | None]]:
        """Frames; returns the packets that have to be decoded the fast way."""
        assert self._steady is not None
        for number, frame in self._steady.decode(item):
            if not self._is_new(number, frame):
                continue
            self._given += 1
            is_clean = self._is_clean_keyframe(frame, number)
            if is_clean:
                frame.opaque = None
            yield frame
            if is_clean and not self._is_always_steady:
                self._last = frame
                return self._go_on(item)
        if self._steady.is_too_large:
            raise PictureSizeError
        if self._until is not None and (item is None or item.number >= self._until):
            self._until = None
            if self._gate is not None or self._skip:
                raise CannotGoBackError(self._given)
        if not self._given and not self._steady.is_silent:
            self._report(self._steady.take_refused())
        return []

    def _is_new(self, number: int, frame: VideoFrame) -> bool:
        """Whether a frame of the steady decoder was not given before."""
        assert self._steady is not None
        if self._steady.is_silent and frame.is_corrupt and not self._given:
            return False  # a recording may begin before its first keyframe; other decoders do not show these
        if self._gate is not None:
            if number != self._gate.number:
                return False  # before the keyframe in display order
            self._steady.forget(kept for kept in self._kept if kept.is_leading(self._gate))
            self._gate = None
        if not self._skip:
            return True
        self._skip -= 1
        if self._skip or self._last is None or self._is_prompt:
            return False  # one that did not wait may have been given with damage, patched up in another way
        if not is_same_picture(frame, self._last):
            raise CannotGoBackError(self._given)
        return False

    def _is_clean_keyframe(self, frame: VideoFrame, number: int) -> bool:
        """Whether damage ends with ``frame``; its packet is then the first of those kept."""
        steady = self._steady
        place = self._place_of(number) if frame.key_frame and number > self._start else None
        if place is None or steady is None:
            return False
        self._keep_only(self._kept[place:])
        key = self._kept[0]
        if frame.is_corrupt or steady.needs_earlier(key):
            return False
        is_known = self._is_always_steady and not steady.is_damaged
        if not (is_known or is_by_itself(self._stream, key.packet, frame)):
            return False
        self._report(steady.take_lost(key))
        steady.end_damaged()
        return True

    def _go_on(self, item: NumberedPacket | None) -> list[NumberedPacket | None]:
        """Begin the fast way with the packets kept; these."""
        key = self._kept[0]
        again: list[NumberedPacket | None] = [kept for kept in self._kept if not kept.is_leading(key)]
        if item is None:
            again.append(None)
        self._keep_only([])
        self._context.flush_buffers()
        self._begin_fast(1)
        self._since, self._is_gated, self._is_whole, self._is_proven = 1, True, True, True
        return again

    def _report(self, lost: Iterable[NumberedPacket]) -> None:
        for item in lost:
            self._note_lost(item.packet)
