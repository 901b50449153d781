"""Reads damaged copies of videos, and looks for crashes, hangs and losses that nothing tells.

``python -m benchmarks.fuzz_media FOLDER… --mutations 2000`` writes ``results/fuzz_media.json`` and ends with exit code
1 if it found something. Each copy is read in a process of its own, with limits of time and memory. ``--write INDEX
PATH`` writes one mutation instead. A finding is a crash, a hang, an error that is none of ours, or a result that is
complete and has fewer pictures than FFmpeg's decoder gives on one thread.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
from av.error import FFmpegError
from av.video.stream import VideoStream

from acfd_stream.errors import AcfdError
from acfd_stream.video import open_video
from benchmarks.ffprobe_times import files_below
from benchmarks.measure import row, save

TIMEOUT_SECONDS = 30.0
MEMORY_BYTES = 4 * 2**30
_LARGEST_BYTES = 2 * 2**20  # of a file that is taken


@dataclass(frozen=True)
class Outcome:
    """How a copy was read."""

    kind: str  # "refused", "broken off", "gaps", "complete", or a finding
    frames: int = 0
    reference_frames: int = 0
    text: str = ""

    @property
    def is_finding(self) -> bool:
        """Whether something is wrong with us, and not with the copy."""
        return self.kind in ("crash", "hang", "foreign error", "silent loss")


# Mutations

Mutation = Callable[[bytearray, random.Random, Sequence[bytes]], bytes]


def flip_bits(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """1 … 64 bits are wrong."""
    for _ in range(2 ** rng.randrange(7)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def add_noise(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A range is overwritten with noise."""
    begin, end = _range(data, rng)
    data[begin:end] = rng.randbytes(end - begin)
    return bytes(data)


def blank(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A range is overwritten with zeros, as where a download lacks a piece."""
    begin, end = _range(data, rng)
    data[begin:end] = bytes(end - begin)
    return bytes(data)


def cut(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """The end is missing."""
    return bytes(data[: rng.randrange(1, len(data))])


def drop(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A range is missing."""
    begin, end = _range(data, rng)
    return bytes(data[:begin] + data[end:])


def repeat(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A range stands there twice."""
    begin, end = _range(data, rng)
    return bytes(data[:end] + data[begin:])


def splice(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """The end is that of another file."""
    other = rng.choice(others)
    return bytes(data[: rng.randrange(1, len(data))]) + other[rng.randrange(len(other)) :]


MUTATIONS: tuple[Mutation, ...] = (flip_bits, add_noise, blank, cut, drop, repeat, splice)


def _range(data: bytearray, rng: random.Random) -> tuple[int, int]:
    length = min(2 ** rng.randrange(1, 15), len(data) - 1)
    begin = rng.randrange(len(data) - length)
    return begin, begin + length


def mutated(index: int, files: Sequence[tuple[str, bytes]], seed: int = 0) -> tuple[str, str, bytes]:
    """The mutation of this number: the name of its file, what was done, the bytes.

    Args:
        index: from 0; the files take turns.
        files: name and bytes of each.
        seed: of another series.
    """
    rng = random.Random(f"{seed}-{index}")
    name, data = files[index % len(files)]
    mutate = rng.choice(MUTATIONS)
    return name, mutate.__name__, mutate(bytearray(data), rng, [other for _, other in files])


# Reading


def read(path: Path) -> Outcome:
    """Read a copy in this process."""
    try:
        with open_video(path) as video:
            frames = sum(1 for _ in video)
    except AcfdError as error:
        return Outcome("refused", text=str(error))
    except Exception as error:  # anything else is what is looked for
        return Outcome("foreign error", text=f"{type(error).__name__}: {error}")
    if not video.is_complete:
        return Outcome("broken off" if video.error else "gaps", frames, text=video.error or "")
    reference = reference_frames(path)
    return Outcome("complete" if frames >= reference else "silent loss", frames, reference, "; ".join(video.warnings))


def reference_frames(path: Path) -> int:
    """The pictures that FFmpeg decodes of the best video stream, errors left out, on one thread."""
    count = 0
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream):
                return 0
            stream.codec_context.thread_count = 1
            for packet in container.demux(stream):
                is_end = packet.size == 0 and packet.pts is None and packet.dts is None
                if packet.size == 0 and not is_end:  # the picture before lasts longer
                    continue
                try:
                    count += len(stream.decode(None if is_end else packet))
                except FFmpegError:
                    continue
    except (FFmpegError, OSError, ValueError):
        pass
    return count


def read_apart(path: Path, timeout_seconds: float = TIMEOUT_SECONDS) -> Outcome:
    """Read a copy in a child process; its end, however it comes, is an outcome."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(path, reader, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        data, until, is_late = b"", time.monotonic() + timeout_seconds, False
        while select.select([answers], [], [], max(0.0, until - time.monotonic()))[0]:
            piece = os.read(reader, 65536)
            if not piece:
                break
            data += piece
        else:
            is_late = True
            os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if is_late:
        return Outcome("hang", text=f"longer than {timeout_seconds:g} s")
    return Outcome(**json.loads(data)) if code == 0 and data else Outcome("crash", text=f"exit code {code}")


def _answer(path: Path, reader: int, writer: int) -> None:
    """The child: reads, answers and leaves without what the parent has registered for its own end."""
    os.close(reader)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    code = 1
    try:
        os.write(writer, json.dumps(vars(read(path)), ensure_ascii=True).encode()[:60_000])
        code = 0
    finally:
        os._exit(code)


def load(folders: list[Path]) -> list[tuple[str, bytes]]:
    """Name and bytes of every small file below the folders."""
    found = [path for path in files_below(folders) if 64 < path.stat().st_size <= _LARGEST_BYTES]
    return [(f"{path.parent.name}/{path.name}", path.read_bytes()) for path in found]


def run(files: Sequence[tuple[str, bytes]], mutations: int, seed: int) -> dict[str, collections.Counter[str]]:
    """Counts of outcomes by the suffix of the file; prints each finding."""
    counts: dict[str, collections.Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for index in range(mutations):
            name, what, data = mutated(index, files, seed)
            copy = Path(folder, f"{index}{Path(name).suffix}")
            copy.write_bytes(data)
            outcome = read_apart(copy)
            copy.unlink()
            counts.setdefault(copy.suffix, collections.Counter())[outcome.kind] += 1
            if outcome.is_finding:
                seen = f"{outcome.frames} frames, FFmpeg {outcome.reference_frames}"
                print(f"{index:>6} {name} {what}: {outcome.kind}, {seen} {outcome.text}", flush=True)
    return counts


def main() -> None:
    """Mutate, read, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--mutations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", nargs=2, metavar=("INDEX", "PATH"), help="write this mutation and end")
    options = parser.parse_args()
    files = load(options.folders)
    if options.write is not None:
        index, target = options.write
        name, what, data = mutated(int(index), files, options.seed)
        Path(target).write_bytes(data)
        print(f"{name} {what}")
        return
    counts = run(files, options.mutations, options.seed)
    rows, found = [], 0
    for suffix, kinds in sorted(counts.items()):
        bad = sum(count for kind, count in kinds.items() if Outcome(kind).is_finding)
        found += bad
        rows.append(row(f"findings in {suffix}", [bad], "files", mutations=kinds.total(), **kinds))
    save("fuzz_media", rows)
    print(f"{options.mutations} mutations of {len(files)} files, seed {options.seed}: {found} findings")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
