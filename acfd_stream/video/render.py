"""The overlay: the video with faces, ids and times drawn on it, as an H.264 MP4 with its sound."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import av
from av.error import FFmpegError
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from acfd_stream.errors import OutputError
from acfd_stream.files import DISK_FULL, OVERLAY_COMMENT, PART_SUFFIX, PROXY_COMMENT, require_lock
from acfd_stream.ops import letterbox
from acfd_stream.ops.anchors import Letterbox
from acfd_stream.types import FrameResult
from acfd_stream.video.draw_result import draw_result
from acfd_stream.video.frame import Frame
from acfd_stream.video.origin import file_target
from acfd_stream.video.sound import SOUND_ERRORS, NoSoundError, Sound

_WRITE_ERRORS = (FFmpegError, OSError, ValueError)
_BT709, _LIMITED = 1, 1  # AVColorSpace, AVColorRange
_FINEST_TIME_BASE = Fraction(1, 1_000_000)  # MP4 counts in 32 bits a second


class OverlayWriter:
    """Draws results on their frames and writes them as an MP4 with H.264 pictures and the sound of the source.

    Time 0 of the overlay is the first frame written; distances in time are those of the source, also where its rate
    varies. The size is that of the first frame's display picture, made even. It is written as ``NAME.part`` and takes
    its name at ``close``. A context manager: closes, or aborts when the body raised.

    Args:
        path: the MP4, replaced if there is one.
        source_path: file or URL whose sound is taken; None, or one without sound that can be read: a silent overlay.
        is_drawn: False leaves the pictures as they are: a proxy, whose sound every browser plays.
        longest_side: pictures larger than that are made smaller, and cost less of everything; pixels, > 0.
    """

    def __init__(
        self,
        path: str | Path,
        source_path: str | Path | None = None,
        *,
        is_drawn: bool = True,
        longest_side: int | None = None,
    ) -> None:
        self._is_drawn, self._longest_side = is_drawn, longest_side
        self.path = Path(path)
        self.warnings: list[str] = []
        self._final = Path(os.path.realpath(path))  # a link stays a link
        self._part = Path(f"{self._final}{PART_SUFFIX}")
        self._source_path = None if source_path is None else os.fspath(source_path)
        self._sound: Sound | None = None
        self._stream: VideoStream | None = None
        self._reformatter = VideoReformatter()
        self._is_closed = False
        self._last_pts = -1
        self._end = self._frame_seconds = Fraction(0)
        try:
            _require_replaceable(self._final)
            self._lock = _claimed(self._part)
            self._output = av.open(file_target(os.fspath(self._part)), "w", format="mp4")
            self._output.metadata["comment"] = OVERLAY_COMMENT if is_drawn else PROXY_COMMENT
        except _WRITE_ERRORS as error:
            raise OutputError(self._complaint(error)) from error

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Draw ``result`` on ``frame`` and append it.

        Raises:
            OutputError: it cannot be written; nothing is left of the overlay.
        """
        with self._translated():
            stream = self._stream or self._start(frame)
            picture = self._drawn(frame, result)
            self._output.mux(stream.encode(picture))
            self._write_sound(self._end)

    def close(self, *, is_complete: bool = True) -> None:
        """Finish the file and give it its final name. Without a frame there is no file.

        Args:
            is_complete: False when the source broke before its end: the file, which can be played, stays ``NAME.part``.

        Raises:
            OutputError: it cannot be written; nothing is left of the overlay.
        """
        if self._stream is None:
            self.abort()
            return
        with self._translated():
            self._write_sound(self._end + self._frame_seconds)  # the last frame lasts as long as the one before it
            self._output.mux(self._stream.encode(None))
            self._finish_sound()
            self._output.close()
            if is_complete:
                os.replace(self._part, self._final)
        self._is_closed = True
        self._lock.close()

    def abort(self) -> None:
        """Remove the partial file. May be called twice, and after ``close``, whose file stays; never raises."""
        if self._is_closed:
            return
        self._close_sound()
        with contextlib.suppress(*_WRITE_ERRORS):
            self._output.close()
        with contextlib.suppress(OSError):
            self._part.unlink()
        self._is_closed = True
        self._lock.close()

    def __enter__(self) -> OverlayWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _WRITE_ERRORS as error:
            self.abort()
            raise OutputError(self._complaint(error)) from error

    def _complaint(self, error: Exception) -> str:
        advice = "make room or choose" if getattr(error, "errno", None) in DISK_FULL else "choose"
        return f"cannot write {self.path}: {_reason(error)}; {advice} another place"

    def _start(self, frame: Frame) -> VideoStream:
        # Without B-frames: they shift decoding times, from which MP4 takes its duration.
        quality = {"crf": "20"} if self._longest_side is None else {"crf": "27", "g": "48"}
        stream = self._output.add_stream("libx264", options={"preset": "veryfast", "bf": "0", **quality})
        stream.height, stream.width = self._even_size(frame.picture.display_size)
        stream.pix_fmt = "yuv420p"
        codec = stream.codec_context
        codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range = _BT709, _BT709, _BT709, _LIMITED
        self._time_base = max(frame.time_base, _FINEST_TIME_BASE)
        stream.time_base = codec.time_base = self._time_base
        self._size = (stream.height, stream.width)
        self._begin = frame.pts * frame.time_base
        self._stream = stream
        self._start_sound()
        return stream

    def _even_size(self, display_size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of the overlay of such pictures: even, and within the requested size."""
        most = self._longest_side or max(display_size)
        fit = min(1.0, most / max(display_size))
        height, width = (max(2, int(side * fit) // 2 * 2) for side in display_size)
        return height, width

    def _drawn(self, frame: Frame, result: FrameResult) -> av.VideoFrame:
        """The picture of ``frame`` with ``result`` on it, at its time in the overlay."""
        height, width = frame.picture.display_size
        fit = min(self._size[0] / height, self._size[1] / width)
        # Even sizes cost the first frame at most a line; later frames of another shape are fitted in.
        content = (
            self._size
            if self._even_size((height, width)) == self._size
            else (max(1, min(self._size[0], round(height * fit))), max(1, min(self._size[1], round(width * fit))))
        )
        image = letterbox(frame.picture, Letterbox(self._size, content, (height, width)))
        if self._is_drawn:
            draw_result(image[: content[0], : content[1]], result, (content[0] / height, content[1] / width))
        picture = self._reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(image, format="rgb24"),
            format="yuv420p",
            dst_colorspace=_BT709,
            dst_color_range=_LIMITED,
            threads=1,  # see picture.to_picture
        )
        seconds = frame.pts * frame.time_base - self._begin
        pts = max(round(seconds / self._time_base), self._last_pts + 1)
        self._frame_seconds, self._last_pts = (pts - self._last_pts) * self._time_base, pts
        picture.pts = pts
        picture.time_base = self._time_base
        picture.pict_type = PictureType.NONE
        self._end = self._last_pts * self._time_base
        return picture

    # Sound: its failure does not affect the pictures

    def _start_sound(self) -> None:
        if self._source_path is None:
            return
        try:
            self._sound = Sound(self._source_path, is_for_browsers=not self._is_drawn)
            self._sound.add_to(self._output, self._begin)
        except NoSoundError:
            return
        except SOUND_ERRORS as error:
            self.warnings.append(f"the overlay is silent: {_reason(error)}")
            self._close_sound()

    def _write_sound(self, until: Fraction) -> None:
        if self._sound is not None:
            self._sound.write_until(until)

    def _finish_sound(self) -> None:
        if self._sound is not None:
            self._sound.finish()
        self._close_sound()

    def _close_sound(self) -> None:
        sound, self._sound = self._sound, None
        if sound is not None:
            sound.close()


def _require_replaceable(path: Path) -> None:
    """Raise OSError unless a new file may take the name ``path``: one that is there must be a file, and writable."""
    if not path.exists():
        return
    if not path.is_file():
        raise OSError(errno.EINVAL, "it is a folder" if path.is_dir() else "it is no regular file")
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _claimed(part: Path) -> BinaryIO:
    """An empty file at ``part`` that belongs to this process while it is open.

    Raises:
        OSError: it cannot be written, or another process is writing it.
    """
    # A link with this name would lead to a file of somebody's.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.fdopen(os.open(part, flags, 0o666), "ab")
    try:
        require_lock(file.fileno())
    except OSError:
        file.close()
        raise
    return file


def _reason(error: Exception) -> str:
    """The error without the name of the source, which may be a URL with a password."""
    return (error.strerror if isinstance(error, OSError | FFmpegError) else None) or str(error)
