"""The pages agree with the code, and their links lead somewhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r'(?:\]\(|src=")(?!https?:)([^)"\s]+)[)"]')
FENCE = re.compile(r"(?ms)^```.*?^```$")


def test_the_page_of_limits_is_what_config_says() -> None:
    script = ROOT / "docs" / "write_limits.py"
    done = subprocess.run([sys.executable, str(script), "--check"], stdin=subprocess.DEVNULL)
    assert done.returncode == 0, "config.py has changed: run python docs/write_limits.py"


def imports(page: Path) -> list[ast.ImportFrom]:
    """Imports from a module in the Python blocks of ``page``."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    return [node for block in blocks for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_imports_exists(page: Path) -> None:
    for node in imports(page):
        exec(compile(ast.Module([node], []), page.name, "exec"), {})  # a name, or a module of a package


def test_the_readme_shows_an_import() -> None:
    assert imports(ROOT / "README.md")


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of ``page``, as GitHub makes them; a repeated heading gets a number."""
    found: Counter[str] = Counter()
    names = set()
    for title in re.findall(r"(?m)^#+ (.+)$", FENCE.sub("", page.read_text())):
        name = re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
        names.add(f"{name}-{found[name]}" if found[name] else name)
        found[name] += 1
    return names


def broken_links(page: Path) -> list[str]:
    """Links of ``page`` whose file or heading does not exist."""
    broken = []
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken_links(page) == []


def test_a_link_without_its_file_or_heading_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    headings = "# A `b`, c!\n# Twice\n# Twice\n"
    links = '[1](#a-b-c) [2](#twice-1) [3](#twice-2) [4](no.md) [5](page.md#no) <img src="no.png">'
    page.write_text(headings + links)
    assert broken_links(page) == ["#twice-2", "no.md", "page.md#no", "no.png"]
