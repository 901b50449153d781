"""Which of several videos is read."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import av
import pytest
from av.stream import Disposition

from acfd_stream.video import open_video
from tests.video.containers import RATE, pictures

SMALL, LARGE = (48, 64), (96, 128)


class Arriving:
    def __init__(self, data: bytes) -> None:
        self.read = BytesIO(data).read


def videos(path: Path, codecs: tuple[str, str], default: int | None = None) -> Path:
    """A small video and behind it a large one, of easy pictures."""
    with av.open(str(path), "w") as container:
        streams: list[Any] = []
        for codec, size in zip(codecs, (SMALL, LARGE), strict=True):
            stream: Any = container.add_stream(codec, rate=RATE)
            stream.height, stream.width = size
            stream.pix_fmt = "rgb24" if codec == "png" else "yuv420p"
            if default is not None:
                stream.disposition = Disposition.default if len(streams) == default else Disposition(0)
            streams.append(stream)
        for frame in pictures(20):
            for stream in streams:
                shown = frame.reformat(stream.width, stream.height, stream.pix_fmt)
                container.mux(stream.encode(shown))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codecs", "default", "size"),
    [
        ("a.avi", ("mpeg4", "mpeg4"), None, LARGE),
        ("a.ts", ("mpeg2video", "mpeg2video"), None, LARGE),
        ("a.ts", ("libx264", "libx264"), None, LARGE),
        ("a.mpg", ("mpeg2video", "mpeg2video"), None, LARGE),
        ("a.avi", ("mpeg4", "png"), None, SMALL),
        ("a.mkv", ("mpeg4", "mpeg4"), 0, SMALL),
        ("a.mkv", ("mpeg4", "mpeg4"), 1, LARGE),
    ],
)
def test_the_largest_video_is_read_from_a_file_and_from_bytes(
    name: str, codecs: tuple[str, str], default: int | None, size: tuple[int, int], tmp_path: Path
) -> None:
    path = videos(tmp_path / name, codecs, default)
    with open_video(path) as video:
        assert (video.info.display_size, len(list(video))) == (size, 20)
    with open_video(Arriving(path.read_bytes())) as video:  # type: ignore[arg-type]
        assert (video.info.display_size, len(list(video))) == (size, 20)
