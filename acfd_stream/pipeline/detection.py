"""Detection stage, between the decoder and the tracker: chooses the frames for detection, and runs it.

A frame that repeats the drawing before it is not detected: it takes over the detections of that drawing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from acfd_stream.pipeline.engine import Engine, StageSeconds
from acfd_stream.types import Detections
from acfd_stream.video.held import HeldFrameDetector, HeldState
from acfd_stream.video.readahead import Decoded

_FRAMES_PER_PICTURE = 2
"""Maximum number of frames that wait for a full batch, per picture of the batch: it bounds their memory."""


@dataclass(slots=True)
class DetectedFrame:
    """A decoded frame with its detections."""

    decoded: Decoded
    timings: StageSeconds
    is_held: bool = False
    held_state: HeldState = field(default_factory=HeldState)  # state of the held-frame detector after this frame
    detections: Detections | None = None  # None: it is held, has no pixels, or detection has not run

    @property
    def has_pixels(self) -> bool:
        """Whether it was neither dropped nor failed to decode."""
        return bool(self.decoded.frame.picture.planes)


class DetectionStage:
    """Finds held frames and runs detection for one stream; ``take`` and ``detect`` may run in different threads."""

    def __init__(self, engine: Engine, *, every_frame: bool) -> None:
        self._engine, self._every_frame = engine, every_frame
        self._held = HeldFrameDetector()

    def restore(self, held_state: HeldState) -> None:
        """Continue the detection of held frames from this state."""
        self._held.state = held_state

    def take(self, decoded: Decoded) -> DetectedFrame:
        """Add the next frame, and decide whether it is held."""
        begin = time.perf_counter()
        frame = decoded.frame
        if frame.seams:  # a drawing is not held over a seam; boxes may have another frame of reference
            self._held.state = HeldState(None, self._held.state.shares)
        entry = DetectedFrame(decoded, {"ingest": frame.ingest_seconds, "decode": frame.decode_seconds})
        if not entry.has_pixels:
            entry.held_state = self._held.state
            return entry
        entry.timings["queue"] = begin - decoded.decoded_at
        if not self._every_frame:
            entry.is_held = self._held.push(frame.picture)
            entry.timings["preprocess"] = time.perf_counter() - begin
        entry.held_state = self._held.state
        return entry

    def groups(self, frames: Iterator[Decoded]) -> Iterator[list[DetectedFrame]]:
        """The frames in groups that give the network full batches."""
        pictures = self._engine.config.batch
        group: list[DetectedFrame] = []
        for decoded in frames:
            group.append(self.take(decoded))
            wanted = sum(1 for entry in group if not entry.is_held)
            if wanted == pictures or len(group) == _FRAMES_PER_PICTURE * pictures:
                yield group
                group = []
        if group:
            yield group

    def detect(self, group: Sequence[DetectedFrame]) -> None:
        """Run detection on the frames of ``group`` that have pixels and are not held."""
        begin = time.perf_counter()
        wanted = [entry for entry in group if entry.has_pixels and not entry.is_held]
        pictures = [entry.decoded.frame.picture for entry in wanted]
        found = self._engine.detect_timed(pictures) if pictures else []
        for entry, (detections, seconds) in zip(wanted, found, strict=True):
            own = entry.timings.get("preprocess", 0.0)
            waited = begin - entry.decoded.decoded_at - own
            entry.detections = detections
            entry.timings |= seconds
            entry.timings["queue"] = seconds.get("queue", 0.0) + waited
            entry.timings["preprocess"] = seconds.get("preprocess", 0.0) + own
