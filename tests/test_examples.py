"""Every example in Python on the pages runs: on drawn clips, and against a real service where it needs one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from acfd_stream.cli import main
from acfd_stream.model.toon import render, write_clip
from acfd_stream.service.settings import SourceSettings
from tests.service.rig import serving

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SERVICE = "127.0.0.1:50051"  # where the examples expect one


def examples(*, needs_service: bool) -> list[object]:
    """Every example in Python, named by its page and number."""
    found = []
    for page in PAGES:
        for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)):
            if (SERVICE in code) is needs_service:
                found.append(pytest.param(code, id=f"{page.name}-{number}"))
    return found


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the examples read."""
    folder = tmp_path_factory.mktemp("films")
    write_clip(folder / "episode.mkv", render("quiet", 4, (180, 320), 12))
    shutil.copy(folder / "episode.mkv", folder / "trailer.mkv")
    output = str(folder / "episode.jsonl")
    assert main(["track", str(folder / "episode.mkv"), "-o", output, "--quiet", "--threads", "1"]) == 0
    return folder


def test_the_pages_have_examples() -> None:
    pages = {example.id.partition("-")[0] for example in examples(needs_service=False)}  # type: ignore[attr-defined]
    assert pages >= {"README.md", "python.md", "results.md"}


@pytest.mark.parametrize("code", examples(needs_service=False))
def test_an_example_runs(code: str, films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(films)
    exec(compile(code, "example", "exec"), {})


@pytest.mark.parametrize("code", examples(needs_service=True))
def test_an_example_of_a_client_runs(code: str, films: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(films)
    with serving(tiny_model, sources=SourceSettings(folders=(films,))) as server:
        code = code.replace(SERVICE, f"127.0.0.1:{server.port}").replace("/media", str(films))
        exec(compile(code, "example", "exec"), {})
