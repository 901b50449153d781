"""The program has every command, option and setting that README.md and the pages of docs/ show."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
import typer

from acfd_stream.cli.app import app
from acfd_stream.service.access.token_file import read_grants
from acfd_stream.service.settings import ServiceSettings, from_table

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
CALL = re.compile(r"(?m)(?:^|`|\[)(acfd-stream[ ,] ?[a-z][^`\n#\]]*)")


def calls() -> list[tuple[str, str]]:
    """Page and call, of every command line on the pages."""
    return [(page, call) for page in PAGES for call in CALL.findall((ROOT / page).read_text())]


def text_for_operators() -> str:
    return "".join((ROOT / "docs" / f"{name}.md").read_text() for name in ("operations", "security", "jobs"))


def toml_blocks() -> list[str]:
    return re.findall(r"(?s)```toml\n(.*?)```", text_for_operators())


@pytest.mark.parametrize(("page", "call"), calls())
def test_every_call_names_a_command_and_options_that_there_are(page: str, call: str) -> None:
    words = [word.strip(",") for word in shlex.split(call)][1:]
    command = typer.main.get_command(app)
    while words and isinstance(command, click.Group | typer.core.TyperGroup) and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    assert command.name in call, f"{page}: {call}"
    if command.context_settings.get(
        "ignore_unknown_options"
    ):  # train and evaluate hand their words on to the model's own parser
        return
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("-")} - {"--help", "-"} <= known, f"{page}: {call}"


def test_the_pages_have_calls_of_the_service() -> None:
    started = {call.split()[1].strip(",") for _, call in calls()}
    assert {"archive", "serve", "client", "bench", "track"} <= started


def test_the_settings_that_are_shown_are_settings(tmp_path: Path) -> None:
    settings = [block for block in toml_blocks() if "[[token]]" not in block]
    assert settings
    for block in settings:
        from_table(ServiceSettings, tomllib.loads(block))
    tokens = [block for block in toml_blocks() if "[[token]]" in block]
    assert tokens
    for block in tokens:
        (tmp_path / "tokens.toml").write_text(block)
        (grant,) = read_grants(tmp_path / "tokens.toml")
        assert (grant.name, grant.streams) == ("studio", 4)


def test_every_table_of_settings_that_is_named_is_one() -> None:
    text = text_for_operators()
    named = set(re.findall(r"under `\[([a-z]+)\]`", text)) | set(re.findall(r"unless `\[([a-z]+)\]`", text))
    assert {"access", "sources", "jobs", "capacity"} <= named
    assert named <= {name for name in ServiceSettings.__dataclass_fields__}
