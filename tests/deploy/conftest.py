"""Programs that deploy/ is tested with, and its files as data."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def program(name: str) -> str:
    """Path of an installed program; without it the test is skipped, and fails when ``CI=true``."""
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is not installed (Debian, Ubuntu: make test-programs)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def promtool() -> str:
    return program("promtool")


@pytest.fixture(scope="session")
def prometheus() -> str:
    return program("prometheus")


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """docker-compose.yml, anchors and merges resolved."""
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


@pytest.fixture(scope="session")
def rule_groups() -> list[dict[str, Any]]:
    """Groups of deploy/alerts.yml."""
    return list(yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"])
