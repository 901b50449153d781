"""``track --report``: when the page is there, what is in it, and what is said where it cannot be made."""

from __future__ import annotations

import json
import os
from pathlib import Path

import av
import numpy as np
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.errors import OutputError
from acfd_stream.outputs import ResultEnd, ResultHeader
from acfd_stream.outputs.report import read_summary
from acfd_stream.recording.header import RecordingStart
from acfd_stream.recording.sinks import ReportSink
from acfd_stream.types import FrameResult, MediaInfo
from acfd_stream.video import open_video
from acfd_stream.video.frame import Frame
from tests.cli.test_track import names, track
from tests.outputs.report.drawn import MODEL, SIZE, STEADY, draw_clip, frame_of, square


def test_a_report_stands_beside_the_results(tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "--report", "seen.html")
    assert done.returncode == 0
    assert done.stderr.splitlines()[1:] == ["a.jsonl", "seen.html"]
    summary = read_summary(tmp_path / "seen.html")
    assert summary is not None
    assert (summary.frames, summary.tracks, summary.source) == (3, 1, "a.mp4")


@pytest.mark.parametrize("place", [["--format", "mot"], ["-o", "-"]], ids=["mot", "stdout"])
def test_a_report_needs_no_jsonl_in_a_file(place: list[str], tmp_path: Path) -> None:
    assert track(tmp_path, "a.mp4", "--report", "seen.html", *place).returncode == 0
    assert "a.jsonl" not in names(tmp_path)
    summary = read_summary(tmp_path / "seen.html")
    assert summary is not None
    assert summary.frames == 3


def test_the_report_of_a_video_that_broke_says_so(tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "--report", "seen.html", error="broke after frame 2")
    assert done.returncode == 1
    assert done.stderr.endswith("which is marked incomplete; the report of them is seen.html\n")
    assert "<b>Only the first 0:00.1 were tracked.</b> broke after frame 2" in (tmp_path / "seen.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--report", "a.jsonl"], "--output a.jsonl and --report a.jsonl would be one file"),
        (["--report", "b", "--overlay", "b"], "--overlay b and --report b would be one file"),
        (["--overlay", "boxes.xyz"], "--overlay must end in .mp4, got boxes.xyz; the overlay is an MP4 file"),
        (["--report", "a.mp4"], "--report a.mp4 would write over the input, a.mp4"),
        (["--report-proxy"], "--report-proxy goes with --report; name the page with --report OUT.html"),
    ],
)
def test_a_call_that_cannot_be_meant_is_refused(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"video")
    done = track(tmp_path, "a.mp4", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert names(tmp_path) == ["a.mp4"]


@pytest.mark.parametrize(("place", "reason"), [("no/such/a.html", "No such file"), (".", "Is a directory")])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(place: str, reason: str, tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "--report", place)
    assert done.returncode == 1
    assert reason in done.stderr
    assert names(tmp_path) == []


def test_an_interrupted_track_leaves_no_report(tmp_path: Path) -> None:
    done = track(tmp_path, "a.mp4", "--report", "seen.html", interrupted_at=1)
    assert done.returncode == 130
    assert names(tmp_path) == ["a.jsonl"]


def report_of_square(folder: Path, *, has_proxy: bool) -> ReportSink:
    draw_clip(folder / "clip.mp4", STEADY)
    header = ResultHeader("clip.mp4", SIZE, STEADY.time_base, MODEL, {"start": None})
    report = ReportSink(folder / "a.html", str(folder / "clip.mp4"), VideoConfig(), has_proxy=has_proxy)
    report.begin(RecordingStart(MediaInfo("clip.mp4", SIZE, STEADY.time_base, None, None, None, "h264"), header))
    return report


def pairs(folder: Path) -> list[tuple[Frame, FrameResult]]:
    with open_video(folder / "clip.mp4") as video:
        timings = {"queue": 9.0, "infer": 0.25}
        found = [(frame, frame_of(STEADY, frame.index, [square(1, frame.index)], timings=timings)) for frame in video]
    assert [frame.pts for frame, _ in found] == [16 * pts for pts in STEADY.pts]
    return found


def data_of(page: Path) -> dict[str, object]:
    text = page.read_text()
    return dict(json.loads(text.partition('id="data">')[2].partition("</script>")[0]))


def test_tracks_have_pictures_and_the_cost_of_a_frame_is_told(tmp_path: Path) -> None:
    report = report_of_square(tmp_path, has_proxy=False)
    for _, result in pairs(tmp_path):
        report.write(None, result)
    report.close(ResultEnd(1))
    page = data_of(tmp_path / "a.html")
    assert list(page["thumbnails"]) == ["1"]  # type: ignore[call-overload]
    assert page["video"] == {"url": "clip.mp4"}
    text = (tmp_path / "a.html").read_text()
    assert "<dd>median 250.0 ms, p95 250.0 ms</dd>" in text
    assert "<dt>· network</dt><dd>250.00 ms</dd>" in text
    assert "9000" not in text.partition("How it was made")[2].partition("</details>")[0]  # waiting is no work
    report.abort()
    assert (tmp_path / "a.html").exists()


def test_the_video_inside_is_that_of_the_file_but_small(tmp_path: Path) -> None:
    report = report_of_square(tmp_path, has_proxy=True)
    for frame, result in pairs(tmp_path):
        report.write(frame, result)
    report.close(ResultEnd(1))
    assert data_of(tmp_path / "a.html")["video"] == {"url": None, "isInside": True}
    inside = (tmp_path / "a.html").read_text().partition('id="proxy">')[2].partition("</script>")[0]
    assert len(inside) > 1000


def test_a_report_that_is_aborted_leaves_nothing(tmp_path: Path) -> None:
    report = report_of_square(tmp_path, has_proxy=True)
    scratch = Path(report._folder.name)
    for frame, result in pairs(tmp_path)[:3]:
        report.write(frame, result)
    report.abort()
    assert not scratch.exists()
    assert names(tmp_path) == ["clip.mp4"]


def test_a_read_only_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # whoever runs the tests may write everything
    with pytest.raises(OutputError, match=r"a\.html: Permission denied; choose another place"):
        report_of_square(tmp_path, has_proxy=False)


def test_a_small_copy_has_the_times_and_pictures_of_the_video(tmp_path: Path) -> None:
    from acfd_stream.video.render import OverlayWriter

    draw_clip(tmp_path / "clip.mp4", STEADY)
    with OverlayWriter(tmp_path / "small.mp4", is_drawn=False, longest_side=161) as writer:
        for frame, result in pairs(tmp_path):
            writer.write(frame, result)
    with av.open(str(tmp_path / "small.mp4")) as small:
        frames = list(small.decode(video=0))
    assert [float(frame.time or 0) for frame in frames] == [STEADY.seconds(index) for index in range(32)]
    image = frames[10].to_ndarray(format="rgb24")
    assert image.shape == (90, 160, 3)
    white = np.argwhere(image.min(axis=2) > 128)
    assert abs(white.min(axis=0) - [30, 44]).max() <= 1  # half of where the square is, and no box around it
    assert abs(white.max(axis=0) - [49, 63]).max() <= 1
