"""Runs a folder of attack scripts against acfd-stream, one after the other; writes benchmarks/results/attacks.json.

    python -m benchmarks.attacks FOLDER [--only silent_health_calls …]

A script ends with one line and exit code 0 (the service held), 1 (it failed) or 2 (the attack could not be made). Some
import modules by the names of an earlier version; they get today's. Exits with 1 unless every script held.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from benchmarks.measure import ROOT, Row, row, save

MOST_SECONDS = 660
VERDICTS = ("HOLDS", "FAILS", "CANNOT")
_NAMES = {
    "acfd_stream.service.client": "acfd_stream.client",
    "acfd_stream.service.tokens": "acfd_stream.service.access.resume_token",
    "acfd_stream.service.sources": "acfd_stream.service.access.sources",
}
_SITE = f"""
import importlib, importlib.abc, importlib.util, sys
NAMES = {_NAMES!r}
class Earlier(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name in NAMES else None
    def create_module(self, spec):
        return importlib.import_module(NAMES[spec.name])
    def exec_module(self, module):
        pass
sys.meta_path.insert(0, Earlier())
"""


def run(script: Path, site: Path) -> tuple[int, str, float]:
    """Exit code, last line and seconds of one script; ``site`` has a sitecustomize.py for it and what it starts."""
    program = Path(sysconfig.get_path("scripts"), "acfd-stream")
    path = os.pathsep.join(filter(None, [str(site), str(ROOT), os.getenv("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, str(script.resolve()), str(program)]
    begin = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=MOST_SECONDS, env=environment
        )
    except subprocess.TimeoutExpired:
        return 2, f"not done within {MOST_SECONDS} s", time.monotonic() - begin
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith(VERDICTS)), lines[-1] if lines else "")
    return done.returncode, said, time.monotonic() - begin


def main() -> int:
    """Run all, print a line each, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", help="names of scripts")
    asked = parser.parse_args()
    scripts = sorted(path for path in asked.folder.glob("*_*.py") if not asked.only or path.stem in asked.only)
    if not scripts:
        parser.error(f"no scripts in {asked.folder}")
    rows: list[Row] = []
    held = 0
    with tempfile.TemporaryDirectory() as site:
        Path(site, "sitecustomize.py").write_text(_SITE)
        for script in scripts:
            code, said, seconds = run(script, Path(site))
            held += code == 0
            verdict = said.partition(" ")[0] if said.startswith(VERDICTS) else "CANNOT"
            print(said if said.startswith(VERDICTS) else f"CANNOT {script.stem}: {said}", flush=True)
            rows.append(row(f"attack_{script.stem}", [seconds], verdict=verdict))
    print(f"{held} of {len(scripts)} held")
    if not asked.only:
        save("attacks", rows)
    return int(held < len(scripts))


if __name__ == "__main__":
    sys.exit(main())
