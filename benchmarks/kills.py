"""Kills parts of a running system with SIGKILL, or fills its disk, and compares the final files; only prints.

    python -m benchmarks.kills server|decoder|client|worker [--kills 20]
    python -m benchmarks.kills disk [--minutes 10]          needs the right to mount a tmpfs

``server``: the service with four jobs is killed and started again. ``decoder``: a child process of the service.
``client``: ``acfd-stream client track``, which is started again. ``worker``: a process of an archive run, which is
resumed when it has ended. ``disk``: an archive and a service, both on a small disk that is full half of the time. Each
ends with the same bytes as an undisturbed run, or the exit code is 1. The network is tiny, but for ``worker``: three
kills without a frame between them set a video aside.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from acfd_stream.client.client import Client
from acfd_stream.types import JobState
from benchmarks.archive import results
from tests.detect.tiny_model import write_tiny_model
from tests.service.rig import write_clip

JOBS = 4
FRAMES = 1500
DISK_MIB = 24
_CLI = [sys.executable, "-m", "acfd_stream.cli"]
SETTINGS = """
listen = "127.0.0.1:{port}"
metrics = ""
model = "{model}"
device = "cpu"
drain_seconds = 0.0
[sources]
folders = ["{media}"]
[jobs]
state_dir = "{state}"
checkpoint_seconds = 0.5
attempts = 1000
workers = 2
[scheduler]
warm_sizes = [[96, 128]]
[capacity]
cores = 64
frame_seconds = 0.001
[log]
level = "error"
"""


def free_port() -> int:
    """A port that nobody listens on now: a service that is started again must keep its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tiny_model(folder: Path) -> Path:
    """A hand-made network that costs next to nothing."""
    path = folder / "tiny.onnx"
    return path if path.exists() else write_tiny_model(path)


class Service:
    """``acfd-stream serve`` at a fixed address, to be killed and started again."""

    def __init__(self, folder: Path, media: Path, state: Path) -> None:
        self.address = f"127.0.0.1:{(port := free_port())}"
        self._settings = folder / "serve.toml"
        self._settings.write_text(SETTINGS.format(port=port, media=media, state=state, model=tiny_model(folder)))
        self.process = self._started()

    def _started(self) -> subprocess.Popen[str]:
        command = [*_CLI, "serve", "--config", str(self._settings)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        if process.stdout is not None and not process.stdout.readline():
            raise SystemExit("the service did not start")
        return process

    def kill(self) -> None:
        """SIGKILL to the server alone."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.process = self._started()

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()


def submitted(address: str, films: list[Path]) -> list[str]:
    """Ids of new jobs."""
    with Client(address) as client:
        return [client.jobs.submit(str(film)).job_id for film in films]


def faces_of(address: str, ids: list[str], seconds: float) -> list[Any]:
    """Results of jobs, once all have ended; [] for one that is not done."""
    deadline = time.monotonic() + seconds
    found = []
    with Client(address) as client:
        for job_id in ids:
            job = client.jobs.get(job_id)
            while not job.is_final and time.monotonic() < deadline:
                time.sleep(0.2)
                job = client.jobs.get(job_id)
            if job.state is not JobState.DONE:
                print(f"job {job_id} is {job.state.value}: {job.error}")
                found.append([])
                continue
            with client.jobs.results(job_id) as stream:
                found.append([(frame.index, frame.pts, frame.faces) for frame in stream])
    return found


def interrupted_jobs(folder: Path, kills: int, rng: random.Random, kill: Callable[[Service], bool]) -> bool:
    """Whether jobs give the same results when ``kill`` is called again and again as when it is not."""
    media = folder / "media"
    media.mkdir()
    films = [write_clip(media / f"film{number}.mkv", frames=FRAMES) for number in range(JOBS)]
    with Service(folder, media, folder / "quiet") as service:
        wanted = faces_of(service.address, submitted(service.address, films), 600)
    done = right = rounds = 0
    with Service(folder, media, folder / "state") as service:
        while done < kills:
            rounds += 1
            ids = submitted(service.address, films)
            while done < kills and not _all_ended(service.address, ids):
                time.sleep(rng.uniform(0.1, 2.0))
                done += kill(service)
            right += faces_of(service.address, ids, 600) == wanted
        print(f"{done} kills in {rounds} rounds of {JOBS} jobs; {right} rounds with the same results")
    return right == rounds and all(map(len, wanted))


def _all_ended(address: str, ids: list[str]) -> bool:
    with Client(address) as client:
        return all(client.jobs.get(job_id).is_final for job_id in ids)


def server(folder: Path, kills: int, rng: random.Random) -> bool:
    """Kill the service in the middle of jobs."""

    def kill(service: Service) -> bool:
        service.restart()
        return True

    return interrupted_jobs(folder, kills, rng, kill)


def decoder(folder: Path, kills: int, rng: random.Random) -> bool:
    """Kill a child process of the service in the middle of jobs."""

    def kill(service: Service) -> bool:
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(service.process.pid).children(recursive=True)
            if children:
                rng.choice(children).kill()
                return True
        return False

    return interrupted_jobs(folder, kills, rng, kill)


def client(folder: Path, kills: int, rng: random.Random) -> bool:
    """Kill ``client track`` and start it again, until it has written its file."""
    film = write_clip(folder / "film.mkv", frames=FRAMES)
    out, done = folder / "out.jsonl", 0
    with Service(folder, folder, folder / "state") as service:
        command = [*_CLI, "client", "track", str(film), "--to", service.address, "-o"]
        subprocess.run([*command, str(folder / "wanted.jsonl")], check=True, stderr=subprocess.DEVNULL)
        while done < kills:
            with subprocess.Popen([*command, str(out)], stderr=subprocess.DEVNULL) as process:
                try:
                    process.wait(rng.uniform(0.2, 3.0))
                except subprocess.TimeoutExpired:
                    process.kill()
                    done += 1
        code = subprocess.run([*command, str(out)], check=False).returncode
    is_same = _lines(out) == _lines(folder / "wanted.jsonl")
    print(f"{done} kills, then exit {code}; the file is {'the same' if is_same else 'another'}")
    return is_same and code == 0


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()[1:]  # the header has the time of day


def worker(folder: Path, kills: int, rng: random.Random) -> bool:
    """Kill a process of an archive run, and resume it when it has ended."""
    videos = folder / "videos"
    videos.mkdir()
    for number in range(8):
        write_clip(videos / f"film{number}.mkv", frames=FRAMES // 2)
    run = [
        *_CLI,
        "archive",
        "run",
        str(videos),
        "--outputs",
        "jsonl,vtt,parquet",
        "--checkpoint-seconds",
        "0.5",
        "--quiet",
    ]
    subprocess.run([*run, "--out", str(folder / "whole")], check=True)
    broken, done, code = folder / "broken", 0, -1
    while done < kills or code != 0:
        first = not (broken / ".acfd").exists()
        command = [*run, "--out", str(broken)] if first else [*_CLI, "archive", "resume", str(broken), "--quiet"]
        with subprocess.Popen(command, start_new_session=True) as process:
            while process.poll() is None:
                time.sleep(rng.uniform(0.3, 2.0))
                with contextlib.suppress(psutil.Error):
                    workers = psutil.Process(process.pid).children(recursive=True)
                    if done < kills and workers:
                        rng.choice(workers).kill()
                        done += 1
            code = process.returncode
        if code == 0 and done < kills:
            for path in broken.glob("*.jsonl"):
                path.unlink()  # there is work again
    return _same(folder / "whole", broken, done)


def _same(whole: Path, broken: Path, done: int) -> bool:
    wanted, found = results(whole), results(broken)
    wrong = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
    print(f"{done} times disturbed; {len(wrong)} of {len(wanted)} files differ {wrong}")
    return not wrong and bool(wanted)


def disk(folder: Path, minutes: float, rng: random.Random) -> bool:
    """An archive and a service whose disk is full half of the time."""
    videos = folder / "videos"
    videos.mkdir()
    for number in range(6):
        write_clip(videos / f"film{number}.mkv", frames=FRAMES // 2)
    run = [
        *_CLI,
        "archive",
        "run",
        str(videos),
        "--model",
        str(tiny_model(folder)),
        "--outputs",
        "jsonl,vtt",
        "--checkpoint-seconds",
        "0.5",
        "--quiet",
        "--out",
    ]
    subprocess.run([*run, str(folder / "whole")], check=True)
    films = sorted(videos.iterdir())
    with Service(folder, videos, folder / "quiet") as service:
        wanted = faces_of(service.address, submitted(service.address, films[:JOBS]), 600)
    deadline, rounds, right = time.monotonic() + minutes * 60, 0, 0
    with small_disk(folder / "small") as small:
        while time.monotonic() < deadline:
            rounds += 1
            out, state = small / f"out{rounds}", small / f"state{rounds}"
            with Service(folder, videos, state) as service, subprocess.Popen([*run, str(out)]) as archive:
                ids = submitted(service.address, films[:JOBS])
                while archive.poll() is None and time.monotonic() < deadline:
                    with full(small):
                        time.sleep(rng.uniform(0.5, 8.0))
                    time.sleep(rng.uniform(0.5, 8.0))
                archive.wait(600)
                is_right = faces_of(service.address, ids, 600) == wanted and _same(folder / "whole", out, rounds)
                right += is_right
            for path in (out, state):
                subprocess.run(["rm", "-rf", str(path)], check=True)
    print(f"{rounds} rounds, {right} right")
    return right == rounds and all(map(len, wanted))


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of DISK_MIB."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """No room in ``folder``."""
    path = folder / "filled"
    with path.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(bytes(4096))
    try:
        yield
    finally:
        path.unlink()


def main() -> int:
    """Run one of them."""
    acts = {"server": server, "decoder": decoder, "client": client, "worker": worker, "disk": disk}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=list(acts))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="acfd-kills-") as name:
        amount = asked.minutes if asked.what == "disk" else asked.kills
        return int(not acts[asked.what](Path(name), amount, random.Random(asked.seed)))  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
