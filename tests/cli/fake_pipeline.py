"""``acfd-stream`` over a made-up pipeline: python fake_pipeline.py PLAN ARGUMENTS…

PLAN is JSON: how many "frames" come, the "error" that breaks the input after them, whether it "is_partial" without
one, "warnings", what is raised "at" which frame ("raises": name of an exception), "overlay_fails", and whether to
"wait": after the last frame the word "waiting" goes to stderr and nothing more happens until a signal comes. At frame
"interrupted_at" there is a Ctrl-C that Python loses. Lines of progress are "line_seconds" apart.
"""

from __future__ import annotations

import builtins
import json
import signal
import sys
import types
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from acfd_stream import errors, progress
from acfd_stream.characters import Character
from acfd_stream.cli import main
from acfd_stream.config import TrackConfig
from acfd_stream.pipeline.stage_times import StageTimes
from acfd_stream.types import Detections, Face, FrameResult, Gap, GapCause, MediaInfo, Picture
from acfd_stream.video.frame import Frame

TIME_BASE = Fraction(1, 1000)


class Lossy:
    """What is raised in its end goes nowhere, a Ctrl-C included."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


class FakeDetector:
    """Finds one face in every picture."""

    spec = types.SimpleNamespace(name="fake", version="1")
    precision = "f32"

    def __init__(self, config: Any) -> None:
        self.config = config

    @classmethod
    def open(cls, name: str, device: str, config: Any) -> FakeDetector:
        if name != "acfd-n":
            raise errors.RunnerError(f"no model {name!r}: there is acfd-n; or give the path of an .onnx file")
        if device == "cuda":
            raise errors.BackendUnavailable("device 'cuda' cannot be used")
        return cls(config)

    def detect(self, image: np.ndarray, *, min_score: float) -> Detections:
        height, width = image.shape[:2]
        boxes = np.array([[0, 0, width / 3, height / 3], [0, 0, width / 2, height / 2]], np.float32)
        return Detections(boxes, np.array([0.87654, 0.3], np.float32)).at_least(min_score)

    def __enter__(self) -> FakeDetector:
        return self

    def __exit__(self, *ignored: object) -> None:
        pass


class FakeSession:
    """Gives out the plan's frames; face 1 is in all of them, and is character 1 where there are characters."""

    track_config = shot_config = TrackConfig()
    tracks = 1
    is_finished = True
    embedder = None

    def __init__(
        self,
        source: str,
        *,
        model: str,
        device: str,
        video_config: Any,
        detect_config: Any,
        characters: Any,
        **defaults: Any,
    ) -> None:
        self.character_config = characters
        self.characters = () if characters is None else (Character(1, (1,), 0.5),)
        if "missing" in source:
            raise errors.MediaError(f"cannot open {source}: No such file or directory")
        self.info = MediaInfo(source, (360, 640), TIME_BASE, Fraction(25), PLAN.get("frames", 3), None, "fake")
        self.video_config = video_config
        self.error = PLAN.get("error")
        self.gaps = [Gap(time, missing, GapCause(cause)) for time, missing, cause in PLAN.get("gaps", [])]
        self.last_seconds = None
        self.is_complete = self.error is None and not self.gaps and not PLAN.get("is_partial")
        self.warnings = PLAN.get("warnings", [])
        self.stage_times = StageTimes()
        self.detector = FakeDetector.open(model, device, detect_config)

    def take_views(self) -> list[Any]:
        return []

    def stop(self) -> None:
        """Nobody does."""

    def __iter__(self) -> Iterator[FrameResult]:
        return (result for _, result in self.with_frames())

    def with_frames(self) -> Iterator[tuple[Frame, FrameResult]]:
        for index in range(PLAN.get("frames", 3)):
            if index == PLAN.get("interrupted_at"):
                Lossy()
            if index == PLAN.get("at"):
                raise (vars(errors) | vars(builtins))[PLAN["raises"]]("it\nhappened")
            faces = (Face(1, (index + 0.125, 2.0, index + 50.0, 60.0), 0.9),)
            frame = Frame(index, index * 40, TIME_BASE, Picture.from_rgb(np.zeros((2, 2, 3), np.uint8)))
            yield frame, FrameResult(index, index * 40, TIME_BASE, index / 25, faces)
        if PLAN.get("wait"):
            print("waiting", file=sys.stderr, flush=True)
            signal.pause()

    def __enter__(self) -> FakeSession:
        return self

    def __exit__(self, *ignored: object) -> None:
        print("session closed", file=sys.stderr) if PLAN.get("wait") else None


class FakeOverlay:
    """Writes a byte a frame, under the final name only when closed."""

    def __init__(self, path: Any, source: str) -> None:
        self.path, self.bytes = path, b""
        self.warnings = PLAN.get("overlay_warnings", [])

    def write(self, frame: Frame, result: FrameResult) -> None:
        assert frame.index == result.index
        if PLAN.get("overlay_fails"):
            raise errors.OutputError(f"cannot write {self.path}: No space left on device")
        self.bytes += b"."

    def close(self, *, is_complete: bool) -> None:
        try:
            (self.path if is_complete else self.path.with_name(f"{self.path.name}.part")).write_bytes(self.bytes)
        except OSError as error:
            raise errors.OutputError(f"cannot write {self.path}: {error.strerror}") from error

    def abort(self) -> None:
        self.bytes = b""


def fake_models() -> list[Any]:
    values = {"version": "1", "size": 64, "classes": ["face"], "date": "2026-01-01", "training_data": "none"}
    anchors = types.SimpleNamespace(strides=[8])
    spec = types.SimpleNamespace(anchors=anchors, **values)
    return [types.SimpleNamespace(name="fake", spec=spec, precisions=("f32",))]


def install(name: str, **members: Any) -> None:
    module = types.ModuleType(name)
    vars(module).update(members, __getattr__=lambda other: Any)  # what is only imported for its type
    sys.modules[name] = module


if __name__ == "__main__":
    PLAN: dict[str, Any] = json.loads(sys.argv.pop(1))
    progress.LINE_SECONDS = PLAN.get("line_seconds", progress.LINE_SECONDS)
    install("acfd_stream.detect.detector", Detector=FakeDetector, models=fake_models)
    install("acfd_stream.pipeline.session", TrackSession=FakeSession)
    install("acfd_stream.video.render", OverlayWriter=FakeOverlay)
    sys.exit(main())
