"""Tests and measures the GPU path within minutes and writes JSON: every acceptance criterion with its figure.

    python benchmarks/gpu_suite.py                      all parts, into benchmarks/results/gpu.json
    python benchmarks/gpu_suite.py --leg prove          one leg; skips finished parts
    python benchmarks/gpu_suite.py --device cpu         rehearses the suite without a GPU; not a result

Every part runs in its own process, so a crash or a broken GPU does not affect the others.
Exit code: 0 if everything is done and within its bound, 1 if not, 2 if the arguments are wrong or there is no GPU.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.append(str(ROOT))  # last: where the package is installed it is taken from there

from gpu.acceptance import NOT_YET, answers  # noqa: E402
from gpu.book import DONE, FAILED, SKIPPED, Book, Recorder  # noqa: E402
from gpu.machine import describe, gpu_state, library_folders  # noqa: E402
from gpu.rig import CpuRig, GpuRig, Rig  # noqa: E402

TAIL = 2500  # characters of a part's last output to keep


@dataclass(frozen=True)
class Part:
    """One process of the suite: ``run`` of a module of ``benchmarks/gpu``."""

    name: str
    limit_seconds: int
    leg: str
    function: str = "run"
    module: str = ""  # where it is not called as the part is


PARTS = (
    Part("ceilings", 90, "prove"),
    Part("contracts", 260, "prove"),
    Part("exact", 240, "prove"),
    Part("sanitize", 320, "prove"),
    Part("letterbox", 90, "measure", "letterbox", "kernels"),
    Part("faces", 120, "measure", "faces", "kernels"),
    Part("network", 180, "measure"),
    Part("convolutions", 120, "measure", "convolutions", "network"),
    Part("scales", 120, "measure", "scales", "network"),
    Part("stream", 240, "live"),
    Part("one_live", 90, "live", "one_live", "stream"),
    Part("live", 300, "live"),
    Part("tensorrt", 480, "tensorrt"),
    Part("tensorrt_scales", 540, "tensorrt", "scales", "tensorrt"),
)
LEGS = tuple(dict.fromkeys(part.leg for part in PARTS))


def main() -> int:
    """Run the requested parts that are not done yet; see the module."""
    arguments = parsed()
    if arguments.device == "cuda" and not cuda_devices():
        print("gpu_suite: the driver finds no GPU; use --device cpu to rehearse the suite", file=sys.stderr)
        return 2
    rig: Rig = GpuRig() if arguments.device == "cuda" else CpuRig()
    if arguments.exercise:
        importlib.import_module("gpu.sanitize").exercise(rig)
        return 0
    book = Book(arguments.out, is_rehearsal=rig.is_rehearsal)
    if arguments.part:
        run_part(next(part for part in PARTS if part.name == arguments.part), rig, book)
        return 0
    book.note_machine(**describe())
    book = run_all(chosen(arguments), arguments, book)
    return report(book)


def parsed() -> argparse.Namespace:
    """The parsed arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: rehearse only")
    parser.add_argument("--out", type=Path, help="default: results/gpu.json, or out/gpu_rehearsal.json")
    parser.add_argument("--leg", choices=LEGS, action="append", help="only this leg; repeatable")
    parser.add_argument("--only", choices=[part.name for part in PARTS], action="append", help="only these parts")
    parser.add_argument("--again", action="store_true", help="repeat finished parts")
    parser.add_argument("--budget-seconds", type=float, default=1e9, help="start no part that could take longer")
    parser.add_argument("--part", choices=[part.name for part in PARTS], help=argparse.SUPPRESS)
    parser.add_argument("--exercise", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    places = {"cuda": HERE / "results" / "gpu.json", "cpu": ROOT / "out" / "gpu_rehearsal.json"}
    arguments.out = (arguments.out or places[arguments.device]).resolve()
    return arguments


def cuda_devices() -> int:
    """GPUs that the driver can start."""
    for name in ["libcuda.so.1", *(f"{folder}/libcuda.so.1" for folder in library_folders())]:
        try:
            driver = ctypes.CDLL(name)
        except OSError:
            continue
        count = ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value
    return 0


def chosen(arguments: argparse.Namespace) -> list[Part]:
    """Parts of the requested legs, or named parts."""
    return [
        part
        for part in PARTS
        if (not arguments.leg or part.leg in arguments.leg) and (not arguments.only or part.name in arguments.only)
    ]


def run_part(part: Part, rig: Rig, book: Book) -> None:
    """Run the part, in its own process."""
    if not rig.is_rehearsal:
        book.note_machine(**{f"gpu_before_{part.name}": gpu_state()})
    getattr(importlib.import_module(f"gpu.{part.module or part.name}"), part.function)(rig, Recorder(book, rig.name()))


def run_all(parts: list[Part], arguments: argparse.Namespace, book: Book) -> Book:
    """Run one part after the other; records failures and continues."""
    end = time.monotonic() + arguments.budget_seconds
    for part in parts:
        if book.state(part.name) == DONE and not arguments.again:
            print(f"{part.name}: already done", flush=True)
            continue
        left = end - time.monotonic()
        if left < min(part.limit_seconds / 2, 60):
            print(f"{part.name}: postponed, {left:.0f} s remain", flush=True)
            continue
        print(f"{part.name}:", flush=True)
        begin = time.monotonic()
        state, why = in_own_process(part, arguments, min(part.limit_seconds, left))
        seconds = round(time.monotonic() - begin, 1)
        book = Book(arguments.out, is_rehearsal=arguments.device == "cpu")  # with what the part wrote
        book.note_part(part.name, state, seconds=seconds, **({"why": why} if why else {}))
        print(f"{part.name}: {state} in {seconds} s{': ' + why.strip()[-600:] if why else ''}", flush=True)
    return book


def in_own_process(part: Part, arguments: argparse.Namespace, limit_seconds: float) -> tuple[str, str]:
    """State of ``part`` after running it in its own process, and the reason."""
    python = interpreter(part, arguments.device)
    if python is None:
        return SKIPPED, "there is no TensorRT: neither in this Python nor in TRT_HOME"
    command = [*python, str(HERE / "gpu_suite.py"), "--part", part.name]
    command += ["--device", arguments.device, "--out", str(arguments.out)]
    with tempfile.TemporaryFile("w+") as words:
        try:
            done = subprocess.run(
                command, stdout=None, stderr=words, check=False, timeout=limit_seconds, env=environment(part)
            )
            code = done.returncode
        except subprocess.TimeoutExpired:
            code = -1
        words.seek(0)
        said = words.read()
    if code == 0:
        return DONE, ""
    how = f"longer than {limit_seconds:.0f} s" if code == -1 else f"exit code {code}"
    return FAILED, f"{how}: {said[-TAIL:]}"


def interpreter(part: Part, device: str) -> list[str] | None:
    """The Python of a part, which may differ for TensorRT; None if there is none."""
    if part.leg != "tensorrt" or device == "cpu":
        return [sys.executable]
    own = Path(os.environ.get("TRT_HOME") or Path.home() / "trt") / "python"
    for python in ([sys.executable], [str(own)]):
        if Path(python[0]).exists():
            done = subprocess.run([*python, "-c", "import tensorrt"], capture_output=True, check=False)
            if done.returncode == 0:
                return python
    return None


def environment(part: Part) -> dict[str, str]:
    """The caller's environment, extended so that any interpreter finds the driver's libraries and our packages."""
    import acfd_stream

    packages = [str(Path(acfd_stream.__file__).resolve().parents[1]), str(HERE), str(ROOT)]
    # TensorRT's Python may be another one: it gets our package, and a folder of its own, ACFD_TRT_SITE.
    name = "ACFD_TRT_SITE" if part.leg == "tensorrt" else "PYTHONPATH"
    inherited = [os.environ.get(name, "")]
    libraries = [os.environ.get("LD_LIBRARY_PATH", ""), *library_folders()]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(entry for entry in [*packages, *inherited] if entry),
        "LD_LIBRARY_PATH": os.pathsep.join(entry for entry in libraries if entry),
        "PYTHONUNBUFFERED": "1",
    }


def report(book: Book) -> int:
    """Print every acceptance criterion; 1 unless all parts are done and every bound is met."""
    print("\nREHEARSAL: the figures below are not valid" if book.values["rehearsal"] else "")
    is_good = all(book.state(part.name) == DONE for part in PARTS)
    for answer in answers(book.values["rows"]):
        figure = NOT_YET if answer["figure"] is None else f"{answer['figure']:.4g} {answer['unit']}"
        bound = "" if answer["bound"] is None else f"{answer['bound_is']} {answer['bound']:g}"
        verdict = {True: "met", False: "NOT MET", None: ""}[answer["is_met"]]
        print(f"{answer['line']:<72} {figure:>18}  {bound:<12} {verdict}")
        is_good &= answer["bound"] is None or answer["is_met"] is True
    for name, entry in book.values["parts"].items():
        print(f"part {name}: {entry['state']} in {entry['seconds']} s")
    print(book.path)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
