"""What the pages say is so: settings, links, imports, and every example in Python."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from acfd_stream.cli import main
from acfd_stream.model.toon import render, write_clip
from acfd_stream.service.settings import SourceSettings
from tests.service.rig import serving

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]
LINK = re.compile(r'(?:\]\(|src=")(?!https?:)([^)#"]*)(?:#([^)"]+))?')
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
SERVICE = "127.0.0.1:50051"  # where the examples expect one


def python_blocks() -> list[tuple[str, str]]:
    """Page and code of every example in Python."""
    found = [(page, re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)) for page in PAGES]
    return [(page, block) for page, blocks in found for block in blocks]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of ``page``."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the examples read."""
    folder = tmp_path_factory.mktemp("films")
    write_clip(folder / "episode.mkv", render("quiet", 4, (180, 320), 12))
    shutil.copy(folder / "episode.mkv", folder / "trailer.mkv")
    output = str(folder / "episode.jsonl")
    assert main(["track", str(folder / "episode.mkv"), "-o", output, "--quiet", "--threads", "1"]) == 0
    return folder


def test_the_page_of_limits_is_what_config_says() -> None:
    script = ROOT / "docs" / "write_limits.py"
    done = subprocess.run([sys.executable, str(script), "--check"], stdin=subprocess.DEVNULL)
    assert done.returncode == 0, "config.py has changed: run python docs/write_limits.py"


def test_the_pages_with_examples_have_some() -> None:
    assert {page for page, _ in python_blocks()} >= {"README.md", "docs/python.md", "docs/results.md"}


@pytest.mark.parametrize(("page", "block"), python_blocks())
def test_what_an_example_imports_exists(page: str, block: str) -> None:
    imports = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)]
    for node in imports:
        module = importlib.import_module(str(node.module))
        assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == [], page


@pytest.mark.parametrize(("page", "block"), [given for given in python_blocks() if SERVICE not in given[1]])
def test_an_example_runs(page: str, block: str, films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(films)
    exec(compile(block, page, "exec"), {})


@pytest.mark.parametrize(("page", "block"), [given for given in python_blocks() if SERVICE in given[1]])
def test_an_example_of_a_client_runs(
    page: str, block: str, films: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(films)
    with serving(tiny_model, sources=SourceSettings(folders=(films,))) as server:
        code = block.replace(SERVICE, f"127.0.0.1:{server.port}").replace("/media", str(films))
        exec(compile(code, page, "exec"), {})


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    at = ROOT / page
    for target, anchor in LINK.findall(FENCED.sub("", at.read_text())):
        there = at.parent / target if target else at
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"
