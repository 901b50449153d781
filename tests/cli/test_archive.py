"""``archive`` from the command line to the last byte: run, run again, be killed, resume, share, look."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from acfd_stream.archive.manifest import Manifest
from acfd_stream.cli import main
from acfd_stream.cli.archive.status import gather
from tests.clips import encode
from tests.pipeline.conftest import SIZE, draw

PATIENCE = 120.0
FEW, MANY = 40, 400


@dataclass(frozen=True)
class Archive:
    """A folder of videos, and a model for them."""

    library: Path
    out: Path
    model: Path

    def arguments(self, *more: str) -> list[str]:
        out = ["--out", str(self.out), "--model", str(self.model), "--size", "128", "--checkpoint-seconds", "0.2"]
        return ["archive", "run", str(self.library), *out, *more]

    def results(self) -> dict[str, bytes]:
        """What lies in OUT under a final name, without the views of tracks."""
        paths = [path for path in self.out.rglob("*") if path.is_file() and ".acfd" not in path.parts]
        found = {str(path.relative_to(self.out)): path.read_bytes() for path in paths}
        return {name: content for name, content in found.items() if not name.endswith(".views.ndjson")}


@pytest.fixture
def archive(tmp_path: Path, tiny_model: Path) -> Archive:
    return Archive(tmp_path / "library", tmp_path / "out", tiny_model)


@dataclass(frozen=True)
class Long:
    """A film that takes long enough to be disturbed, and what ``track`` makes of it."""

    archive: Archive
    tracked: bytes


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Long:
    folder = tmp_path_factory.mktemp("long")
    archive = Archive(folder / "library", folder / "out", tiny_model)
    return Long(archive, tracked(archive, film(archive.library / "long.mkv", MANY), folder))


@pytest.fixture
def long(long_film: Long, tmp_path: Path) -> Long:
    """The film with an OUT of the test's own."""
    return replace(long_film, archive=replace(long_film.archive, out=tmp_path / "out"))


def film(path: Path, frames: int = FEW, first: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return encode(path, (draw((first + index) % 60) for index in range(frames)), SIZE)


def tracked(archive: Archive, video: Path, tmp_path: Path, *options: str) -> bytes:
    """What the command ``track`` makes of a video."""
    place = tmp_path / "tracked.jsonl"
    settings = ["--model", str(archive.model), "--size", "128", *options]
    assert main(["track", str(video), "-q", "-o", str(place), *settings]) == 0
    return place.read_bytes()


def events(text: str) -> list[dict[str, Any]]:
    """What a log says, but for how far the run is, which depends on the machine."""
    found = [json.loads(line) for line in text.splitlines()]
    return [each for each in found if each["event"] != "progress"]


def started(arguments: list[str]) -> subprocess.Popen[str]:
    """The command in a process of its own, at the head of its group; it hears SIGHUP, whatever the tests run under."""
    command = [sys.executable, "-m", "acfd_stream.cli", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    hear = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, text=True, start_new_session=True, preexec_fn=hear, **pipes
    )


def until(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for a fact, as long as the process lives."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def begun(archive: Archive, least: int = 5000) -> Callable[[], bool]:
    """Whether the lines of an unfinished episode have come so far."""

    def holds() -> bool:
        parts = archive.out.glob(".acfd/parts/*.jsonl")
        return any(part.stat().st_size > least for part in parts if part.exists())

    return holds


def test_a_folder_is_worked_through_once(archive: Archive, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one, two = film(archive.library / "one.mkv"), film(archive.library / "show" / "two.mkv", first=25)
    (archive.library / "odd.mp4").write_bytes(b"no video")
    assert main(archive.arguments()) == 1
    told = capfd.readouterr()
    assert [(each["event"], each.get("name"), each.get("state")) for each in events(told.out)] == [
        ("begin", None, None),
        ("episode", "odd.mp4", "broken"),
        ("episode", "one.mkv", "done"),
        ("episode", "show/two.mkv", "done"),
    ]
    complaint, summary, path = told.err.splitlines()
    assert path == str(archive.out)
    assert complaint.startswith(f"acfd-stream: {archive.library}/odd.mp4: is text, not a video")
    assert summary.startswith("2 done, 1 broken of 3 videos; 80 frames in")
    results = archive.results()
    assert sorted(results) == ["one.mkv.jsonl", "show/two.mkv.jsonl"]
    assert results["one.mkv.jsonl"] == tracked(archive, one, tmp_path)
    assert results["show/two.mkv.jsonl"] == tracked(archive, two, tmp_path)
    assert main(archive.arguments()) == 1
    told = capfd.readouterr()
    assert [each["event"] for each in events(told.out)] == ["begin"]
    assert "odd.mp4: is text, not a video" in told.err
    assert archive.results() == results


def test_another_least_score_is_tracked_anew_and_as_track_does(archive: Archive, tmp_path: Path) -> None:
    video = film(archive.library / "one.mkv")
    for options, tracks in (((), 2), (("--min-score", "0.99"), 0)):
        assert main(archive.arguments("-q", *options)) == 0
        result = archive.results()["one.mkv.jsonl"]
        assert result == tracked(archive, video, tmp_path, *options)
        assert json.loads(result.splitlines()[-1])["tracks"] == tracks


def test_status_and_other_outputs(archive: Archive, capfd: pytest.CaptureFixture[str]) -> None:
    film(archive.library / "one.mkv")
    assert main(archive.arguments("-q")) == 0
    assert main(archive.arguments("-q", "--outputs", "vtt,mot", "--report")) == 0
    assert sorted(archive.results()) == [
        *("index.html", "one.mkv.jsonl", "one.mkv.mot.txt", "one.mkv.poster.jpg", "one.mkv.report.html", "one.mkv.vtt")
    ]
    assert capfd.readouterr().out == ""
    assert main(["archive", "status", str(archive.out)]) == 0
    assert capfd.readouterr().out.startswith("1 video: 1 done\ndone: 2 tracks in 40 frames, 0:02 of video, ")
    assert main(["archive", "status", str(archive.out), "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["videos"] == {"waiting": 0, "running": 0, "done": 1, "broken": 0, "failing": 0}
    assert main(["archive", "status", str(archive.out), "--all"]) == 0
    assert "\n  done: one.mkv: 2 tracks in 40 frames, 0:02 of video, " in capfd.readouterr().out
    assert main(["archive", "status", str(archive.out), "--all", "--json"]) == 0
    (episode,) = json.loads(capfd.readouterr().out)["episodes"]
    assert (episode["name"], episode["state"], episode["outputs"]) == (
        *("one.mkv", "done", ["mot", "poster", "report", "views", "vtt"]),
    )
    assert episode["fps"] > 0
    (archive.out / "one.mkv.report.html").unlink()
    (archive.out / "one.mkv.poster.jpg").unlink()
    (archive.out / "index.html").unlink()
    assert main(["archive", "report", str(archive.out)]) == 0
    assert {"index.html", "one.mkv.poster.jpg", "one.mkv.report.html"} <= set(archive.results())


def test_status_loads_nothing_heavy(archive: Archive) -> None:
    Manifest(archive.out, is_new=True).close()
    heavy = ["av", "cv2", "numpy", "openvino", "rich"]
    code = f"import sys; from acfd_stream.cli import main; main(['archive', 'status', {str(archive.out)!r}]); "
    code += f"print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.stdout == "0 videos: none\n[]\n"


@pytest.mark.parametrize("way", ["SIGKILL of the run", "SIGHUP of all", "SIGINT of all"])
def test_a_run_that_is_ended_goes_on_with_the_same_bytes(long: Long, way: str) -> None:
    archive = long.archive
    process = started(archive.arguments())
    until(begun(archive), process)
    number = signal.Signals[way.split()[0]]
    (os.killpg if way.endswith("all") else os.kill)(process.pid, number)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == {"SIGKILL": -9, "SIGTERM": 143, "SIGHUP": 143, "SIGINT": 130}[number.name]
    assert archive.results() == {}
    assert gather(archive.out)["videos"]["waiting"] == 1
    if number is not signal.SIGKILL:
        assert "0 of 1 videos finished; 'acfd-stream archive resume" in errors
        assert list(archive.out.glob(".acfd/parts/*.checkpoint"))
    assert main(["archive", "resume", str(archive.out), "-q"]) == 0
    assert archive.results() == {"long.mkv.jsonl": long.tracked}
    assert list((archive.out / ".acfd" / "parts").iterdir()) == []


def test_a_worker_that_is_killed_is_replaced(long: Long) -> None:
    import psutil

    archive = long.archive
    process = started(archive.arguments())
    until(begun(archive), process)
    children = psutil.Process(process.pid).children()
    worker = next(child for child in children if "spawn_main" in " ".join(child.cmdline()))
    worker.kill()
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert [each["reason"] for each in events(output) if each["event"] == "lost"] == [
        "killed by SIGKILL, perhaps for want of memory"
    ]
    assert archive.results() == {"long.mkv.jsonl": long.tracked}


def test_two_runs_share_a_folder(archive: Archive) -> None:
    for number in range(4):
        film(archive.library / f"{number}.mkv", 100, first=number)
    processes = [started(archive.arguments()) for _ in range(2)]
    told = [process.communicate(timeout=PATIENCE) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    results = archive.results()
    assert sorted(results) == [f"{number}.mkv.jsonl" for number in range(4)]
    assert all(json.loads(result.splitlines()[-1])["complete"] for result in results.values())
    done = [each["name"] for output, _ in told for each in events(output) if each.get("state") == "done"]
    assert sorted(done) == [f"{number}.mkv" for number in range(4)]  # each by one of them


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "{library}", "--out", "{out}", "--outputs", "jsonl,gif"], "outputs must be of jsonl, parquet"),
        (["run", "{library}", "--out", "{out}", "--model", "nobody"], "no model 'nobody'"),
        (["run", "{library}", "--out", "{out}", "--metrics", "nowhere"], "--metrics must be a free HOST:PORT"),
        (["run", "{library}", "--out", "{out}", "--checkpoint-seconds", "0"], "checkpoint_seconds must be > 0"),
        (["run", "--out", "{out}"], "Missing argument"),
        (["status", "{out}"], "holds no archive"),
        (["resume", "{out}"], "holds no archive"),
        (["report", "{out}"], "holds no archive"),
    ],
)
def test_a_call_that_cannot_be_done_is_refused(
    archive: Archive, arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    film(archive.library / "one.mkv")
    filled = [each.format(library=archive.library, out=archive.out) for each in arguments]
    assert main(["archive", *filled]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line
    assert "invalid literal" not in line
    assert not archive.out.exists()


def test_a_folder_without_videos_is_the_inputs_fault(archive: Archive, capfd: pytest.CaptureFixture[str]) -> None:
    archive.library.mkdir()
    assert main(archive.arguments()) == 1
    assert "has no video" in capfd.readouterr().err
