"""``track`` from the outside: what lies where and what is said, however it ends. The pipeline is made up."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FAKE = Path(__file__).with_name("fake_pipeline.py")


def command(plan: dict[str, Any], *arguments: str | Path) -> list[str]:
    return [sys.executable, "-B", str(FAKE), json.dumps(plan), *map(str, arguments)]


def track(folder: Path, *arguments: str | Path, **plan: Any) -> subprocess.CompletedProcess[str]:
    call = command(plan, "track", *arguments)
    return subprocess.run(call, cwd=folder, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def kinds(path: Path) -> list[str]:
    return [json.loads(line)["type"] for line in path.read_text().splitlines()]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_video_becomes_a_file_of_its_name_in_the_current_folder(tmp_path: Path) -> None:
    done = track(tmp_path, "/somewhere/Épisode 1.mkv")
    assert done.returncode == 0
    assert kinds(tmp_path / "Épisode 1.jsonl") == ["header", "frame", "frame", "frame", "end"]
    assert re.fullmatch(r"1 track in 3 frames; [\d.]+ fps\nÉpisode 1\.jsonl\n", done.stderr)
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("source", "name"), [("http://host/a%20b.mp4?key=1", "a b.jsonl"), ("http://host/", "video.jsonl")]
)
def test_a_url_gives_the_name_of_its_last_part(source: str, name: str, tmp_path: Path) -> None:
    assert track(tmp_path, source).returncode == 0
    assert names(tmp_path) == [name]


def test_quiet_says_nothing(tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_header_holds_what_changes_results_and_nothing_else(tmp_path: Path) -> None:
    track(tmp_path, "a.mp4", "-o", "a", "--start", "1", "--end", "2.5", "--scales", "480,640", "--batch", "1")
    track(tmp_path, "a.mp4", "-o", "b", "--start", "1", "--end", "2.5", "--scales", "480,640", "--threads", "3")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    header = json.loads((tmp_path / "a").read_text().splitlines()[0])
    settings = header["settings"]
    assert (settings["start"], settings["end"], settings["detect"]["scales"]) == (1.0, 2.5, [480, 640])
    assert not {"batch", "threads"} & set(settings["detect"])
    assert header["model"] == {"name": "fake", "version": "1", "precision": "f32"}


def test_mot_and_overlay_come_from_one_call(tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "--format", "mot", "--overlay", "seen.mp4")
    assert done.returncode == 0
    assert done.stderr.splitlines()[1:] == ["a.txt", "seen.mp4"]
    assert (tmp_path / "a.txt").read_text().splitlines()[2] == "3,1,2.12,2.00,49.88,58.00,0.9000,-1,-1,-1"
    assert (tmp_path / "seen.mp4").read_bytes() == b"..."


def test_what_is_odd_about_the_overlay_is_said_and_changes_no_result(tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "-q", "--overlay", "seen.mp4", overlay_warnings=["no sound"])
    assert (done.returncode, done.stderr) == (0, "acfd-stream: warning: seen.mp4: no sound\n")
    assert "warnings" not in json.loads((tmp_path / "a.jsonl").read_text().splitlines()[-1])


@pytest.mark.parametrize("name", ["a  b: c.jsonl", "name=a,b&c?d.jsonl"])
def test_the_last_line_is_a_path_as_it_was_given(name: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    done = track(tmp_path, "a.mp4", "-o", f"out/{name}")
    assert kinds(tmp_path / done.stderr.splitlines()[-1])[-1] == "end"


def test_a_folder_is_sent_to_archive_run(tmp_path: Path) -> None:
    (tmp_path / "my season").mkdir()
    for source in ("my season", f"file:{tmp_path}/my season"):
        done = track(tmp_path, source)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert done.stderr.startswith(f"acfd-stream: {source} is a folder; to track all its videos, run: ")
        hint = shlex.split(done.stderr.partition("run: ")[2])  # as a shell takes it
        assert hint == ["acfd-stream", "archive", "run", source.removeprefix("file:"), "--out", "RESULTS"]
    assert names(tmp_path) == ["my season"]
    (tmp_path / "-old").mkdir()
    assert track(tmp_path, "--", "-old").stderr.endswith("archive run ./-old --out RESULTS\n")


def test_dash_is_stdout(tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "-o", "-")
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()][-1] == "end"
    assert done.stderr.count("\n") == 1  # no path
    assert names(tmp_path) == []


def test_a_broken_input_keeps_its_frames_and_exits_1(tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", error="broke after frame 2", warnings=["odd"])
    assert done.returncode == 1
    assert done.stderr == (
        "acfd-stream: warning: a.mp4: odd\n"
        "acfd-stream: a.mp4: broke after frame 2; 3 frames kept in a.jsonl, which is marked incomplete\n"
    )
    end = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[-1])
    assert (end["complete"], end["frames"], end["error"]) == (False, 3, "broke after frame 2")


def test_an_input_that_is_not_read_to_its_end_says_so(tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", is_partial=True, warnings=["9 bytes cannot be read"])
    assert done.returncode == 1
    assert done.stderr == (
        "acfd-stream: warning: a.mp4: 9 bytes cannot be read\n"
        "acfd-stream: a.mp4: not all of it can be read; 3 frames kept in a.jsonl, which is marked incomplete\n"
    )


def test_a_broken_input_leaves_mot_under_another_name(tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "--format", "mot", error="broke")
    assert (done.returncode, names(tmp_path)) == (1, ["a.txt.part"])
    assert "kept in a.txt.part" in done.stderr


def test_a_broken_input_leaves_its_overlay_under_another_name(tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "--overlay", "seen.mp4", error="broke")
    assert (done.returncode, names(tmp_path)) == (1, ["a.jsonl", "seen.mp4.part"])
    assert done.stderr.endswith("which is marked incomplete; the overlay so far is seen.mp4.part\n")


def test_a_warning_is_said_and_written_and_exits_0(tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "-q", warnings=["6 of 745 frames"])
    assert (done.returncode, done.stderr) == (0, "acfd-stream: warning: a.mp4: 6 of 745 frames\n")
    end = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[-1])
    assert (end["complete"], end["warnings"]) == (True, ["6 of 745 frames"])


def test_gaps_are_said_and_written_and_exit_0(tmp_path: Path) -> None:
    gaps = [(1.0, 0.25, "lost packets"), (2.0, 0.125, "time hole")]
    done = track(tmp_path, "a.mp4", "--format", "mot", "--overlay", "seen.mp4", gaps=gaps)
    assert (done.returncode, names(tmp_path)) == (0, ["a.txt", "seen.mp4"])
    assert done.stderr.startswith("1 track in 3 frames, 2 gaps of 0.375 s in all; ")
    done = track(tmp_path, "a.mp4", gaps=gaps)
    end = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[-1])
    assert (done.returncode, end["complete"], len(end["gaps"])) == (0, False, 2)


def test_a_missing_file_is_the_input_s_fault_and_touches_no_older_result(tmp_path: Path) -> None:
    track(tmp_path, "a.mp4", "-o", "missing.jsonl")
    older = (tmp_path / "missing.jsonl").read_bytes()
    done = track(tmp_path, "missing.mp4")
    assert done.returncode == 1
    assert done.stderr == "acfd-stream: cannot open missing.mp4: No such file or directory\n"
    assert (tmp_path / "missing.jsonl").read_bytes() == older


@pytest.mark.parametrize(
    ("raises", "code"),
    [
        ("RunnerError", 2),
        ("MediaError", 1),
        ("OutputError", 1),
        ("ConfigError", 2),
        ("ShapeError", 70),
        ("KeyError", 70),
    ],
)
def test_an_error_in_the_middle_is_one_line_and_leaves_no_closing_line(raises: str, code: int, tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "--overlay", "seen.mp4", at=2, raises=raises)
    assert done.returncode == code
    assert done.stderr.count("\n") == 1
    assert "happened" in done.stderr
    left = "a.jsonl.part" if raises == "OutputError" else "a.jsonl"
    assert names(tmp_path) == [left]
    assert kinds(tmp_path / left) == ["header", "frame", "frame"]


def test_a_fault_of_the_program_shows_its_traceback_when_asked(tmp_path: Path) -> None:
    call = command({"at": 1, "raises": "KeyError"}, "track", "a.mp4")
    done = subprocess.run(
        call, cwd=tmp_path, capture_output=True, text=True, timeout=60, env={**os.environ, "ACFD_DEBUG": "1"}
    )
    assert done.returncode == 70
    assert "Traceback" in done.stderr


def test_an_overlay_that_cannot_be_written_sets_the_results_aside(tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "--overlay", "seen.mp4", overlay_fails=True)
    assert (done.returncode, names(tmp_path)) == (1, ["a.jsonl.part"])
    assert done.stderr == (
        "acfd-stream: cannot write seen.mp4: No space left on device; the results so far are in a.jsonl.part\n"
    )


def test_an_overlay_that_cannot_be_finished_leaves_the_results_whole(tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "--overlay", "no/seen.mp4")  # the made-up overlay opens its file at the end
    assert (done.returncode, names(tmp_path)) == (1, ["a.jsonl"])
    assert done.stderr.endswith("; the results are in a.jsonl\n")
    assert kinds(tmp_path / "a.jsonl")[-1] == "end"


@pytest.mark.parametrize("place", ["no/such/folder/a.jsonl", "/proc/a.jsonl", "/dev/full", "."])
def test_a_place_that_takes_nothing_is_one_line_and_exits_1(place: str, tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "-o", place)
    assert done.returncode == 1
    assert done.stderr.startswith(f"acfd-stream: cannot write {place}: ")
    assert done.stderr.count("\n") == 1


def test_a_full_stdout_is_one_line_and_exits_1(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        call = command({}, "track", "a.mp4", "-o", "-")
        done = subprocess.run(call, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == (
        "acfd-stream: cannot write <stdout>: No space left on device; make room or choose another place\n"
    )


def test_a_reader_that_goes_away_is_no_error_message(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        call = command({}, "track", "a.mp4", "-o", "-")
        done = subprocess.run(call, cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("option", ["-o", "--overlay"])
def test_the_input_is_never_written_over(option: str, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"video")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a.mp4")
    done = track(tmp_path, "a.mp4", option, "link.mp4")
    assert done.returncode == 2
    assert "link.mp4 would write over the input" in done.stderr
    assert (tmp_path / "a.mp4").read_bytes() == b"video"


@pytest.mark.parametrize("option", ["-o", "--overlay"])
def test_a_part_that_is_the_input_is_never_written_over(option: str, tmp_path: Path) -> None:
    (tmp_path / "a.mp4.part").write_bytes(b"video")
    done = track(tmp_path, "a.mp4.part", option, "a.mp4")
    assert done.returncode == 2
    assert "a.mp4 would write over the input, a.mp4.part" in done.stderr
    assert (tmp_path / "a.mp4.part").read_bytes() == b"video"


@pytest.mark.parametrize("overlay", ["./b.mp4", "b.mp4.part", "link.mp4"])
def test_results_and_overlay_need_two_places(overlay: str, tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to("b.mp4")
    done = track(tmp_path, "a.mp4", "-o", "b.mp4", "--overlay", overlay)
    assert (done.returncode, names(tmp_path)) == (2, ["link.mp4"])


def test_an_empty_name_is_the_call_s_fault(tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "-o", "")
    assert (done.returncode, done.stderr) == (2, "acfd-stream: --output is empty; name a file, or leave it out\n")


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGINT, 130, "acfd-stream: interrupted after 2 frames; a.jsonl is unfinished"),
        (signal.SIGTERM, 143, "acfd-stream: terminated after 2 frames; a.jsonl is unfinished"),
        (signal.SIGKILL, -9, None),
    ],
)
def test_a_stopped_run_leaves_whole_lines_and_no_closing_line(
    number: signal.Signals, code: int, said: str | None, tmp_path: Path
) -> None:
    call = command({"frames": 2, "wait": True}, "track", "a.mp4", "--overlay", "seen.mp4")
    with subprocess.Popen(call, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == "waiting\n"
        running.send_signal(number)
        lines = running.communicate(timeout=60)[1].splitlines()
    assert running.returncode == code
    assert lines == ([] if said is None else ["session closed", said])
    assert names(tmp_path) == ["a.jsonl"]
    assert kinds(tmp_path / "a.jsonl") == ["header", "frame", "frame"]
