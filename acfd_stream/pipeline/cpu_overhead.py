"""CPU time per frame besides decoding and the network: held frames, shot detection and tracking."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from acfd_stream.config import Pace, PaceConfig
from acfd_stream.pipeline.costs import Size, painted
from acfd_stream.pipeline.detection import DetectedFrame
from acfd_stream.pipeline.live import configs_for
from acfd_stream.pipeline.stream_tracker import StreamTracker
from acfd_stream.types import Detections
from acfd_stream.video.decode_position import LossCounts
from acfd_stream.video.frame import Frame
from acfd_stream.video.held import HeldFrameDetector
from acfd_stream.video.readahead import Decoded

_FRAMES, _FIRST = 24, 8  # the first frames are not counted: caches are cold
_RATE = Fraction(1, 24)
_FACES = 4


def measure_cpu_overhead(display_size: Size, clock: Callable[[], float] = time.perf_counter) -> float:
    """Median seconds per frame of a live stream in which every drawing changes and faces move.

    Args:
        display_size: (height, width) of the frames.
        clock: seconds; tests pass their own.
    """
    random = np.random.default_rng(0)
    pictures = [painted(display_size, lambda shape: random.integers(16, 236, shape, np.uint8)) for _ in range(3)]
    _, track_config, shot_config = configs_for(PaceConfig(Pace.LIVE), None, None, None)
    held, stream = HeldFrameDetector(), StreamTracker(track_config, shot_config)
    taken = []
    for index in range(_FRAMES):
        frame = Frame(index, index, _RATE, pictures[index % len(pictures)])
        found = _faces(display_size, index)
        begin = clock()
        is_held = held.push(frame.picture)
        entry = DetectedFrame(Decoded(frame, begin, LossCounts()), {}, is_held, held.state, found)
        stream.push(entry, keeps_frame=False)
        taken.append(clock() - begin)
    return statistics.median(taken[_FIRST:])


def _faces(display_size: Size, index: int) -> Detections:
    """Faces next to each other that move a little with every frame."""
    height, width = display_size
    left = np.arange(_FACES, dtype=np.float32) * width / _FACES + index
    boxes = np.stack([left, left * 0 + height / 4, left + width / 8, left * 0 + height / 2], 1)
    return Detections(boxes.astype(np.float32), np.full(_FACES, 0.9, np.float32))
