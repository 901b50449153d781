"""A small hand-made model for the tests of the detect room."""

from __future__ import annotations

from pathlib import Path

import pytest

from .tiny_model import write_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny.onnx")
