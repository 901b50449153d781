"""How large live frames are shown to the network: by what a picture costs, and by the objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from acfd_stream.config import DetectConfig, StreamQueueConfig
from acfd_stream.detect.detector import StageSeconds, letterboxes
from acfd_stream.pipeline.costs import Costs, measure_costs
from acfd_stream.pipeline.live_input_size import LIVE_SIZES, LiveInputSize, choose_live_view
from acfd_stream.pipeline.scheduler import Scheduler
from acfd_stream.types import Detections, Picture
from tests.clock import Clock
from tests.pipeline.fake_engine import FakeEngine, picture
from tests.pipeline.shared_engines import NO_WAIT

HD = (720, 1280)
OBJECTIVE = 0.05


class SlowEngine(FakeEngine):
    """Takes so many seconds a megapixel of the network's view, on a clock of its own."""

    def __init__(self, seconds: float, config: DetectConfig) -> None:
        super().__init__()
        self.config, self.clock, self._seconds = config, Clock(), seconds
        self.sides: list[int] = []

    def detect_timed(self, pictures: Sequence[Picture]) -> list[tuple[Detections, StageSeconds]]:
        for one in pictures:
            views = [box.network_size for box in letterboxes(one.display_size, self.config, one.view_side)]
            self.sides.append(max(views[0]))
            self.clock.now += self._seconds * sum(height * width for height, width in views) / 1e6
        return super().detect_timed(pictures)

    def chosen(self, objective_seconds: float = OBJECTIVE) -> tuple[LiveInputSize, Costs]:
        costs = measure_costs(self, [HD], 1, self.clock)
        return choose_live_view(self, costs, [HD], objective_seconds, self.clock), costs


@pytest.mark.parametrize(
    ("milliseconds", "side"),  # of a picture at 512 pixels; a quarter of the objective is 12.5
    [(4, 0), (12, 0), (14, 448), (20, 384), (28, 320), (90, 320)],
)
def test_view_is_the_largest_that_takes_a_quarter_of_the_objective(milliseconds: float, side: int) -> None:
    engine = SlowEngine(milliseconds / 1e3 / (512 * 288 / 1e6), DetectConfig(size=512))
    view, costs = engine.chosen()
    assert (view.side, view.of(OBJECTIVE)) == (side, side)
    if side:
        assert costs.picture_seconds(HD, side) < costs.picture_seconds(HD) == pytest.approx(milliseconds / 1e3)
        assert engine.sides[-1] == side  # it was looked at, not only worked out


def test_a_stream_with_an_objective_that_is_long_enough_is_seen_at_full_size() -> None:
    view, _ = SlowEngine(0.02 / (512 * 288 / 1e6), DetectConfig(size=512)).chosen()
    assert view.of(0.05) == 384
    assert view.of(0.079) == 384
    assert view.of(0.081) == 0


def test_no_view_is_chosen_where_several_scales_or_a_small_one_were_asked_for() -> None:
    for config in (DetectConfig(scales=(480, 640)), DetectConfig(size=min(LIVE_SIZES))):
        assert SlowEngine(1.0, config).chosen()[0] == LiveInputSize()


def test_pictures_of_a_lane_are_seen_at_its_view_and_others_as_before() -> None:
    engine = SlowEngine(0.0, DetectConfig(size=512))
    with Scheduler(engine, replace(NO_WAIT, warm_sizes=(HD,))) as scheduler:
        small, full = scheduler.open_shared(StreamQueueConfig(), 320), scheduler.open_shared(StreamQueueConfig())
        assert (small.config.size, full.config.size) == (320, 512)
        for queue, side in ((small, 320), (full, 512), (small, 320)):
            queue.detect_timed([picture(7, HD)])
            assert engine.sides[-1] == side
