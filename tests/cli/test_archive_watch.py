"""What a person and a log see of a run."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from contextlib import ExitStack

import pytest
from rich.console import Console

from acfd_stream.archive.records import EpisodeRowState
from acfd_stream.archive.run_metrics import ArchiveMetrics
from acfd_stream.archive.run_progress import Tally, View
from acfd_stream.cli.archive.run import expose
from acfd_stream.cli.archive.watch import LogWatcher, TableWatcher, duration, summary, table, view_values
from acfd_stream.errors import ConfigError
from acfd_stream.recording.task import EpisodeOutcome, EpisodeProgress, EpisodeState


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def progress(frames: int, seconds: float) -> EpisodeProgress:
    return EpisodeProgress(frames, 240, 3, seconds, frames, frames / 24)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tally(clock: Clock) -> Tally:
    """Four videos of a run: one done before, one broken, one half done, one that waits."""
    tally = Tally(clock)
    tally.put("old.mkv", EpisodeRowState.DONE, size=1000)
    for name in ("odd [1].mkv", "now.mkv", "later.mkv"):
        tally.put(name, EpisodeRowState.WAITING, size=1000)
    tally.put("odd [1].mkv", EpisodeRowState.BROKEN, "odd [1].mkv: damaged [bold]data")
    tally.settled(1000)
    tally.began("now.mkv", "local-0", 1000)
    tally.view(1)
    clock.now += 5.0
    tally.progressed("now.mkv", progress(120, 5.0))
    return tally


def shown(view: View, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(table(view))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_speeds_are_those_of_late(tally: Tally, clock: Clock) -> None:
    view = tally.view(1)
    assert (view.frames, view.frames_per_second, view.real_time_factor) == (120, 24.0, 1.0)
    assert (view.total, view.settled) == (4, 2)
    assert view.seconds_left == pytest.approx(5.0)  # 1.5 of 3 files in 5 s
    for _ in range(40):
        clock.now += 1.0
        view = tally.view(1)
    assert view.frames_per_second is None  # nothing for half a minute


def test_frames_of_an_episode_count_once(tally: Tally) -> None:
    assert tally.progressed("now.mkv", progress(130, 6.0)) == 10
    done = EpisodeOutcome(EpisodeState.DONE, frames=240, new_frames=240, video_seconds=10.0)
    assert tally.ended("now.mkv", done) == 110
    assert tally.view(1).frames == 240


def test_an_attempt_that_goes_on_counts_its_own_frames(clock: Clock) -> None:
    tally = Tally(clock)
    tally.put("a.mkv", EpisodeRowState.WAITING, size=1000)
    tally.began("a.mkv", "local-0", 1000)
    tally.view(1)
    clock.now += 2.0
    tally.progressed("a.mkv", EpisodeProgress(200, 240, 3, 2.0, 48, 200 / 24))
    view = tally.view(1)
    assert (view.frames, view.frames_per_second) == (48, 24.0)
    assert view.real_time_factor == pytest.approx(1.0)


def test_the_table_says_it_all(tally: Tally) -> None:
    text = shown(tally.view(1))
    assert "2 / 4" in text
    assert "24.0 fps" in text
    assert "1.0 × real time, 0:05 left" in text
    assert "120 / 240" in text
    assert "3 tracks, track" in text
    assert "1 waiting, 1 running, 1 done, 1 broken" in text
    assert "odd [1].mkv: damaged [bold]data" in text


def test_a_narrow_terminal_is_no_error(tally: Tally) -> None:
    assert all(len(line) <= 40 for line in shown(tally.view(1), 40).splitlines())


def test_the_summary(tally: Tally, clock: Clock) -> None:
    clock.now += 3595.0
    assert summary(tally.view(1)) == (
        "1 waiting, 1 running, 1 done, 1 broken of 4 videos; 120 frames in 1:00:00, 0.0 fps"
    )
    assert [duration(seconds) for seconds in (0.4, 61, 3600)] == ["0:00", "1:01", "1:00:00"]


def test_a_log_has_every_event_and_now_and_then_the_rest(tally: Tally, capsys: pytest.CaptureFixture[str]) -> None:
    watcher = LogWatcher()
    watcher.show(tally.view(1))
    watcher.note("lost", name="caf\udce9.mkv", worker="local-0")
    (line,) = capsys.readouterr().out.splitlines()
    event = json.loads(line)
    assert (event["event"], event["name"]) == ("lost", "caf\udce9.mkv")
    assert json.loads(json.dumps(view_values(tally.view(1))))["videos"]["done"] == 1


def test_what_is_tried_again_stands_above_the_table() -> None:
    printed: list[str] = []

    class Live:
        """A place for a table."""

        class console:  # noqa: N801  # as rich calls it
            """Where lines go."""

            @staticmethod
            def print(text: str, style: str) -> None:
                printed.append(text)

    TableWatcher(Live()).note("retry", name="a [x].mkv", reason="net")
    TableWatcher(Live()).note("episode", name="b.mkv")
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
