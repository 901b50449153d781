"""Every example in Python on the pages runs: on drawn clips, and against a real service where it needs one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acfd_stream.cli import main
from acfd_stream.model.toon import picture, render, write_clip
from acfd_stream.service.settings import SourceSettings
from tests.service.rig import serving

ROOT = Path(__file__).resolve().parent.parent
SERVICE = "127.0.0.1:50051"  # where the examples expect one
# To a reader the package is one of several libraries, and a script needs no docstring.
SETTINGS = (str(ROOT / "pyproject.toml"), "src=[]", "lint.isort.known-first-party=[]")
READERS = [f"--config={setting}" for setting in SETTINGS]
CHECKS = {
    "ruff": ["ruff", "check", "--no-cache", *READERS, "--ignore", "D"],
    "format": ["ruff", "format", "--check", "--no-cache", *READERS],
    "mypy": ["mypy", "--strict"],
}


def examples(page: Path) -> list[str]:
    """The examples in Python of a page, in order."""
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if examples(page)]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the examples read."""
    folder = tmp_path_factory.mktemp("films")
    write_clip(folder / "episode.mkv", render("quiet", 4, (180, 320), 12))
    shutil.copy(folder / "episode.mkv", folder / "trailer.mkv")
    for seed, name in enumerate(("page.png", "poster.jpg")):
        Image.fromarray(picture(np.random.default_rng(seed), (256, 256))[0]).save(folder / name)
    output = str(folder / "episode.jsonl")
    views = ("--views", str(folder / "episode.views.ndjson"))
    assert main(["track", str(folder / "episode.mkv"), "-o", output, *views, "--quiet", "--threads", "1"]) == 0
    cast = str(folder / "cast.db")
    assert main(["cast", "build", output, "--to", cast]) == 0
    assert main(["cast", "name", cast, "1", "Velma"]) == 0
    return folder


def test_the_pages_have_examples() -> None:
    assert {page.name for page in PAGES} >= {"README.md", "python.md", "results.md"}


@contextmanager
def addressed(codes: list[str], folder: Path, model: Path) -> Iterator[list[str]]:
    """The examples, with the address of a service that runs if one of them needs it."""
    if not any(SERVICE in code for code in codes):
        yield codes
        return
    with serving(model, sources=SourceSettings(folders=(folder,))) as server:
        yield [code.replace(SERVICE, f"127.0.0.1:{server.port}").replace("/media", str(folder)) for code in codes]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_run_in_order(
    page: Path, films: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(films)
    names = {"__name__": "__main__"}
    with addressed(examples(page), films, tiny_model) as codes:
        for number, code in enumerate(codes):
            exec(compile(code, f"{page.name}, example {number}", "exec"), names)


@pytest.mark.parametrize("check", CHECKS)
def test_the_examples_pass_the_checks_of_the_package(check: str, tmp_path: Path) -> None:
    program = CHECKS[check]
    pytest.importorskip(program[0], reason="is an extra: dev")
    files = []
    for page in PAGES:
        for number, code in enumerate(examples(page)):
            files.append(tmp_path / f"{page.stem.lower()}_{number}.py")
            files[-1].write_text(code)
    done = subprocess.run([sys.executable, "-m", *program, *files], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
