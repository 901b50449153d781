"""``acfd-stream train``: its length, its counts from run to run, its progress, and calls that it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from acfd_stream.model import export, onnx_file
from acfd_stream.model.train import main
from tests.model.tiny import CONFIG, write_data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path)


def train(data: Path, out: str, *options: str) -> int:
    paths = ["--config", str(data / "tiny.toml"), "--data", str(data), "--out", str(data / out)]
    return main([*paths, "--workers", "0", "--threads", "1", "--device", "cpu", *options])


def curve(data: Path, out: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in (data / out / "curve.jsonl").read_text().splitlines()]


def test_published_weights_count_their_pictures_and_the_next_run_goes_on_counting(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "export", lambda network, spec, description, path: path.touch())  # takes a minute
    assert train(data, "first") == 0
    paths = ["--config", str(data / "tiny.toml"), "--checkpoint", str(data / "first/last.pt")]
    published = str(data / "tiny.safetensors")
    assert export.main([*paths, "--output", str(data / "tiny.onnx"), "--weights", published]) == 0
    with safe_open(published, "pt") as file:
        assert file.metadata() == {"pictures": "16", "iterations": "4"}
    for start in (published, str(data / "first/last.pt")):
        out = Path(start).suffix[1:]
        assert train(data, out, "--start", start, "--iterations", "2") == 0
        assert [(row["iteration"], row["pictures"]) for row in curve(data, out)] == [(2, 24)]
        assert torch.load(data / out / "last.pt", weights_only=True)["pictures"] == 24


def test_a_checkpoint_from_before_pictures_were_counted_is_resumed(data: Path) -> None:
    assert train(data, "run") == 0
    state = torch.load(data / "run/last.pt", weights_only=True)
    del state["pictures"]
    torch.save(state, data / "run/last.pt")
    assert train(data, "run", "--iterations", "6") == 0
    assert [(row["iteration"], row["pictures"]) for row in curve(data, "run")] == [(4, 16), (6, 24)]


def test_evaluations_come_every_so_many_pictures_also_after_a_pause(data: Path) -> None:
    (data / "tiny.toml").write_text(CONFIG.replace("iterations = 4", "iterations = 5\nevaluate_pictures = 8"))
    assert train(data, "run") == 0
    assert [row["pictures"] for row in curve(data, "run")] == [8, 16, 20]
    assert train(data, "run", "--iterations", "7") == 0
    assert [row["pictures"] for row in curve(data, "run")] == [8, 16, 20, 24, 28]


def test_progress_without_a_terminal_says_pictures_and_pictures_a_second(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(data, "run") == 0
    said = capsys.readouterr()
    assert re.match(r"25\.0%: iteration 1, 4 pictures, \d+\.\d pictures/s, loss \d", said.err)
    assert Path(said.err.splitlines()[-1]).is_file()  # what one takes next
    assert json.loads(said.out)["pictures_per_second"] > 0


@pytest.mark.parametrize(
    ("kind", "option", "said"),
    [("cosine", "--minutes", "--minutes needs a schedule of kind budget; 'cosine' counts iterations: use --iterations"),
     ("budget", "--iterations", "--iterations needs a schedule that counts iterations; 'budget' is timed")],
)  # fmt: skip
def test_a_length_that_the_schedule_does_not_count_is_refused(
    data: Path, capsys: pytest.CaptureFixture[str], kind: str, option: str, said: str
) -> None:
    (data / "tiny.toml").write_text(CONFIG.replace('"cosine"', f'"{kind}"'))
    assert train(data, "run", option, "1") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"acfd-stream train: {said}")
    assert error.count("\n") == 1
    assert not (data / "run").exists()


@pytest.mark.parametrize(("option", "other"), [("output", "config"), ("weights", "output"), ("output", "checkpoint")])
def test_export_writes_over_no_file_of_its_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, other: str
) -> None:
    files = {name: tmp_path / name for name in ("config", "checkpoint", "output", "weights")}
    files[option] = tmp_path / "." / other
    (tmp_path / other).write_text(CONFIG)
    assert export.main([word for name, path in files.items() for word in (f"--{name}", str(path))]) == 1
    said = f"acfd-stream export: --{option} {files[option]} is also the file of --{other}; choose another name\n"
    assert capsys.readouterr().err == said
    assert (tmp_path / other).read_text() == CONFIG


def test_minutes_end_a_timed_schedule(data: Path) -> None:
    (data / "tiny.toml").write_text(CONFIG.replace('"cosine"', '"budget"'))
    assert train(data, "run", "--minutes", "0.001") == 0
    assert curve(data, "run")[-1]["iteration"] < 4


@pytest.mark.parametrize(
    ("option", "said"),
    [(("--workers", "-1"), "--workers: must be >= 0, got -1"), (("--threads", "0"), "--threads: must be >= 1, got 0"),
     (("--device", "gpu"), "--device: invalid choice: 'gpu'")],
)  # fmt: skip
def test_a_wrong_value_of_an_option_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--config", "a.toml", "--data", ".", "--out", str(tmp_path), *option])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"acfd-stream train: argument {said}")
    assert error.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "a.toml", "--data", ".", "--out", str(tmp_path), "--device", "cuda"]) == 1
    assert capsys.readouterr().err == "acfd-stream train: --device cuda: torch finds no GPU on this machine\n"


def test_a_wrong_call_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--config", "a.toml"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "acfd-stream train: the following arguments are required: --data, --out\n"
