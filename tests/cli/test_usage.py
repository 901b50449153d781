"""A call that is wrong: one line that says what, where and what to do, and exit code 2. In process, nothing runs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from acfd_stream.cli import main
from acfd_stream.cli.choices import Format
from acfd_stream.outputs import FORMATS

WRONG = [
    ([], "Missing command; see 'acfd-stream --help'"),
    (["frob"], "No such command 'frob'; see 'acfd-stream --help'"),
    (["--frob"], "No such option: --frob"),
    (["track"], "Missing argument 'INPUT'; see 'acfd-stream track --help'"),
    (["track", "a", "b"], "unexpected extra argument"),
    (["track", "a", "--frob"], "No such option: --frob"),
    (["track", "a", "--output"], "requires an argument"),
    (
        ["track", "a", "--format", "xml"],
        "'xml' is not one of 'jsonl', 'parquet', 'csv', 'mot', 'mot-characters', 'coco', 'vtt', 'srt'",
    ),
    (["track", "a", "--device", "tpu"], "'--device'"),
    (["track", "a", "--size", "big"], "'--size'"),
    (["track", "a", "--size", "5"], "size must be in 64 … 4096, got 5"),
    (["track", "a", "--scales", "480,x"], "'480,x' is not a list of whole numbers like 480,640,800"),
    (["track", "a", "--scales", "480,9"], "scales must be each in 64 … 4096, got (480, 9)"),
    (["track", "a", "--batch", "0"], "batch must be in 1 … 64, got 0"),
    (["track", "a", "--start", "nan"], "'--start': nan is not a time in seconds"),
    (["track", "a", "--start", "3", "--end", "2"], "end_seconds must be > 3.0, got 2.0"),
    (["detect"], "Missing argument 'IMAGE…'; see 'acfd-stream detect --help'"),
    (["detect", "a.png", "--device", "cuda:0"], "'--device'"),
    (["models", "extra"], "unexpected extra argument"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_a_wrong_call_is_one_line_and_exits_2(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("acfd-stream: ")
    assert said in err
    assert "Value error" not in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["track", "detect", "models"])
def test_help_goes_to_stdout_and_exits_0(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    out, err = capfd.readouterr()
    assert f"acfd-stream {command}" in out
    assert err == ""


def test_no_help_needs_torch_or_opencv() -> None:
    code = (
        "import sys; sys.modules |= {'torch': None, 'cv2': None}; from acfd_stream.cli import main;"
        "sys.exit(max(main([*command, '--help']) for command in [[], ['train'], ['evaluate'], ['export']]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(option in done.stdout for option in ("--version", "--iterations", "--at-precision", "--checkpoint"))


def test_only_commands_that_work_are_offered(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    words = set(capfd.readouterr().out.split())
    assert {"track", "detect", "serve", "client", "archive", "bench", "models", "train", "evaluate", "export"} <= words


def test_version_is_the_package_s(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capfd.readouterr().out == f"acfd-stream {version('acfd-stream')}\n"


def test_the_formats_offered_are_those_that_can_be_written() -> None:
    assert tuple(Format) == FORMATS


def test_version_loads_nothing_heavy() -> None:
    code = (
        "import sys; from acfd_stream.cli import main; main(['--version']);"
        "print(sorted({'av', 'cv2', 'openvino', 'scipy', 'torch', 'rich', 'acfd_stream.detect'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[1:] == ["[]"], done.stderr


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("train", ["--data", "nowhere", "--out", "run"]),
        ("evaluate", ["--model", "last.pt", "set"]),
        ("export", ["--checkpoint", "last.pt", "--output", "a.onnx"]),
    ],
)
def test_without_torch_the_line_names_the_extra(command: str, options: list[str]) -> None:
    code = (
        f"import sys; sys.modules['torch'] = None; from acfd_stream.cli import main;"
        f"sys.exit(main({[command, '--config', 'acfd-n.toml', *options]}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stderr == (
        f"acfd-stream: 'acfd-stream {command}' needs torch, which is not installed; pip install 'acfd-stream[train]'\n"
    )
    assert done.returncode == 2
