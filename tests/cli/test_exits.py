"""Errors and what they become: a code and one line."""

from __future__ import annotations

import pytest

from acfd_stream import errors
from acfd_stream.cli.exits import exit_code, print_error, run_guarded
from acfd_stream.cli.training import run_training


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.MediaError(""), 1),
        (errors.CastError(""), 1),
        (errors.OutputError(""), 1),
        (errors.OverloadedError(""), 1),
        (errors.ConfigError(""), 2),
        (errors.RunnerError(""), 2),
        (errors.BackendUnavailable(""), 2),
        (errors.ShapeError(""), 70),
        (RuntimeError(""), 70),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
    ],
)
def test_every_error_has_its_code(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_every_error_of_ours_has_a_code_of_a_fault() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    ours = [kind for kind in kinds if issubclass(kind, errors.AcfdError)]
    assert {exit_code(kind("x")) for kind in ours} <= {1, 2, 70}


def test_a_complaint_is_one_printable_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_error("cannot open a\nb\x1b[31m\t\udcff.mp4")
    assert capsys.readouterr().err == "acfd-stream: cannot open a b?[31m ?.mp4\n"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("no http://user:secret@host:80/a.mp4?token=abc#d; try", "no http://host:80/a.mp4 try"),
        ("extra (concat:http://secret@[::1]/a|http://h/b?c)", "extra (concat:http://[::1]/a|http://h/b"),
        ("file:///folder/what?.mp4: a user@host? Yes", "file:///folder/what?.mp4: a user@host? Yes"),
    ],
)
def test_a_complaint_gives_no_secret_of_a_url_away(message: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_error(message)
    assert capsys.readouterr().err == f"acfd-stream: {said}\n"


def test_too_little_memory_is_the_input_s_fault(capsys: pytest.CaptureFixture[str]) -> None:
    def fill() -> int:
        raise MemoryError

    assert run_guarded(fill) == 1
    assert "not enough memory" in capsys.readouterr().err


def test_what_the_action_returns_is_the_code() -> None:
    assert run_guarded(lambda: 5) == 5


@pytest.mark.parametrize(("code", "expected"), [(None, 0), (2, 2), ("words", 1)])
def test_the_exit_of_an_argument_parser_is_a_code(
    code: int | str | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Module:
        @staticmethod
        def main(arguments: list[str]) -> int:
            assert arguments == ["--config", "a.toml"]
            raise SystemExit(code)

    monkeypatch.setattr("importlib.import_module", lambda name: Module)
    assert run_training("train", ["--config", "a.toml"]) == expected
