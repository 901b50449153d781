"""Labels are closed, the edge is exact, and every series is there before anything happens."""

from __future__ import annotations

import math
import pathlib

import pytest
from prometheus_client import CollectorRegistry

from acfd_stream.characters import CharacterLink
from acfd_stream.errors import ConfigError
from acfd_stream.metrics import (
    LATENCY_BUCKETS,
    Codec,
    DecodeFault,
    InputKind,
    LinkState,
    Metrics,
    QueueStage,
    StreamState,
    member,
)
from acfd_stream.pipeline.stage_times import STAGES
from acfd_stream.types import DropReason, Mode, Outcome, Stage


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


@pytest.mark.parametrize(("seconds", "within"), [(0.05, 1), (math.nextafter(0.05, 0), 1), (math.nextafter(0.05, 1), 0)])
def test_a_frame_of_exactly_the_objective_is_within_it(
    registry: CollectorRegistry, metrics: Metrics, seconds: float, within: int
) -> None:
    metrics.frame_answered(Mode.LIVE, InputKind.BYTES, Outcome.OK, seconds, {})
    labels = {"mode": "live", "path": "bytes", "le": "0.05"}
    assert registry.get_sample_value("acfd_frame_latency_seconds_bucket", labels) == within


def test_the_conventional_edges_are_all_there() -> None:
    wanted = (1, 2, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 75, 100, 150, 250, 500, 1000, 2500)
    assert [round(edge * 1000, 6) for edge in LATENCY_BUCKETS] == list(wanted)


def test_stages_are_those_of_the_ledger() -> None:
    assert tuple(stage.value for stage in Stage) == STAGES


@pytest.mark.parametrize(("name", "series"), [("acfd_frames_total", 4), ("acfd_frames_dropped_total", 3)])
def test_every_series_is_there_from_the_beginning(
    registry: CollectorRegistry, metrics: Metrics, name: str, series: int
) -> None:
    values = [sample.value for family in registry.collect() for sample in family.samples if sample.name == name]
    assert values == [0.0] * series


def test_a_value_outside_its_set_is_refused(registry: CollectorRegistry, metrics: Metrics) -> None:
    with pytest.raises(ConfigError, match="Stage must be one of ingest, decode"):
        metrics.stages({"stream-42": 0.1})
    with pytest.raises(ConfigError, match="DropReason must be one of queue_full"):
        metrics.frame_dropped("because")  # type: ignore[arg-type]
    assert registry.get_sample_value("acfd_frames_total", {"outcome": "dropped"}) == 0


@pytest.mark.parametrize("reason", DropReason)
def test_every_reason_that_is_exported_is_one_that_the_code_gives(reason: DropReason) -> None:
    package = pathlib.Path(__file__).resolve().parents[1] / "acfd_stream"
    sources = [path for room in ("pipeline", "video") for path in (package / room).rglob("*.py")]
    assert any(f"DropReason.{reason.name}" in path.read_text() for path in sources)


def test_a_value_may_be_named_as_on_the_wire() -> None:
    assert member(DropReason, "stale") is DropReason.STALE


def test_a_codec_that_nobody_knows_is_not_a_label_of_its_own(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.decode_error("x' evil\n", DecodeFault.OPEN)
    metrics.decode_error(None, DecodeFault.OPEN)
    assert Codec.of("h264") is Codec.H264
    for codec in ("other", "unknown"):
        assert registry.get_sample_value("acfd_decode_errors_total", {"codec": codec, "kind": "open"}) == 1


def test_a_drop_counts_as_an_outcome_too(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.frame_dropped(DropReason.STALE)
    assert registry.get_sample_value("acfd_frames_total", {"outcome": "dropped"}) == 1
    assert registry.get_sample_value("acfd_frames_dropped_total", {"reason": "stale"}) == 1


def test_links_are_counted_by_what_they_say(registry: CollectorRegistry, metrics: Metrics) -> None:
    firm = CharacterLink(3, 1, 0.9, is_tentative=False)
    metrics.links([CharacterLink(1, 1, 0.5), CharacterLink(2, 2, 0.5), firm, CharacterLink(1, 0, 0.0)])
    counts = {
        state: registry.get_sample_value("acfd_character_links_total", {"state": state.value}) for state in LinkState
    }
    assert counts == {LinkState.TENTATIVE: 2, LinkState.FIRM: 1, LinkState.WITHDRAWN: 1}


def test_a_stream_that_moves_is_in_one_state(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.stream_moved(None, StreamState.OPENING)
    metrics.stream_moved(StreamState.OPENING, StreamState.RUNNING)
    states = [registry.get_sample_value("acfd_streams_active", {"state": state.value}) for state in StreamState]
    assert states == [0, 1, 0]
    metrics.stream_moved(StreamState.RUNNING, None)
    assert registry.get_sample_value("acfd_streams_active", {"state": "running"}) == 0


def test_there_is_one_engine_at_a_time(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.engine("tensorrt", "f16", trt="11.4", sm="9.0", decoder="nvdec")
    metrics.engine("openvino", "bf16", is_fallback=True)
    samples = [s.labels for f in registry.collect() for s in f.samples if s.name == "acfd_engine_info"]
    assert samples == [{"backend": "openvino", "precision": "bf16", "trt": "", "sm": "", "decoder": "cpu"}]
    assert registry.get_sample_value("acfd_engine_fallback") == 1


def test_two_services_do_not_share_a_registry_by_mistake(registry: CollectorRegistry, metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        Metrics(registry)
    Metrics.none().queue_depth.of(QueueStage.INFER).inc(3)
    assert registry.get_sample_value("acfd_queue_depth", {"stage": "infer"}) == 0
