"""Low-delay decoding gives the frames that ordinary decoding gives, whatever comes in."""

from __future__ import annotations

import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from acfd_stream.config import VideoConfig
from acfd_stream.errors import MediaError
from acfd_stream.types import PlaneArray
from acfd_stream.video import ByteStream, open_video

PIECE = 60_000


def checksum(plane: PlaneArray) -> int:
    return zlib.crc32(np.ascontiguousarray(plane))


def sent(path: Path, low_delay: bool) -> tuple[Any, list[tuple[int, ...]], Any]:
    """What comes of the first seconds of a file that is sent as bytes: how it went, its frames, its rate."""
    stream = ByteStream()
    data = path.read_bytes()

    def send() -> None:
        if all(stream.feed(data[place : place + PIECE]) for place in range(0, len(data), PIECE)):
            stream.close()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with open_video(stream, VideoConfig(low_delay=low_delay, end_seconds=3.0)) as video:
            frames = [(frame.index, frame.pts, *map(checksum, frame.picture.planes)) for frame in video]
            return (video.is_complete, video.error, video.warnings), frames, video.info.frame_rate
    except MediaError as error:
        return str(error), [], None
    finally:
        sender.join(30)


def test_odd_files_give_the_same_frames_and_errors(shared: Path) -> None:
    good = 0
    for path in sorted((shared / "videos/odd").iterdir()):
        usual, frames, rate = sent(path, low_delay=False)
        quick, live_frames, live_rate = sent(path, low_delay=True)
        assert quick == usual, path.name
        assert live_frames == frames, path.name
        assert live_rate in (rate, None), path.name
        good += bool(frames)
    assert good >= 8
