"""``track_video`` with the frames beside the results."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acfd_stream.config import Pace, VideoConfig
from acfd_stream.detect import Detector
from acfd_stream.errors import ConfigError
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.pipeline.track_video import track_video
from acfd_stream.video import open_video


def test_each_result_comes_with_its_frame(clip: Path, detector: Detector) -> None:
    pairs = list(track_video(clip, detector=detector, with_frames=True))
    assert [result for _, result in pairs] == list(track_video(clip, detector=detector))
    with open_video(clip) as video:
        for (frame, result), decoded in zip(pairs, video, strict=True):
            assert (frame.index, frame.pts) == (result.index, result.pts) == (decoded.index, decoded.pts)
            assert np.array_equal(frame.to_rgb(), decoded.to_rgb())


def test_a_frame_is_upright_in_its_display_size(clip: Path, detector: Detector) -> None:
    frame, result = next(track_video(clip, detector=detector, with_frames=True))
    image = frame.to_rgb()
    assert (image.dtype, image.shape[:2]) == (np.uint8, frame.picture.display_size)
    face = result.faces[0].crop(frame)
    assert face.mean() > 200 > image.mean()  # the bright square


def test_a_resumed_video_has_no_frames(clip: Path, detector: Detector) -> None:
    with TrackSession(clip, detector=detector) as session:
        next(iter(session))
        state = session.checkpoint()
    with pytest.raises(ConfigError, match="with_frames must be False with resume"):
        track_video(clip, detector=detector, with_frames=True, resume=state)


def test_an_unknown_option_is_named(clip: Path) -> None:
    with pytest.raises(TypeError, match="'modle'"):
        track_video(clip, modle="acfd-n")  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": "acfd-n"}, "detector must be a Detector, as Detector.open returns it, got 'acfd-n'"),
        ({"video_config": {"threads": 1}}, "video_config must be a VideoConfig, got {'threads': 1}"),
        ({"track_config": 1}, "track_config must be a TrackConfig, got 1"),
        ({"shot_config": VideoConfig()}, "shot_config must be a ShotConfig, got VideoConfig"),
        ({"pace": Pace.LIVE}, "pace must be a PaceConfig, got <Pace.LIVE: 'live'>"),
        ({"resume": {}}, "resume must be a SessionState, got {}"),
        ({"detector": None, "detect_config": {}}, "detect_config must be a DetectConfig, got {}"),
        ({"detector": None, "model": 7}, "model must be the name of a model or the path of a file, got 7"),
    ],
)
def test_an_option_of_another_type_is_named(
    clip: Path, detector: Detector, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^{re.escape(message)}[^\n]*$"):
        track_video(clip, **{"detector": detector, **options})
