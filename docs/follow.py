"""Follow README.md and the pages of docs/ as a reader does: run every example of a page, or say why it is not run.

    python docs/follow.py docs/cli.md docs/report.md
    python docs/follow.py --all
    python docs/follow.py --here docs/cli.md

The package is built from a fresh clone of this repository, in an environment of its own. Nothing is downloaded: the
environment takes the dependencies from the one that runs this script. ``--here`` takes the package from it, too. Each
page gets a folder with nothing in it but the videos and pictures that the examples name, and a service if an example
calls one. The examples of a page in Python share their names.

The language of a block decides what is done with it, see ``PROGRAMS``. A comment on the line before it changes that:

    <!-- not run: needs a GPU -->
    <!-- in the clone -->            run it in the clone, not in the page's folder
    <!-- file: mine.toml -->         write it to this file of the page's folder
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATTERNS = ("README.md", "CHANGELOG.md", "SECURITY.md", "docs/*.md", "benchmarks/README.md", "model/weights/*.md")
SERVICE = "127.0.0.1:50051"  # where the examples expect a service
SERVE = re.compile(r"(?m)^acfd-stream serve(?! token)\b.*\n?")
FENCE = re.compile(r"(?ms)^(?P<marks>(?:<!-- [^\n]+ -->\n)*) *```(?P<language>\w*)\n(?P<code>.*?)^ *```$")
SHELL, PYTHON = "sh", "python"  # a block without a language is one for the shell
PROGRAMS = {  # language → program that reads the block from its standard input; it fails if the block is wrong
    SHELL: ["bash", "-eus"],
    "csv": ["python", "-c", "import csv, sys; assert len({len(row) for row in csv.reader(sys.stdin)}) == 1"],
    "ini": ["python", "-c", "import configparser, sys; configparser.ConfigParser().read_file(sys.stdin)"],
    "json": ["python", "-c", "import json, sys; [json.loads(line) for line in sys.stdin]"],
    "yaml": ["python", "-c", "import sys, yaml; assert yaml.safe_load(sys.stdin)"],
    "toml": ["python", "-c", "import sys, tomllib; assert tomllib.loads(sys.stdin.read())"],
    "promql": ["python", "-c", "import promql_parser, sys; promql_parser.parse(sys.stdin.read())"],
    "sql": ["python", "-c", "import duckdb, sys; assert duckdb.sql(sys.stdin.read()).fetchall()"],
}
LISTING = "text"  # a drawing or a listing: there is nothing to run
SESSION = """
import os, sys, traceback
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
names = {"__name__": "__main__"}
while size := sys.stdin.buffer.readline():
    answer = "done"
    try:
        exec(compile(sys.stdin.buffer.read(int(size)), "example", "exec"), names)
    except BaseException:
        traceback.print_exc()
        answer = "fails"
    print(answer, file=answers, flush=True)
"""  # the examples of a page in Python share their names
LONGEST_SECONDS = 600
SETTINGS = """
# A live stream is admitted, whatever else this machine does.
objective_seconds = 10.0
[capacity]
load_limit = 1.0
cores = 64
[detect]
size = 128
[limits]
memory_share = 1.0
[sources]
folders = ["{folder}"]
"""


@dataclass(frozen=True)
class Block:
    """One example: its page, its first line there, and what the comments before it say."""

    page: str
    line: int
    language: str
    code: str
    marks: Mapping[str, str]

    @property
    def fault(self) -> str:
        """Why it can be neither run nor left out; empty if it can."""
        unknown = set(self.marks) - {"not run", "in the clone", "file"}
        if unknown:
            return f"unknown comment {unknown}"
        return "" if self.language in {*PROGRAMS, PYTHON, LISTING} else f"unknown language {self.language!r}"


def blocks(root: Path, page: str) -> list[Block]:
    """Every example of a page of ``root``, in order."""
    text = (root / page).read_text()
    found = []
    for fence in FENCE.finditer(text):
        marks = [mark.partition(": ") for mark in re.findall(r"<!-- (.+?) -->", fence["marks"])]
        line = text.count("\n", 0, fence.start("language")) + 1
        found.append(
            Block(page, line, fence["language"] or SHELL, fence["code"], {name: reason for name, _, reason in marks}),
        )
    return found


def pages(root: Path) -> list[str]:
    """Every page of ``root``."""
    return [str(path.relative_to(root)) for pattern in PATTERNS for path in sorted(root.glob(pattern))]


@dataclass
class Reader:
    """Someone with an installed package who follows one page."""

    folder: Path
    """Where the examples run."""
    clone: Path | None
    """Where examples run that need the repository; None: they are not run."""
    env: Mapping[str, str]
    _python: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _service: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _address: str = field(default="", init=False)

    def follow(self, block: Block) -> None:
        """Run or check one example. CalledProcessError: it fails."""
        if "file" in block.marks:
            (self.folder / block.marks["file"]).write_text(block.code)
            return
        code = block.code.replace("/media", str(self.folder))
        if SERVICE in code or (block.language == SHELL and SERVE.search(code)):
            code = SERVE.sub("", code).replace(SERVICE, self.service())
        if block.language == PYTHON:
            self.run_python(code.encode())
        elif code.strip():
            subprocess.run(
                PROGRAMS[block.language],
                input=code.encode(),
                cwd=self.clone if "in the clone" in block.marks else self.folder,
                env=self.env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=True,
                timeout=LONGEST_SECONDS,
            )

    def run_python(self, code: bytes) -> None:
        """Run an example in Python with the names of those before it."""
        log = self.folder / "python.log"
        if self._python is None:
            with log.open("wb") as said:
                self._python = subprocess.Popen(
                    ["python", "-u", "-c", SESSION],
                    cwd=self.folder,
                    env=self.env,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                )
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        self._python.stdin.write(b"%d\n" % len(code) + code)
        self._python.stdin.flush()
        if self._python.stdout.readline() != b"done\n":
            raise subprocess.CalledProcessError(1, "python", log.read_bytes())

    def service(self) -> str:
        """Address of a service that is ready; it is started by the first call."""
        if self._service is None:
            settings = self.folder / "follow.toml"
            settings.write_text(SETTINGS.format(folder=self.folder))
            with socket.create_server(("127.0.0.1", 0)) as free:
                self._address = f"127.0.0.1:{free.getsockname()[1]}"
            command = ["acfd-stream", "serve", "--listen", self._address, "--metrics", "", "--config", str(settings)]
            with (self.folder / "service.log").open("wb") as log:
                self._service = subprocess.Popen(command, env=self.env, cwd=self.folder, stderr=log)
            health = ["acfd-stream", "client", "health", "--to", self._address]
            ends = time.monotonic() + LONGEST_SECONDS
            while subprocess.run(health, env=self.env, capture_output=True).returncode != 0:
                if self._service.poll() is not None or time.monotonic() > ends:
                    raise subprocess.CalledProcessError(1, command, (self.folder / "service.log").read_bytes())
        return self._address

    def close(self) -> None:
        """End what was started."""
        for running in (self._python, self._service):
            if running is not None:
                running.terminate()
                running.communicate()


def draw_files(folder: Path) -> None:
    """The videos and pictures that the examples name."""
    import cv2
    import numpy as np

    from acfd_stream.model.toon import picture, render, write_clip

    write_clip(folder / "episode.mkv", render("quiet", 4, (180, 320), 12))
    shutil.copy(folder / "episode.mkv", folder / "trailer.mkv")
    for number, name in enumerate(("page.png", "poster.jpg")):
        image, _ = picture(np.random.default_rng(number), (256, 256))
        cv2.imwrite(str(folder / name), image[..., ::-1])
    (folder / "shows/s1").mkdir(parents=True)
    write_clip(folder / "shows/s1/ep1.mkv", render("cuts", 0, (90, 160), 6))
    write_clip(folder / "camera.ts", render("threes", 1, (90, 160), 6))


@contextlib.contextmanager
def reader(clone: Path | None, files: Path, env: Mapping[str, str]) -> Iterator[Reader]:
    """A reader in a new folder with a copy of ``files``."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve() / "films"
        shutil.copytree(files, folder)
        somebody = Reader(folder, clone, {**env, "HOME": scratch})
        try:
            yield somebody
        finally:
            somebody.close()


def walk(block: Block, somebody: Reader) -> str:
    """What became of an example: "FAILS …", or a reason why it was not run, or how long it took."""
    if block.fault:
        return f"FAILS: {block.fault}"
    if "not run" in block.marks:
        return f"not run: {block.marks['not run']}"
    if block.language == LISTING:
        return "a listing"
    if "in the clone" in block.marks and somebody.clone is None:
        return "not run: there is no clone"
    begin = time.monotonic()
    try:
        somebody.follow(block)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        return f"FAILS: {error}\n{(error.output or b'').decode()[-2000:]}"
    return f"done in {time.monotonic() - begin:.1f} s"


def environment(place: Path) -> None:
    """Make a virtual environment that borrows the libraries of the one that runs this script."""
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    # Some versions of venv bring a setuptools that is too old to build the package.
    subprocess.run([place / "bin/pip", "uninstall", "--quiet", "--yes", "setuptools"], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    (borrowed,) = Path(sys.prefix).glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(f"{borrowed}\n")


def shell() -> dict[str, str]:
    """The variables of a shell in which the environment of this interpreter is active."""
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


def fresh_clone(folder: Path) -> tuple[Path, dict[str, str]]:
    """A clone, and the variables of a shell in which README.md can be followed without a network."""
    clone = folder / "acfd_stream"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    env = {name: value for name, value in shell().items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env |= {
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    env |= {"VENV": str(folder / "make"), "PATH": os.pathsep.join([str(folder / "venv/bin"), env["PATH"]])}
    for name in ("venv", "make"):  # for the reader, and for `make`
        environment(folder / name)
    subprocess.run(["pip", "install", "--quiet", "."], cwd=clone, env=env, check=True)  # as README.md says
    return clone, env


def report(block: Block, outcome: str) -> bool:
    """Print what became of an example; whether it was well."""
    print(f"{block.page}:{block.line} {block.language}: {outcome}", flush=True)
    return not outcome.startswith("FAILS")


def follow(names: Sequence[str], files: Path, env: Mapping[str, str], clone: Path | None = None) -> list[bool]:
    """Follow pages of ``clone``, else of this checkout, every one if none is named; whether each example is well."""
    root = clone or ROOT
    verdicts = []
    for page in names or pages(root):
        with reader(clone, files, env) as somebody:
            verdicts += [report(block, walk(block, somebody)) for block in blocks(root, page)]
    return verdicts


def main() -> int:
    """Exit code: 0 if every example of the pages runs or has a reason not to."""
    parser = argparse.ArgumentParser(description="Follow pages of the documentation from a fresh clone.")
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="path in the repository, such as docs/cli.md")
    parser.add_argument("--all", action="store_true", help="every page")
    parser.add_argument("--here", action="store_true", help="with the package that is installed; nothing is cloned")
    options = parser.parse_args()
    if bool(options.pages) == options.all:
        parser.error("name pages, or give --all")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = folder / "files"
        files.mkdir()
        draw_files(files)
        clone, env = (None, shell()) if options.here else fresh_clone(folder)
        verdicts = follow(options.pages, files, {**env, "ACFD_CACHE_DIR": str(folder / "cache")}, clone)
    print(f"{len(verdicts)} examples, {verdicts.count(False)} fail")
    return int(not all(verdicts))


if __name__ == "__main__":
    sys.exit(main())
