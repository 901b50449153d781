"""Tracks pictures that the caller's own loop pushes, in the caller's thread, with the stages of a session."""

from __future__ import annotations

import time
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from acfd_stream.characters import Character, CharacterConfig
from acfd_stream.checked import MOST_FLOAT, is_between, require
from acfd_stream.config import DetectConfig, Pace, PaceConfig, ShotConfig, TrackConfig
from acfd_stream.detect.detector import Detector
from acfd_stream.detect.images import Image, picture_of
from acfd_stream.errors import ConfigError
from acfd_stream.identity.views import TrackView
from acfd_stream.pipeline.characters import open_characters
from acfd_stream.pipeline.detection import DetectionStage
from acfd_stream.pipeline.engine import Embedder, Engine, check_engine
from acfd_stream.pipeline.live import configs_for
from acfd_stream.pipeline.settled_frame import SettledFrame
from acfd_stream.pipeline.stream_tracker import StreamTracker
from acfd_stream.types import Closeable, FrameResult
from acfd_stream.video.decode_position import LossCounts
from acfd_stream.video.discontinuities import DiscontinuityWatch
from acfd_stream.video.frame import Frame
from acfd_stream.video.readahead import Decoded

if TYPE_CHECKING:
    from acfd_stream.identity.cast.matching import CastMatcher

TIME_BASE = Fraction(1, 1_000_000)
"""Of the results of a Tracker, seconds."""


class Tracker(Closeable):
    """Tracks the faces of pictures that a loop pushes one by one.

    All work is done in ``push``, in the caller's thread; use a Tracker in one thread at a time. Frames get the results
    that ``track_video`` gives them. A context manager.

    Example:
        >>> with Tracker() as tracker:
        ...     for number, image in enumerate(images):
        ...         for result in tracker.push(image, seconds=number / 24):
        ...             print(result.index, result.faces)
        ...     for result in tracker.flush():
        ...         print(result.index, result.faces)
    """

    def __init__(
        self,
        *,
        detector: Engine | None = None,
        model: str | Path = "acfd-n",
        device: str = "auto",
        detect_config: DetectConfig | None = None,
        track_config: TrackConfig | None = None,
        shot_config: ShotConfig | None = None,
        every_frame: bool = False,
        is_live: bool = False,
        characters: CharacterConfig | None = None,
        embedder: Embedder | None = None,
        keeps_views: bool = False,
        cast: str | Path | CastMatcher | None = None,
    ) -> None:
        """Open the model.

        Args:
            detector: a detector to share; it stays open. None: ``model`` is opened.
            model: a shipped model's name or the path of an ONNX file.
            device: "auto", "cpu" or "cuda".
            detect_config: sizes, thresholds and threads; only without ``detector``, which has its own.
            track_config: how detections become tracks.
            shot_config: how shots are detected.
            every_frame: detect also in frames that repeat a drawing.
            is_live: every ``push`` returns the result of its own frame, as a live session does: no gaps are filled, and
                cuts are found without the frames behind them.
            characters: how tracks become characters. None: faces have no character.
            embedder: a network for ``characters`` to share; it stays open. None: the model of ``characters`` is opened.
            keeps_views: ``take_views`` gives the best views of tracks.
            cast: gives ``characters`` their names: the path of its file, or what ``Cast.matcher`` returned.

        Raises:
            RunnerError: the model does not exist, or its file is refused.
            BackendUnavailable: the requested device cannot be used.
            CastError: the cast is damaged, no cast, or has embeddings of another network.
            ConfigError: no such device or cast, both ``detector`` and ``detect_config``, or a cast without characters.
        """
        check_engine(detector, detect_config)
        pace = PaceConfig(pace=Pace.LIVE if is_live else Pace.FILE)
        _, self.track_config, self.shot_config = configs_for(pace, None, track_config, shot_config)
        require(isinstance(characters, CharacterConfig | None), "characters", characters, "a CharacterConfig")
        with ExitStack() as opened:
            self._detector = detector or opened.enter_context(Detector.open(model, device, detect_config))
            self._characters = open_characters(
                characters, embedder, self.track_config, opened, keeps_views=keeps_views, cast=cast
            )
            self._opened = opened.pop_all()
        self._detection = DetectionStage(self._detector, every_frame=every_frame)
        self._stream = StreamTracker(self.track_config, self.shot_config, self._characters)
        self._views: list[TrackView] = []
        self._discontinuities = DiscontinuityWatch()
        self._ended_by = ""  # "flush" or "close"

    @property
    def tracks(self) -> int:
        """Tracks started so far."""
        return self._stream.tracks

    @property
    def characters(self) -> tuple[Character, ...]:
        """The characters of all frames, by number, after ``flush``; they replace all links. Before: none."""
        return self._characters.characters() if self._characters is not None and self._ended_by == "flush" else ()

    def take_views(self) -> list[TrackView]:
        """The best views of the tracks that have ended since the last call, by track and frame."""
        views, self._views = self._views, []
        if self._characters is not None and self._ended_by == "flush":
            views += self._characters.take_last_views()
        return views

    def push(self, image: Image, *, seconds: float) -> list[FrameResult]:
        """Track the next frame; returns the results that are final now, in order, one per pushed frame.

        A result is final when no later frame can change it: cuts and filled gaps depend on the frames behind them.
        ``index`` of a result says which push it belongs to, from 0. ``TrackConfig.delay_frames`` and
        ``ShotConfig.lookahead_frames`` bound the delay.

        Args:
            image: path of a picture file, uint8 [H, W, 3] RGB, a PIL image, or a Picture; not used after the call.
            seconds: when it is shown, above that of the frame before; results have it in whole microseconds.

        Raises:
            ShapeError: ``image`` is not of that kind.
            MediaError: a file cannot be read or decoded.
            ConfigError: ``seconds`` is not finite, or above 4e9, or ``flush`` or ``close`` was called before.
            RunnerError: the network failed.
        """
        if self._ended_by:
            raise ConfigError(f"a frame was pushed after {self._ended_by}; open another Tracker")
        if not is_between(seconds, -MOST_FLOAT, MOST_FLOAT):
            raise ConfigError(f"seconds must be a finite number of at most {MOST_FLOAT:g}, got {seconds!r}")
        picture = picture_of(image)
        pts = round(float(seconds) / TIME_BASE)
        seams = self._discontinuities.note(float(pts * TIME_BASE), picture.display_size)
        frame = Frame(self._stream.next_index, pts, TIME_BASE, picture, seams=seams)
        entry = self._detection.take(Decoded(frame, time.perf_counter(), LossCounts()))
        self._detection.detect([entry])
        return self._results(self._stream.push(entry, keeps_frame=False))

    def flush(self) -> list[FrameResult]:
        """The results of the remaining frames, after the last ``push``; a second call, or one after ``close``, none."""
        if self._ended_by:
            return []
        self._ended_by = "flush"
        return self._results(self._stream.flush())

    def close(self) -> None:
        """Free the Tracker's own detector; more than once."""
        self._ended_by = self._ended_by or "close"
        self._opened.close()

    def _results(self, settled: list[SettledFrame]) -> list[FrameResult]:
        self._views += [view for each in settled for view in each.views]
        return [each.result(TIME_BASE, each.verdict) for each in settled]
