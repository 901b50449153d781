"""The documentation builds as a site: every page is reachable, and nothing is loaded from another host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="needs the extra dev")
ROOT = Path(__file__).resolve().parent.parent
LOADED = re.compile(r'<(?:script|img|link|iframe)[^>]*?(?:src|href)="(https?:)?//')


def build(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``mkdocs build`` with ``arguments``."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )


def reachable(site: Path) -> set[str]:
    """Pages that links lead to, from the first page on."""
    found: set[str] = set()
    waiting = ["index.html"]
    while waiting:
        page = waiting.pop()
        if page not in found:
            found.add(page)
            links = re.findall(r'href="([^":#]+\.html)', (site / page).read_text())
            waiting += [os.path.normpath(Path(page).parent / link) for link in links]
    return found


def test_every_page_is_reachable_and_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    built = build("--site-dir", tmp_path)
    assert built.returncode == 0, built.stderr
    pages = {str(page.relative_to(tmp_path)) for page in tmp_path.rglob("*.html")} - {"404.html"}
    assert pages >= {f"{page.stem}.html" for page in (ROOT / "docs").glob("*.md")}
    assert reachable(tmp_path) == pages
    assert [page for page in pages if LOADED.search((tmp_path / page).read_text())] == []


def test_a_page_that_the_navigation_lacks_is_an_error(tmp_path: Path) -> None:
    config = tmp_path / "mkdocs.yml"
    lines = (f"INHERIT: {ROOT}/mkdocs.yml", f"docs_dir: {ROOT}/docs", f"hooks: [{ROOT}/docs/site_hooks.py]")
    config.write_text("\n".join([*lines, "nav: [index.md]"]))
    built = build("--config-file", config)
    assert built.returncode == 1
    assert "training.md" in built.stderr
