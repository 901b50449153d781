from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from acfd_stream import progress
from acfd_stream.cli import main
from acfd_stream.client.client import Client
from acfd_stream.client.load_test import Load, LoadPlan, LoadRow, most_loads, sweep
from acfd_stream.errors import ConfigError
from acfd_stream.service.server import Server
from tests.service.rig import serving


def row_of(streams: int, in_time: int, late: int = 0, **more: object) -> LoadRow:
    row = LoadRow(streams, admitted=streams, **more)  # type: ignore[arg-type]
    row.outcomes = Counter({"ok": in_time, "late": late})
    row.server_seconds = [0.01] * in_time + [0.2] * late
    return row


def test_a_load_keeps_the_objective_when_95_of_100_frames_do() -> None:
    assert row_of(1, 95, 5).keeps(0.05)
    assert not row_of(1, 94, 6).keeps(0.05)
    assert not row_of(1, 100, refused=1).keeps(0.05)
    assert not row_of(1, 100, failures=["broke"]).keeps(0.05)
    assert not row_of(1, 0).keeps(0.05)


def test_frames_that_never_came_count_against_it() -> None:
    row = row_of(1, 95, 0)
    row.outcomes["dropped"] = 6
    assert not row.keeps(0.05)
    assert row.values()["latency"]["p95"] == 0.01


@pytest.mark.parametrize("limit", [0, 1, 3, 5, 6, 8, 100])
def test_a_sweep_finds_the_largest_load_that_keeps_it(limit: int) -> None:
    asked: list[int] = []

    def run(streams: int) -> LoadRow:
        asked.append(streams)
        return row_of(streams, 100 if streams <= limit else 0, 0 if streams <= limit else 100)

    rows, largest = sweep(run, [1, 2, 4, 8], 0.05, lambda row: None)
    assert largest == min(limit, 8)
    assert len(asked) == len(set(asked)) == len(rows) <= most_loads([1, 2, 4, 8]) == 6
    assert [row.streams for row in rows] == sorted(asked)


@pytest.mark.parametrize("values", [{"fps": 0.0}, {"objective_seconds": 0.0}, {"seconds": 0.5}])
def test_a_plan_that_makes_no_sense_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        LoadPlan(Path("a"), **values)  # type: ignore[arg-type]


def test_streams_are_fed_by_the_clock_and_all_their_frames_are_told(server: Server, clip: Path) -> None:
    plan = LoadPlan(clip, objective_seconds=20.0, seconds=1.0, warmup_seconds=0.25, drop_policy="wait")
    cpu = iter([1.0, 3.0])
    load = Load(lambda: Client(f"127.0.0.1:{server.port}", patience_seconds=0.0), plan, lambda: next(cpu))
    row = load.run(2)
    assert (row.admitted, row.refused, row.failures) == (2, 0, [])
    assert row.answered == 48
    assert set(row.outcomes) == {"ok"}
    assert 36 <= row.frames < 48  # one of the warm-up that leaves late, on a busy machine, counts
    assert row.goodput == 1.0
    assert len(row.server_seconds) == len(row.client_seconds) == row.frames
    assert row.keeps(20.0)
    values = row.values()
    assert values["server_cpu_per_frame"] == round(2.0 / 48, 6)
    assert values["latency"]["p50"] <= values["latency"]["p99"] <= values["latency"]["longest"]


def test_streams_that_do_not_fit_are_refused_at_once_and_timed(tiny_model: Path, clip: Path) -> None:
    from acfd_stream.service.settings import Limits

    plan = LoadPlan(clip, objective_seconds=20.0, seconds=1.0, warmup_seconds=0.0, drop_policy="wait")
    with serving(tiny_model, limits=Limits(streams=1)) as server:
        row = Load(lambda: Client(f"127.0.0.1:{server.port}", patience_seconds=0.0), plan).run(3)
    assert (row.admitted, row.refused, row.failures) == (1, 2, [])
    assert len(row.refusal_seconds) == 2
    assert row.values()["refusal"]["longest"] < 5.0
    assert row.server_cpu_seconds is None


def test_the_command_writes_a_report_and_a_picture(
    tiny_model: Path,
    clip: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    report = tmp_path / "report.json"
    service = f"--model {tiny_model} --size 128 --threads 1"
    call = ["bench", "service", "--spawn", "--with", service, "--clip", str(clip), "-o", str(report)]
    assert main([*call, "--streams", "1", "--seconds", "1.5", "--objective", "20", "--drop", "wait"]) == 0
    values = json.loads(report.read_text())
    assert (values["largest"], values["size"], values["clip"]) == (1, [96, 128], "clip.mkv")
    [row] = values["rows"]
    assert row["goodput"] == 1.0
    assert row["server_cpu_per_frame"] > 0
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    told = capfd.readouterr()
    assert "1 streams: 1 admitted, 0 refused, 0 broken" in told.out
    assert "0.0%: measuring\n100.0%: 1 stream measured\n" in told.err
    end = f"largest load with p95 within 20000 ms: 1 stream\n{report}\n{report.with_suffix('.png')}\n"
    assert told.err.endswith(end)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "either --to HOST:PORT or --spawn"),
        (["--spawn", "--to", "a:1"], "either --to HOST:PORT or --spawn"),
        (["--spawn", "--streams", "1,two"], "whole numbers"),
        (["--spawn", "-o", "report.txt"], "must end in .json"),
    ],
)
def test_a_call_at_fault_is_one_line(capfd: pytest.CaptureFixture[str], options: list[str], words: str) -> None:
    assert main(["bench", "service", *options]) == 2
    assert words in capfd.readouterr().err
