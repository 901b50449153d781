"""Between the decoder and the stream: which frames the network looks at, and what it finds in them.

A frame that repeats the drawing before it is not looked at; what was found in that drawing holds for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from acfd_stream.pipeline.engine import Engine, StageSeconds
from acfd_stream.types import Detections
from acfd_stream.video.held import HeldFrameDetector, HeldState
from acfd_stream.video.readahead import Decoded

_FRAMES_A_PICTURE = 2
"""Most frames that wait for a whole batch, for each picture in it: their pixels are in memory."""


@dataclass(slots=True)
class DetectedFrame:
    """A frame on its way to the stream."""

    decoded: Decoded
    timings: StageSeconds
    is_held: bool = False
    memory: HeldState = field(default_factory=HeldState)  # of the detector of held drawings, behind this frame
    detections: Detections | None = None  # None: it is held, or has no pixels

    @property
    def has_pixels(self) -> bool:
        """Whether it was neither dropped nor lost by the decoder."""
        return bool(self.decoded.frame.picture.planes)


class DetectionStage:
    """The frames of one stream, taken in order by one thread, and looked at by that one or another."""

    def __init__(self, engine: Engine, *, every_frame: bool) -> None:
        self._engine, self._every_frame = engine, every_frame
        self._held = HeldFrameDetector()

    def go_on(self, memory: HeldState) -> None:
        """Tell held drawings as one who remembers this."""
        self._held.state = memory

    def take(self, decoded: Decoded) -> DetectedFrame:
        """The next frame, and whether it has to be looked at."""
        begin = time.perf_counter()
        frame = decoded.frame
        sight = DetectedFrame(decoded, {"ingest": frame.ingest_seconds, "decode": frame.decode_seconds})
        if not sight.has_pixels:
            sight.memory = self._held.state
            return sight
        sight.timings["queue"] = begin - decoded.decoded_at
        if not self._every_frame:
            sight.is_held = self._held.push(frame.picture)
            sight.timings["preprocess"] = time.perf_counter() - begin
        sight.memory = self._held.state
        return sight

    def groups(self, frames: Iterator[Decoded]) -> Iterator[list[DetectedFrame]]:
        """The frames, so many at once that the network has a whole batch to look at."""
        pictures = self._engine.config.batch
        group: list[DetectedFrame] = []
        for decoded in frames:
            group.append(self.take(decoded))
            wanted = sum(1 for sight in group if not sight.is_held)
            if wanted == pictures or len(group) == _FRAMES_A_PICTURE * pictures:
                yield group
                group = []
        if group:
            yield group

    def look(self, group: Sequence[DetectedFrame]) -> None:
        """Find the faces in those frames of ``group`` that are not held."""
        begin = time.perf_counter()
        wanted = [sight for sight in group if sight.has_pixels and not sight.is_held]
        pictures = [sight.decoded.frame.picture for sight in wanted]
        found = self._engine.detect_timed(pictures) if pictures else []
        for sight, (detections, seconds) in zip(wanted, found, strict=True):
            own = sight.timings.get("preprocess", 0.0)
            waited = begin - sight.decoded.decoded_at - own
            sight.detections = detections
            sight.timings |= seconds
            sight.timings["queue"] = seconds.get("queue", 0.0) + waited
            sight.timings["preprocess"] = seconds.get("preprocess", 0.0) + own
