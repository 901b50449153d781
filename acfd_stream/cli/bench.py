"""``bench service``: measures how many live streams a service can run within its latency objective."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acfd_stream.cli.exits import DONE, print_error, print_note
from acfd_stream.cli.remote import Remote
from acfd_stream.config import available_cores, hush_grpc, require
from acfd_stream.errors import BackendUnavailable, ConfigError, MediaError, OutputError, ServiceError

if TYPE_CHECKING:
    from acfd_stream.client.load_test import LoadRow

_STOP_SECONDS = 30.0
START_SECONDS = 300.0
"""How long a new service may take to start: seconds on a CPU, minutes if TensorRT builds an engine."""


@dataclass(frozen=True)
class LoadOptions:
    """Options of the load."""

    streams: tuple[int, ...]
    fps: float
    objective_seconds: float
    seconds: float
    drop_policy: str


@dataclass(frozen=True)
class BenchOptions:
    """Options of ``bench service``."""

    remote: Remote | None
    """None: a service is started, and stopped at the end."""
    spawn: tuple[str, ...]
    """Further options of that service."""
    load: LoadOptions
    clip: Path | None
    """None: a cartoon is drawn."""
    output: Path
    """The JSON file; the PNG is next to it."""
    start_seconds: float = START_SECONDS
    """How long the started service may take until it is ready, (0, 86400]."""

    def __post_init__(self) -> None:
        require(0 < self.start_seconds <= 86400, "--wait", self.start_seconds, "in 0 … 86400 s")


def run_bench_service(options: BenchOptions) -> int:
    """Run every load, print one line per load, and write the report and its plot.

    Raises:
        AcfdError: the service cannot be reached, the clip cannot be read, or the report cannot be written.
    """
    hush_grpc()
    _require_writable(options.output)
    with tempfile.TemporaryDirectory(prefix="acfd-bench-") as folder, _service(options) as (remote, server_cpu):
        report = _report(options, remote, options.clip or _draw_clip(Path(folder)), server_cpu)
    _write(options.output, report)
    picture = options.output.with_suffix(".png")
    paths = str(options.output)
    try:
        from acfd_stream.client.load_plot import draw_sweep

        draw_sweep(report, picture)
        paths += f", {picture}"
    except BackendUnavailable as error:
        print_error(f"warning: no plot: {error}")
    objective = options.load.objective_seconds * 1000
    print_note(f"largest load with p95 within {objective:g} ms: {report['largest']} streams → {paths}")
    return DONE


def _report(
    options: BenchOptions, remote: Remote, clip: Path, server_cpu: Callable[[], float | None]
) -> dict[str, Any]:
    from acfd_stream.client.load_test import Load, LoadPlan, sweep

    load = options.load
    plan = LoadPlan(clip, load.fps, load.objective_seconds, load.seconds, drop_policy=load.drop_policy)
    with remote.open() as client:
        loaded = next((model for model in client.models() if model.is_loaded), None)
        size = _size_of(clip)
        capacity = client.capacity(size, load.fps, load.objective_seconds)
    if loaded is None:
        raise ServiceError(f"{remote.target} has no model loaded")
    loading = Load(remote.open, plan, server_cpu)
    print_note(f"{loaded.name} {loaded.version} on {loaded.description}; {capacity.reason}")
    rows, largest = sweep(loading.run, load.streams, load.objective_seconds, _print_row)
    return {
        "model": f"{loaded.name} {loaded.version}",
        "engine": loaded.description,
        "clip": options.clip.name if options.clip else "drawn",
        "size": list(size),
        "fps": load.fps,
        "objective_seconds": load.objective_seconds,
        "seconds": load.seconds,
        "drop_policy": load.drop_policy,
        "warmup_seconds": plan.warmup_seconds,
        "cores": available_cores(),
        "largest": largest,
        "rows": [row.values() for row in rows],
    }


def _print_row(row: LoadRow) -> None:
    values = row.values()
    latency = values["latency"]
    times = "no frame was answered"
    if latency is not None:
        times = " ".join(f"{name} {latency[name] * 1000:.1f}" for name in ("p50", "p95", "p99")) + " ms"
    cpu = values["server_cpu_per_frame"]
    server = "" if cpu is None else f", server {cpu * 1000:.1f} ms CPU per frame"
    print(
        f"{row.streams:>3} streams: {row.admitted} admitted, {row.refused} refused, {len(row.failures)} broken; "
        f"{times}; goodput {row.goodput:.4f}{server}",
        flush=True,
    )


@contextmanager
def _service(options: BenchOptions) -> Iterator[tuple[Remote, Callable[[], float | None]]]:
    """The service to measure, and a function that returns its CPU seconds."""
    if options.remote is not None:
        yield replace(options.remote, patience_seconds=0.0), lambda: None
        return
    command = [sys.executable, "-m", "acfd_stream.cli", "serve", "--listen", "127.0.0.1:0", "--metrics", ""]
    quiet = ["--log-level", "error", *options.spawn]
    with subprocess.Popen([*command, *quiet], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield (
                Remote(_address(process, options.start_seconds), patience_seconds=0.0),
                lambda: cpu_seconds(process.pid),
            )
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _address(process: subprocess.Popen[str], start_seconds: float) -> str:
    """The address in the first line that the service prints.

    Raises:
        ServiceError: it prints nothing for ``start_seconds``, prints something else, or exits.
    """
    lines: list[str] = []
    stdout = process.stdout
    reader = threading.Thread(target=lambda: lines.append(stdout.readline() if stdout else ""), daemon=True)
    reader.start()
    reader.join(start_seconds)
    if not lines:
        process.kill()  # its end also ends the thread that reads
        raise ServiceError(
            f"the started service is not ready after {start_seconds:g} s; "
            "run 'acfd-stream serve' to see why, or allow more time with --wait"
        )
    line = lines[0]
    if line.startswith("serving on "):
        return line.removeprefix("serving on ").split(": ")[0]
    if line:
        raise ServiceError(f"the started service must print its address, got {line.strip()[:100]!r}")
    raise ServiceError(f"the service did not start ({_ended(process)}); its error message is above")


def _ended(process: subprocess.Popen[str]) -> str:
    try:
        return f"exit code {process.wait(_STOP_SECONDS)}"
    except subprocess.TimeoutExpired:
        return "it closed its stdout"


def cpu_seconds(pid: int) -> float | None:
    """CPU seconds of a process so far; None: the system does not report them."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _draw_clip(folder: Path) -> Path:
    """A drawn 720p cartoon, encoded for low latency: no frame waits for a later one."""
    from acfd_stream.client.pacing import live_copy

    film = folder / "drawn.mkv"
    command = [sys.executable, "-m", "acfd_stream.model.toon", "demo", str(film)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MediaError(f"no clip could be drawn; give one with --clip ({done.stderr.strip()})")
    return live_copy(film, folder / "live.mkv")


def _size_of(clip: Path) -> tuple[int, int]:
    """(height, width) of a clip's pictures."""
    from acfd_stream.video import open_video

    with open_video(str(clip)) as video:
        return video.info.display_size


def _require_writable(output: Path) -> None:
    if output.suffix != ".json":
        raise ConfigError(f"--output must end in .json, got {output}; the PNG takes its name")
    if not output.parent.is_dir():
        raise OutputError(f"cannot write {output}: there is no folder {output.parent}")


def _write(output: Path, report: dict[str, Any]) -> None:
    try:
        output.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error.strerror}; choose another path") from error


def parse_counts(text: str) -> Sequence[int]:
    """The numbers of ``1,2,4``.

    Raises:
        ConfigError: it is something else.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= 1024 for part in parts):
        raise ConfigError(f"--streams must be whole numbers in 1 … 1024 like 1,2,4, got {text!r}")
    return tuple(int(part) for part in parts)
