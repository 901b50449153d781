"""What compares us with peers: turns, ratios, tables and the chart; no peer is run here."""

from __future__ import annotations

import importlib
import struct
import sys
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from acfd_stream import Detector
from acfd_stream.config import DetectConfig
from benchmarks import bench_peers, bench_stream
from benchmarks.peers import yunet
from benchmarks.peers.chart import draw
from benchmarks.peers.field import Contestant
from tests.clips import drawing, encode

FRAMES = 30
OURS = Contestant("ours", "us", "tracks", "ours")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = [drawing((96, 128), (20 + index // 2 * 2, 28), is_behind_cut=False) for index in range(FRAMES)]  # on twos
    return encode(tmp_path_factory.mktemp("clips") / "clip.mp4", frames, (96, 128))


class FakeChild:
    """Says how long a pass took, and writes down whose turn it was."""

    def __init__(self, name: str, seconds: list[float], turns: list[tuple[str, Path]], frames: int = 10) -> None:
        self._name, self._seconds, self._turns, self._frames = name, iter(seconds), turns, frames

    def take(self, path: Path) -> dict[str, Any]:
        self._turns.append((self._name, path))
        return {"frames": self._frames, "boxes": 3, "seconds": next(self._seconds)}


def figures(**seconds: list[float]) -> bench_peers.Figures:
    return {name: [{"frames": 10, "boxes": 3, "seconds": each} for each in taken] for name, taken in seconds.items()}


def contest_rows() -> list[dict[str, Any]]:
    said = {"ours": "we", "yolo11n": "they"}
    about = {"size": "1080x1920", "codec": "h264"}
    return bench_peers.rows_of("peer", figures(ours=[1.0, 0.5], yolo11n=[4.0, 3.0]), said, about, "fps")


def test_one_works_while_the_others_wait_round_by_round() -> None:
    turns: list[tuple[str, Path]] = []
    children = {name: FakeChild(name, [9.0, 1.0, 2.0], turns) for name in ("ours", "theirs")}
    found = bench_peers.in_turn(children, Path("clip"), Path("warm"), 2)  # type: ignore[arg-type]
    rounds = [("ours", Path("clip")), ("theirs", Path("clip"))] * 2
    assert turns == [("ours", Path("warm")), ("theirs", Path("warm")), *rounds]
    assert [taken["seconds"] for taken in found["theirs"]] == [1.0, 2.0]


def test_nothing_is_kept_of_a_race_over_different_frames() -> None:
    children = {"ours": FakeChild("ours", [1.0] * 2, []), "theirs": FakeChild("theirs", [1.0] * 2, [], frames=9)}
    with pytest.raises(SystemExit, match="frame counts differ"):
        bench_peers.in_turn(children, Path("clip"), Path("warm"), 1)  # type: ignore[arg-type]


def test_a_ratio_is_taken_within_its_round() -> None:
    rows = {row["name"]: row for row in contest_rows()}
    assert list(rows) == ["peer_ours", "peer_yolo11n", "peer_yolo11n_ratio"]
    assert (rows["peer_ours"]["median"], rows["peer_ours"]["unit"]) == (15.0, "fps")
    assert rows["peer_yolo11n_ratio"]["median"] == pytest.approx((4.0 + 6.0) / 2)
    assert rows["peer_yolo11n"]["parameters"]["who"] == "they"


def test_a_contestant_runs_in_a_process_of_its_own(clip: Path, tiny_model: Path) -> None:
    given = {"model": str(tiny_model), "size": "128"}
    with bench_peers.Child(OURS, sys.executable, "", given) as child:
        assert child.answer()["description"].startswith("acfd_stream, openvino")
        taken = [child.take(clip) for _ in range(2)]
    assert [each["frames"] for each in taken] == [FRAMES, FRAMES]
    assert taken[0]["boxes"] == taken[1]["boxes"] > 0
    assert all(each["seconds"] > 0 for each in taken)


def test_who_cannot_be_loaded_is_left_out_in_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    broken = Contestant("broken", "a broken one", "faces", "nobody")
    assert list(bench_peers.loaded([broken], {False: sys.executable}, "", {})) == []
    assert capfd.readouterr().err == "skipped, a broken one: ModuleNotFoundError: No module named 'nobody'\n"


def test_without_the_packages_of_the_peers_older_figures_stay(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_peers", "--peers-python", str(tmp_path / "python")])
    monkeypatch.setattr(bench_peers, "save", pytest.fail)
    bench_peers.main()
    assert "is not there, so there is nobody to compare with; nothing is kept" in capsys.readouterr().out


def test_a_clip_is_cut_to_its_first_frames(clip: Path, tmp_path: Path) -> None:
    short = bench_peers.cut(clip, 7, tmp_path / "short.mp4")
    with av.open(str(short)) as source:
        assert sum(1 for _ in source.decode(video=0)) == 7


def test_the_chart_is_a_picture_with_a_bar_a_contestant(tmp_path: Path) -> None:
    rows = contest_rows()
    sizes = []
    for count, name in ((1, "one.png"), (3, "both.png")):
        draw(rows[:count], tmp_path / name)
        data = (tmp_path / name).read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        sizes.append(struct.unpack(">II", data[16:24]))
    assert sizes[0][0] >= 800
    assert sizes[0][1] < sizes[1][1]


def test_the_table_names_all_and_how_often_we_are_as_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(bench_peers.ROOT / "benchmarks"))
    table = importlib.import_module("readme_table").peers_table(contest_rows())
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(lines) == 2
    assert lines[0].startswith("| acfd_stream | faces, tracks, shots | 15 fps |")
    assert lines[1].startswith("| Ultralytics YOLO11n track | 80 classes, tracks | 2.92 fps |")
    assert lines[1].endswith("| 5 × |")


def test_the_network_drawn_for_yunet_is_what_opencv_takes(tmp_path: Path) -> None:
    path = tmp_path / "yunet.onnx"
    assert yunet.write_network(path, 64, 96) == 75_856  # as the paper counts
    detector = cv2.FaceDetectorYN.create(str(path), "", (96, 64))
    _, faces = detector.detect(np.zeros((64, 96, 3), np.uint8))
    assert faces is None or faces.shape[1] == 15


def test_a_clip_is_timed_from_bytes_to_lines_in_both_ways(clip: Path, tiny_model: Path) -> None:
    with Detector.open(tiny_model, config=DetectConfig(size=128)) as detector:
        found = bench_stream.in_turn(clip, detector, 10.0, 2)
    assert {name: (passes.frames, len(passes.seconds)) for name, passes in found.items()} == {
        "": (FRAMES, 2),
        "every_frame": (FRAMES, 2),
    }
    assert found["every_frame"].reused == 0 < found[""].reused < FRAMES
    rows = {row["name"]: row for row in bench_stream.rows_of(96, found, {})}
    speeds, times = rows["stream_96_fps"], rows["stream_96_real_time"]
    assert times["median"] == pytest.approx(speeds["median"] / 24, rel=1e-3)
    assert clip.with_suffix(".jsonl").read_text().splitlines()[-1].startswith('{"type": "end"')
    stages = {row["name"] for row in bench_stream.stage_rows(found["every_frame"].results, {})}
    assert {"stream_frame", "stage_decode", "stage_infer", "stage_track"} <= stages
