"""``track_video`` with the frames beside the results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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
