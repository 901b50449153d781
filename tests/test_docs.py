"""What the pages say is so."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")


def test_the_page_of_limits_is_what_config_says() -> None:
    script = ROOT / "docs" / "write_limits.py"
    done = subprocess.run([sys.executable, str(script), "--check"], stdin=subprocess.DEVNULL)
    assert done.returncode == 0, "config.py has changed: run python docs/write_limits.py"


def test_what_the_readme_imports_exists() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    imports = [node for block in blocks for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)]
    assert imports
    for node in imports:
        module = importlib.import_module(str(node.module))
        assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/architecture.md",
        "docs/gpu.md",
        "docs/limits.md",
        "docs/metrics.md",
        "docs/operations.md",
        "docs/protocol.md",
        "docs/report.md",
        "docs/results.md",
    ],
)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    targets = LINK.findall((ROOT / page).read_text())
    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []
