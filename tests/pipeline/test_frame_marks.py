"""What a source says of its frames and gaps reaches the results, also over a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import ClassVar

import pytest

from acfd_stream.detect import Detector
from acfd_stream.pipeline import session as module
from acfd_stream.pipeline.checkpoint import SessionState
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.types import Gap, GapCause, Seam
from acfd_stream.video.decode_position import DecodePosition
from acfd_stream.video.frame import Frame
from tests.pipeline.conftest import SIZE
from tests.pipeline.test_session import DrawnVideo


class MarkedVideo(DrawnVideo):
    """Its frame 5 is damaged, a seam is before frame 9, and it has a gap."""

    GAPS: ClassVar = [Gap(0.5, 0.25, GapCause.TIME_HOLE)]

    def resume_after(self, position: DecodePosition | None, next_index: int) -> None:
        """The session leaves out what it had."""

    def __iter__(self) -> Iterator[Frame]:
        for frame in super().__iter__():
            seams = (Seam.SIZE,) if frame.index == 9 else ()
            yield replace(frame, is_damaged=frame.index == 5, seams=seams)
        self.gaps, self.is_complete = self.GAPS, False


def test_marks_of_frames_and_gaps_reach_the_results(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_video", lambda *_: MarkedVideo())
    with TrackSession("drawn", detector=detector) as session:
        results = list(session)
    assert [result.index for result in results if result.is_damaged] == [5]
    assert [result.index for result in results if result.seams] == [9]
    assert (results[9].seams, results[9].display_size, results[10].display_size) == ((Seam.SIZE,), SIZE, None)
    assert (session.gaps, session.is_complete, session.error) == (MarkedVideo.GAPS, False, None)


def test_marks_of_frames_survive_a_checkpoint(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_video", lambda *_: MarkedVideo())
    whole = list(TrackSession("drawn", detector=detector))
    for stop in (4, 6, 9):
        with TrackSession("drawn", detector=detector) as session:
            first = list(islice(session, stop))
            state = SessionState(json.loads(json.dumps(session.checkpoint().values)))
        assert first + list(TrackSession("drawn", detector=detector, resume=state)) == whole
