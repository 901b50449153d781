"""What a person and a log see of a run."""

from __future__ import annotations

import io
import json
import re
import urllib.error
import urllib.request
from contextlib import ExitStack

import pytest
from rich.console import Console

from acfd_stream.archive.records import EpisodeStatus
from acfd_stream.archive.run_metrics import ArchiveMetrics
from acfd_stream.archive.run_progress import RunCounters, RunSnapshot
from acfd_stream.cli.archive.run import expose
from acfd_stream.cli.archive.watch import LogObserver, TableObserver, duration, snapshot_values, summary, table
from acfd_stream.cli.names import shortened
from acfd_stream.errors import ConfigError
from acfd_stream.recording.task import RecordingOutcome, RecordingProgress, RecordingState


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def progress(frames: int, seconds: float) -> RecordingProgress:
    return RecordingProgress(frames, 240, 3, seconds, frames, frames / 24)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counters(clock: Clock) -> RunCounters:
    """Four videos of a run: one done before, one broken, one half done, one that waits."""
    counters = RunCounters(clock)
    counters.put("old.mkv", EpisodeStatus.DONE, size=1000)
    for name in ("odd [1].mkv", "now.mkv", "later.mkv"):
        counters.put(name, EpisodeStatus.WAITING, size=1000)
    counters.put("odd [1].mkv", EpisodeStatus.BROKEN, "odd [1].mkv: damaged [bold]data")
    counters.settled(1000)
    counters.began("now.mkv", "local-0", 1000)
    counters.snapshot(1)
    clock.now += 5.0
    counters.progressed("now.mkv", progress(120, 5.0))
    return counters


def shown(snapshot: RunSnapshot, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(table(snapshot))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_speeds_are_those_of_late(counters: RunCounters, clock: Clock) -> None:
    snapshot = counters.snapshot(1)
    assert (snapshot.frames, snapshot.frames_per_second, snapshot.real_time_factor) == (120, 24.0, 1.0)
    assert (snapshot.total, snapshot.settled) == (4, 2)
    assert snapshot.seconds_left == pytest.approx(5.0)  # 1.5 of 3 files in 5 s
    for _ in range(40):
        clock.now += 1.0
        snapshot = counters.snapshot(1)
    assert snapshot.frames_per_second is None  # nothing for half a minute


def test_frames_of_an_episode_count_once(counters: RunCounters) -> None:
    assert counters.progressed("now.mkv", progress(130, 6.0)) == 10
    done = RecordingOutcome(RecordingState.DONE, frames=240, new_frames=240, video_seconds=10.0)
    assert counters.ended("now.mkv", done) == 110
    assert counters.snapshot(1).frames == 240


def test_an_attempt_that_goes_on_counts_its_own_frames(clock: Clock) -> None:
    counters = RunCounters(clock)
    counters.put("a.mkv", EpisodeStatus.WAITING, size=1000)
    counters.began("a.mkv", "local-0", 1000)
    counters.snapshot(1)
    clock.now += 2.0
    counters.progressed("a.mkv", RecordingProgress(200, 240, 3, 2.0, 48, 200 / 24))
    snapshot = counters.snapshot(1)
    assert (snapshot.frames, snapshot.frames_per_second) == (48, 24.0)
    assert snapshot.real_time_factor == pytest.approx(1.0)


def test_the_table_says_it_all(counters: RunCounters) -> None:
    text = shown(counters.snapshot(1))
    assert "2 / 4" in text
    assert "24.0 fps" in text
    assert "1.0 × real time, 0:05 left" in text
    assert "120 / 240" in text
    assert "3 tracks, track" in text
    assert "1 waiting, 1 running, 1 done, 1 broken" in text
    assert "odd [1].mkv: damaged [bold]data" in text


def test_a_narrow_terminal_is_no_error(counters: RunCounters) -> None:
    assert all(len(line) <= 40 for line in shown(counters.snapshot(1), 40).splitlines())


def test_long_names_keep_their_ends(counters: RunCounters) -> None:
    for number in ("01", "02"):
        counters.began(f"a very long name of a show that fills the terminal, season 1, episode {number}.mkv", "w", 9)
    name = "broken/" + "x" * 200 + "-03.mkv"
    counters.put(name, EpisodeStatus.BROKEN, f"cannot open /media/{name}: it is text, not a video")
    lines = shown(counters.snapshot(1)).splitlines()
    assert [re.match(r"a very.*….*episode 0[12]\.mkv ", line) is None for line in lines].count(False) == 2
    assert any(
        re.fullmatch(r"cannot open /media/broken/x+…x+-03\.mkv: it is text, not a video *", line) for line in lines
    )
    assert all(len(line) <= 100 for line in lines)


@pytest.mark.parametrize(
    ("name", "columns", "short"),
    [
        ("episode.mkv", 11, "episode.mkv"),
        ("episode.mkv", 10, "episo….mkv"),
        ("episode.mkv", 2, "e…"),
        ("episode.mkv", 1, "…"),
        ("episode.mkv", 0, ""),
        ("魔法少女01.mkv", 9, "魔法….mkv"),
    ],
)
def test_a_name_is_shortened_in_its_middle(name: str, columns: int, short: str) -> None:
    assert shortened(name, columns) == short


def test_the_summary(counters: RunCounters, clock: Clock) -> None:
    clock.now += 3595.0
    assert summary(counters.snapshot(1)) == (
        "1 waiting, 1 running, 1 done, 1 broken of 4 videos; 120 frames in 1:00:00, 0.0 fps"
    )
    assert [duration(seconds) for seconds in (0.4, 61, 3600)] == ["0:00", "1:01", "1:00:00"]


def test_a_log_has_every_event_and_now_and_then_the_rest(
    counters: RunCounters, capsys: pytest.CaptureFixture[str]
) -> None:
    observer = LogObserver()
    observer.show(counters.snapshot(1))
    observer.note("lost", name="caf\udce9.mkv", worker="local-0")
    (line,) = capsys.readouterr().out.splitlines()
    event = json.loads(line)
    assert (event["event"], event["name"]) == ("lost", "caf\udce9.mkv")
    assert json.loads(json.dumps(snapshot_values(counters.snapshot(1))))["videos"]["done"] == 1


def test_what_is_tried_again_stands_above_the_table() -> None:
    printed: list[str] = []

    class Live:
        """A place for a table."""

        class console:  # noqa: N801  # as rich calls it
            """Where lines go."""

            @staticmethod
            def print(text: str, style: str) -> None:
                printed.append(text)

    TableObserver(Live()).note("retry", name="a [x].mkv", reason="net")
    TableObserver(Live()).note("episode", name="b.mkv")
    assert printed == ["a \\[x].mkv: net; it will be retried"]


def test_metrics_are_served_as_long_as_the_run_goes_on() -> None:
    metrics = ArchiveMetrics()
    with ExitStack() as opened:
        port = expose(opened, "127.0.0.1:0", metrics)
        metrics.frames(3)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert "acfd_archive_frames_total 3.0" in answer.read().decode()
        with ExitStack() as second, pytest.raises(ConfigError, match="must be a free HOST:PORT"):
            expose(second, f"127.0.0.1:{port}", metrics)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10)
    with ExitStack() as opened:
        assert expose(opened, "", metrics) == 0
