"""What real archives hold, through ``track`` with the real pipeline: exit code, one line, and what is kept."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from acfd_stream.cli import main

REFUSED = {
    "moviepy_zero.webm": "is empty",
    "jetplay_error.mp4": "is text, not a video",
    "ogvjs_1frame.ogv": "cannot be opened",
    "ax_sample_malformed_free_box.mp4": "is not a video",
    "ax_invalid-bitstream.webm": "can be decoded",
    "mb_multiple-aac-tracks.mp4": "no video stream",
    "lpms_zero-frame.ts": "no frame",
}
LOSSY = {"decord_corrupted.mp4": 49, "ax_sample_with_invalid_nalu.mp4": 29}
SHORT = {"mb_annex-b.mp4": 6}
WHOLE = {  # frames, and the first time in seconds as the packets of the container say, edit lists applied
    "ax_bbb_800x640_768kbps_30fps_avc_2b_firstpts_10_sec.mp4": (120, 10.0),
    "ax_sample_edit_list.mp4": (77, 0.0),
    "bbb_432_433_moviepy.webm": (24, 0.0),
    "bmx_separate_fields_gop.h264": (15, 0.0),
    "popcorn_trailer.ogv": (1340, 0.0),
    "caminandes_llama_drama_av1.webm": (670, 0.007),
    "lpms_missing-dts.ts": (120, 25994.032),
    "mb_cursed-vfr.mp4": (63, 0.0),
    "mb_rotate-buck-bunny.mp4": (45, 0.083333),
    "mb_sar_2x1.mp4": (150, 0.0),
    "moviepy_no_duration.webm": (74, 0.0),
    "pigs_in_a_polka.gif": (30, 0.0),
}
Outcome = tuple[int, list[str], list[dict[str, Any]]]


def tiny_model_module() -> ModuleType:
    """The detect room's hand-made network, by its file: test folders are no packages."""
    path = Path(__file__).parents[1] / "detect" / "tiny_model.py"
    spec = importlib.util.spec_from_file_location("cli_tiny_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tiny_model_module().write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")
    return path


def result_lines(place: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []


@pytest.fixture
def track(shared: Path, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Any:
    """(exit code, lines on stderr, result lines) of ``track`` on an odd file."""

    def run(name: str) -> Outcome:
        place = tmp_path / "out.jsonl"
        source = shared / "videos" / "odd" / name
        code = main(["track", str(source), "-o", str(place), "--model", str(model), "--size", "64", "--quiet"])
        out, err = capfd.readouterr()
        assert out == ""
        assert [path.name for path in tmp_path.iterdir()] in ([], [place.name])
        return code, err.splitlines(), result_lines(place)

    return run


@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_no_picture_is_one_line_and_no_file(name: str, track: Any) -> None:
    code, said, lines = track(name)
    assert (code, len(said), lines) == (1, 1, [])
    assert name in said[0]
    assert REFUSED[name] in said[0]


@pytest.mark.parametrize("name", LOSSY)
def test_a_packet_that_cannot_be_decoded_costs_its_frame(name: str, track: Any) -> None:
    code, said, lines = track(name)
    assert code == 0
    assert [line["index"] for line in lines[1:-1]] == list(range(LOSSY[name]))
    assert lines[-1]["complete"] is False
    assert [gap["cause"] for gap in lines[-1]["gaps"]] == ["damaged packet"]
    assert [line.split(f"{name}: ")[1] for line in said] == lines[-1]["warnings"]


@pytest.mark.parametrize("name", SHORT)
def test_what_is_cut_short_is_not_complete(name: str, track: Any) -> None:
    code, said, lines = track(name)
    assert code == 0
    assert (lines[-1]["frames"], lines[-1]["complete"]) == (SHORT[name], False)
    assert [gap["cause"] for gap in lines[-1]["gaps"]] == ["damaged container"]
    assert any("its header promises 745 frames, 6 are there" in warning for warning in lines[-1]["warnings"])
    assert [line.split(f"{name}: ")[1] for line in said] == lines[-1]["warnings"]


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_only_odd_runs_in_silence(name: str, track: Any) -> None:
    code, said, lines = track(name)
    assert (code, said) == (0, [])
    times = [line["time"] for line in lines[1:-1]]
    assert (len(times), times[0]) == WHOLE[name]
    assert times == sorted(set(times))
    assert (lines[-1]["frames"], lines[-1]["complete"]) == (len(times), True)


def test_every_odd_file_has_its_line_in_a_table(shared: Path) -> None:
    files = {path.name for path in (shared / "videos" / "odd").iterdir()}
    assert files == set(REFUSED) | set(LOSSY) | set(SHORT) | set(WHOLE)
