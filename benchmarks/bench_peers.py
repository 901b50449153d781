"""Compares acfd_stream with alternatives on the same clip; each one runs in its own process, in turn.

All processes are pinned to the same cores, load and warm up first, and then process the clip one after the other, round
by round; the others wait meanwhile. A pass is timed from opening the file to its last frame. Ratios come from the same
round. Run as ``python -m benchmarks.bench_peers``, with the peers' packages in a separate environment.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import av

from benchmarks.bench_stream import drawn_clip
from benchmarks.measure import RESULTS, ROOT, Row, ratio_row, row, save
from benchmarks.peers.chart import draw
from benchmarks.peers.field import OURS, TRACKERS, VIDEO, Contestant

FOLDER = ROOT / "benchmarks" / "peers"
WARM_FRAMES = 24
LAST_SECONDS = 5.0
"""What a contestant has for tidying up."""
Figures = dict[str, list[dict[str, Any]]]  # name → a pass a round


class NotThere(Exception):
    """A contestant could not be loaded; the message is its last output line."""


class Child:
    """A contestant's process, waiting for its turn."""

    def __init__(self, contestant: Contestant, python: str, cores: str, options: dict[str, str]) -> None:
        given = [f"--option={name}={value}" for name, value in (options | dict(contestant.options)).items()]
        command = [python, str(FOLDER / "turns.py"), contestant.module, "--cores", cores, *given]
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints, text=True, bufsize=1
        )

    def answer(self) -> dict[str, Any]:
        """The next output line.

        Raises:
            NotThere: the process ended.
        """
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            self._complaints.seek(0)
            lines = [text.strip() for text in self._complaints if text.strip()]
            raise NotThere(lines[-1] if lines else f"ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def take(self, path: Path) -> dict[str, Any]:
        """One pass over ``path``."""
        print(path, file=self._process.stdin, flush=True)
        return self.answer()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._process.communicate(timeout=LAST_SECONDS)  # the end of its input is the end of its work
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._complaints.close()


def loaded(
    contestants: Sequence[Contestant], pythons: dict[bool, str], cores: str, options: dict[str, dict[str, str]]
) -> Iterator[tuple[Contestant, Child, str]]:
    """Every contestant that can be loaded, with its description. Prints a line on stderr for each of the others."""
    for contestant in contestants:
        child = Child(contestant, pythons[contestant.is_peer], cores, options.get(contestant.module, {}))
        try:
            yield contestant, child, str(child.answer()["description"])
        except NotThere as error:
            child.__exit__(None, None, None)
            print(f"skipped, {contestant.label}: {error}", file=sys.stderr)


def in_turn(children: dict[str, Child], path: Path, warm: Path, rounds: int) -> Figures:
    """Passes over ``path`` in turn, round by round, after one discarded pass over ``warm``.

    Reports every pass on stderr.
    """
    for child in children.values():
        child.take(warm)
    figures: Figures = {name: [] for name in children}
    for index in range(rounds):
        for name, child in children.items():
            figures[name].append(taken := child.take(path))
            print(f"round {index + 1} of {rounds}, {name}: {taken['seconds']:.2f} s", file=sys.stderr)
    counts = {name: {taken["frames"] for taken in passes} for name, passes in figures.items()}
    if len(set().union(*counts.values())) > 1:
        sys.exit(f"bench_peers: frame counts differ: {counts}; nothing was saved")
    return figures


def rows_of(prefix: str, figures: Figures, said: dict[str, str], about: dict[str, Any], unit: str) -> list[Row]:
    """One row per contestant, and one with the ratio of its time to ours.

    Args:
        prefix: of the rows' names.
        figures: the passes.
        said: description of each contestant.
        about: parameters common to all.
        unit: "fps", or "s" for seconds per frame.
    """
    rows = []
    for name, passes in figures.items():
        each = [taken["seconds"] / taken["frames"] for taken in passes]
        own = about | {"frames": passes[0]["frames"], "boxes": passes[0]["boxes"], "who": said[name]}
        rows.append(row(f"{prefix}_{name}", [1 / value for value in each] if unit == "fps" else each, unit, **own))
        if name != OURS.name and OURS.name in figures:
            ours = [taken["seconds"] / taken["frames"] for taken in figures[OURS.name]]
            rows.append(ratio_row(f"{prefix}_{name}_ratio", each, ours, **own))
    return rows


@contextmanager
def contest(
    contestants: Sequence[Contestant], arguments: argparse.Namespace, options: dict[str, dict[str, str]]
) -> Iterator[tuple[dict[str, Child], dict[str, str]]]:
    """Processes of the requested contestants that can be loaded, and their descriptions."""
    cores = arguments.cores or ",".join(str(core) for core in sorted(os.sched_getaffinity(0))[:2])
    wanted = [one for one in contestants if not arguments.only or one.name in arguments.only.split(",")]
    with ExitStack() as opened:
        found = list(loaded(wanted, {False: sys.executable, True: str(arguments.peers_python)}, cores, options))
        yield (
            {one.name: opened.enter_context(child) for one, child, _ in found},
            {one.name: description for one, _, description in found},
        )


def cut(clip: Path, frames: int, target: Path) -> Path:
    """The first ``frames`` packets of a clip, copied."""
    with av.open(str(clip)) as source, av.open(str(target), "w") as written:
        stream = source.streams.video[0]
        copy = written.add_stream_from_template(stream)
        for index, packet in enumerate(source.demux(stream)):
            if index >= frames or packet.dts is None:
                break
            packet.stream = copy
            written.mux(packet)
    return target


def recorded(clip: Path, target: Path) -> Path:
    """The shipped detector's boxes of every frame, in the trackers' format: [[[x1, y1, x2, y2, score] …] …]."""
    from acfd_stream import Detector
    from acfd_stream.video import open_video

    frames: list[list[list[float]]] = []
    with Detector.open("acfd-n", "cpu") as detector:
        video = open_video(str(clip))
        try:
            for frame in video:
                seen = detector.detect_batch([frame.picture])[0]
                pairs = zip(seen.boxes_xyxy.tolist(), seen.scores.tolist(), strict=True)
                frames.append([[*box, score] for box, score in pairs])
        finally:
            video.close()
    target.write_text(json.dumps(frames))
    return target


def of_video(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """From a file to boxes and tracks, in frames per second."""
    height, width = 1080, 1920
    clip = arguments.clip or drawn_clip(folder, height, width)
    shown = cut(clip, arguments.frames, folder / f"clip{clip.suffix}")
    warm = cut(clip, min(WARM_FRAMES, arguments.frames), folder / f"warm{clip.suffix}")
    with av.open(str(shown)) as opened:
        stream = opened.streams.video[0]
        size, about = f"{stream.height}x{stream.width}", {"clip": clip.name, "codec": stream.codec_context.name}
    files = {"yunet": arguments.yunet, "cascade": arguments.cascade}
    options = {module: {"frame": size} | ({"weights": str(path)} if path else {}) for module, path in files.items()}
    options["yolo11n"] = {"frame": size}
    with contest(VIDEO, arguments, options) as (children, said):
        figures = in_turn(children, shown, warm, arguments.rounds)
    return rows_of("peer", figures, said, about | {"size": size}, "fps")


def of_trackers(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """From recorded detections to tracks, in seconds per frame."""
    clip = drawn_clip(folder, 720, 1280, plan="crowd")
    with contest(TRACKERS, arguments, {}) as (children, said):
        path = recorded(clip, folder / "recorded.json")
        figures = in_turn(children, path, path, arguments.rounds)
    return rows_of("track_cost", figures, said, {"clip": clip.name}, "s")


def main() -> None:
    """Compare, and write benchmarks/results/peers.json and peers.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", nargs="?", type=Path, help="a video; default: a drawn one of 1080p on twos")
    parser.add_argument("--peers-python", type=Path, default=ROOT / ".venv-peers/bin/python", help="the peers' Python")
    parser.add_argument("--frames", type=int, default=120, help="frames of the clip to process")
    parser.add_argument("--rounds", type=int, default=3, help="passes per contestant")
    parser.add_argument("--cores", help="core numbers, comma-separated; default: the first two available")
    parser.add_argument("--only", default="", help="names, comma-separated; default: all")
    parser.add_argument("--yunet", type=Path, help="face_detection_yunet_….onnx; default: random weights")
    parser.add_argument("--cascade", type=Path, help="an XML file; default: the Haar cascade that OpenCV carries")
    arguments = parser.parse_args()
    if not arguments.peers_python.exists():
        print(
            f"bench_peers: {arguments.peers_python} is not there, so there is nobody to compare with; nothing is kept"
        )
        return
    with tempfile.TemporaryDirectory() as name:
        rows = of_video(arguments, Path(name)) + of_trackers(arguments, Path(name))
    if not rows:
        sys.exit("bench_peers: no contestant could be loaded; nothing was timed")
    save("peers", rows)
    draw(rows, RESULTS / "peers.png")
    print("benchmarks/results/peers.png")


if __name__ == "__main__":
    main()
