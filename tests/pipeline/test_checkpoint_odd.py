"""Odd real files go on from a checkpoint as if nothing had been: times that jump, lost frames, no index, no times."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from acfd_stream import ops
from acfd_stream.config import VideoConfig
from acfd_stream.errors import MediaError
from acfd_stream.pipeline.engine import StageSeconds
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.types import Detections, Picture
from tests.pipeline.square_finder import SquareFinder

RANGE = VideoConfig(end_seconds=4.0)


class Moody(SquareFinder):
    """A face in every picture, whose box and score are those of no other picture."""

    def detect_timed(self, pictures: Sequence[Picture]) -> list[tuple[Detections, StageSeconds]]:
        found: list[tuple[Detections, StageSeconds]] = []
        for picture in pictures:
            small = ops.thumbnail(picture, (36, 64)).astype(np.float32)
            shift, score = float(small[:18].mean()) / 16, 0.6 + float(small.mean()) / 1000
            box = np.array([[20 + shift, 20, 120 + shift, 120]], np.float32)
            stages = ("queue", "preprocess", "infer", "decode_boxes", "nms")
            found.append((Detections(box, np.array([score], np.float32)), dict.fromkeys(stages, 0.0)))
        return found


def outcome(session: TrackSession) -> tuple[object, ...]:
    return session.tracks, session.is_complete, session.error, session.warnings


def test_odd_files_go_on(shared: Path) -> None:
    tried = 0
    for path in sorted((shared / "videos/odd").iterdir()):
        try:
            whole = TrackSession(path, detector=Moody(), video_config=RANGE)
        except MediaError:
            continue
        expected = list(whole)
        tried += 1
        session = TrackSession(path, detector=Moody(), video_config=RANGE)
        first = list(islice(session, len(expected) * 2 // 3))
        session.close()
        for source in (path, io.BytesIO(path.read_bytes())):
            rest = TrackSession(source, detector=Moody(), video_config=RANGE, resume=session.checkpoint())
            assert first + list(rest) == expected, path.name
            assert outcome(rest) == outcome(whole), path.name
    assert tried > 10


@pytest.mark.parametrize("name", ["bbb_720p_24s.mp4", "popeye_1440x1074_60s.mkv"])
def test_real_films_go_on_in_the_middle(shared: Path, name: str) -> None:
    config = VideoConfig(end_seconds=7.0)
    whole = TrackSession(shared / "videos" / name, detector=Moody(), video_config=config)
    expected = list(whole)
    session = TrackSession(shared / "videos" / name, detector=Moody(), video_config=config)
    first = list(islice(session, len(expected) - 30))
    session.close()
    engine = Moody()
    rest = TrackSession(shared / "videos" / name, detector=engine, video_config=config, resume=session.checkpoint())
    assert first + list(rest) == expected
    assert outcome(rest) == outcome(whole)
