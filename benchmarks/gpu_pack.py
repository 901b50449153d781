"""Packs what the GPU suite needs on a machine with a GPU and CUDA's Python packages, but without a network.

    python benchmarks/gpu_pack.py DIR                     DIR/base: one file, for benchmarks/gpu_there.sh prepare
    python benchmarks/gpu_pack.py DIR --tensorrt SCRIPT   DIR/trt-00 …: a TensorRT for it; SCRIPT packs one in parts

You transfer the checkout yourself. The package may take ``--limit-mib`` minus the size of the checkout; TensorRT is
split accordingly, one folder per transfer. The other machine is x86-64 with the Python of ``--python``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(Path(__file__).resolve().parent))

from gpu.big_model import write_skeleton  # noqa: E402
from measure import commit  # noqa: E402

# Missing in CUDA images: PyAV for NVDEC, a recent pytest, gRPC's small packages for tests that import them.
WHEELS = ("av", "pytest", "iniconfig", "pluggy", "pytest-timeout", "grpcio-health-checking", "googleapis-common-protos")
# Missing in the Python of a TensorRT bundle: onnx, which makes the fp16 model.
TRT_WHEELS = ("onnx", "ml-dtypes", "protobuf", "typing-extensions")
TRT_PYTHON = "3.10"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64")
MIB = 2**20
MOST_PART_MIB = 60
MARGIN_MIB = 1


def main() -> None:
    """Write DIR/base, and DIR/trt-NN if a bundle is requested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="output folder, created if missing; git must ignore it")
    parser.add_argument("--python", default="3.12", help="Python version of the other machine")
    parser.add_argument(
        "--builder", help="an interpreter of that version with its headers, to compile the C++ ops here"
    )
    parser.add_argument("--limit-mib", type=float, default=64, help="limit of one transfer, including the checkout")
    parser.add_argument("--tensorrt", type=Path, help="script whose `pack DIR` writes DIR/part-00 …")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    pack_base(arguments.folder / "base", arguments.python, arguments.builder)
    if arguments.tensorrt is not None:
        room = int(min(MOST_PART_MIB, arguments.limit_mib - checkout_bytes() / MIB - MARGIN_MIB) * MIB)
        pack_tensorrt(arguments.folder, arguments.tensorrt, room)
    tell(arguments.folder, arguments.limit_mib)


def pack_base(folder: Path, python: str, builder: str | None) -> None:
    """Wheels unpacked, the compiled ops, the generated modules, the large network's skeleton, a clip, the commit."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        unpack_wheels(base / "site", WHEELS, python)
        unpack_wheels(base / "trt-site", TRT_WHEELS, TRT_PYTHON)
        build_parts(base, builder)
        write_skeleton(base / "acfd-51.skeleton.onnx")
        draw_clip(base / "clip.mp4")
        (base / "commit").write_text(commit() + "\n")
        with tarfile.open(folder / "base.tar.xz", "w:xz", preset=4) as archive:
            for path in sorted(base.iterdir()):
                archive.add(path, path.name)


def unpack_wheels(site: Path, names: Sequence[str], python: str) -> None:
    """Unpack the wheels for the other machine's Python, in pip's layout."""
    with tempfile.TemporaryDirectory() as wheels:
        options = ["--no-deps", "--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
        options += [f"--platform={platform}" for platform in PLATFORMS]
        versions = [pinned(name) for name in names]
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", *options, "-d", wheels, *versions], check=True)
        for wheel in Path(wheels).glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(site)
            print(wheel.name)


def pinned(name: str) -> str:
    """``name`` in the version installed here, with which the tests have run."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{name}=={version(name)}"
    except PackageNotFoundError:
        return name


def build_parts(base: Path, builder: str | None) -> None:
    """Copy the generated modules; compile the C++ ops for the other Python, if an interpreter is given."""
    (base / "v1").mkdir()
    for path in (ROOT / "acfd_stream" / "v1").glob("*_pb2*.py"):
        shutil.copy(path, base / "v1")
    (base / "compiled").mkdir()
    if builder is None:
        print("no --builder: the other machine must compile the C++ ops")
        return
    with tempfile.TemporaryDirectory() as wheels:
        command = [builder, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, str(ROOT)]
        subprocess.run(command, check=True)
        (wheel,) = Path(wheels).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if Path(name).name.startswith("_C."):
                    (base / "compiled" / Path(name).name).write_bytes(archive.read(name))
                    print(name)


def draw_clip(target: Path) -> None:
    """Draw the demo's cartoon at 1080p."""
    command = [sys.executable, "-m", "acfd_stream.model.toon", "demo", str(target), "--size", "1920x1080"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def pack_tensorrt(folder: Path, script: Path, part_bytes: int) -> None:
    """Split the bundle into parts that fit, each in its own folder."""
    for old in folder.glob("trt-*"):
        shutil.rmtree(old)
    with tempfile.TemporaryDirectory() as name:
        subprocess.run([str(script), "pack", name], check=True)
        place, room, target = 0, 0, None
        for part in sorted(Path(name).glob("part-*")):
            with part.open("rb") as source:
                while data := source.read(min(MIB, room) if room else MIB):
                    if target is None or room == 0:
                        target = folder / f"trt-{place:02d}" / "part"
                        target.parent.mkdir()
                        place, room = place + 1, part_bytes
                    with target.open("ab") as out:
                        out.write(data[:room])
                    room -= len(data)


def checkout_bytes() -> int:
    """Size of all files that git does not ignore."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    ).stdout
    paths = (ROOT / os.fsdecode(name) for name in listed.split(b"\0") if name)
    return sum(path.stat().st_size for path in paths if path.is_file())


def tell(folder: Path, limit_mib: float) -> None:
    """Print the files, their sizes with the checkout, and which are too large."""
    checkout = checkout_bytes()
    print(f"checkout: {checkout / MIB:.1f} MiB; one transfer takes {limit_mib:g} MiB")
    sizes = {}
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = [path for path in part.iterdir() if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        sizes[part.name] = {"bytes": size, "sha256": digests}
        too_much = " TOO MUCH beside the checkout" if size + checkout > limit_mib * MIB else ""
        print(f"{part}: {size / MIB:.1f} MiB{too_much}")
    (folder / "packed.json").write_text(json.dumps(sizes, indent=1) + "\n")


if __name__ == "__main__":
    main()
