"""``bench service``: measures how many live streams a service can run within its latency objective."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acfd_stream.cli.choices import OverwriteOption, takes
from acfd_stream.cli.exits import DONE, print_error, print_note, print_path
from acfd_stream.cli.progress import count
from acfd_stream.cli.remote import Remote
from acfd_stream.config import DropPolicy, available_cores, hush_grpc, require
from acfd_stream.errors import BackendUnavailable, ConfigError, MediaError, OutputError, ServiceError
from acfd_stream.progress import WorkProgress

if TYPE_CHECKING:
    from acfd_stream.client.load_test import LoadRow

bench_app = typer.Typer(help="Measure a service.", no_args_is_help=True)
_STOP_SECONDS = 30.0
START_SECONDS = 300.0
"""How long a new service may take to start: seconds on a CPU, minutes if TensorRT builds an engine."""


@dataclass(frozen=True)
class BenchOptions:
    """Options of ``bench service``."""

    remote: Remote | None
    """None: a service is started, and stopped at the end."""
    spawn: tuple[str, ...]
    """Further options of that service."""
    streams: tuple[int, ...]
    """Numbers of live streams to try."""
    fps: float
    """Of each stream, frames per second."""
    objective_seconds: float
    """Latency objective."""
    seconds: float
    """Length of each load."""
    drop_policy: str
    clip: Path | None
    """None: a cartoon is drawn."""
    output: Path
    """The JSON file; the PNG is next to it."""
    overwrites: bool = False
    """Whether to replace files that are no reports, too."""
    start_seconds: float = START_SECONDS
    """How long the started service may take until it is ready, (0, 86400]."""

    def __post_init__(self) -> None:
        require(0 < self.start_seconds <= 86400, "--wait", self.start_seconds, "in 0 … 86400 s")


@bench_app.command("service")
@takes("remote", Remote, without=["patience_seconds"], target="")
def bench_service(
    remote: Remote,
    is_spawned: Annotated[bool, typer.Option("--spawn", help="Start a service, and stop it at the end.")] = False,
    options: Annotated[str, typer.Option("--with", metavar="'--batch 8 …'", help="Options of that service.")] = "",
    wait: Annotated[float, typer.Option(metavar="S", help="How long it may take to start, seconds.")] = START_SECONDS,
    streams: Annotated[str, typer.Option(metavar="N,N,…", help="Numbers of live streams to try.")] = "1,2,4,8,16",
    fps: Annotated[float, typer.Option(help="Frames per second of each stream.")] = 24.0,
    objective: Annotated[float, typer.Option(metavar="S", help="Latency objective, in seconds.")] = 0.05,
    seconds: Annotated[float, typer.Option(metavar="S", help="Duration of each load, in seconds.")] = 10.0,
    drop: Annotated[
        DropPolicy, typer.Option(help="Which frames to drop when they come too fast.")
    ] = DropPolicy.DROP_OLDEST,
    clip: Annotated[Path | None, typer.Option(metavar="FILE", help="Video to send; default: a drawn cartoon.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT.json")] = Path("bench_service.json"),
    overwrites: OverwriteOption = False,
) -> int:
    """Send more and more live streams, and find the largest number whose p95 latency keeps the objective.

    Tries N,N,… in order until one fails, then bisects. Writes OUT.json and OUT.png.
    """
    if bool(remote.target) == is_spawned:
        raise typer.BadParameter("give either --to HOST:PORT or --spawn")
    call = BenchOptions(
        remote=remote if remote.target else None,
        spawn=tuple(shlex.split(options)),
        streams=parse_counts(streams),
        fps=fps,
        objective_seconds=objective,
        seconds=seconds,
        drop_policy=drop.value,
        clip=clip,
        output=output,
        start_seconds=wait,
        overwrites=overwrites,
    )
    return run_bench_service(call)


def run_bench_service(options: BenchOptions) -> int:
    """Run every load, print one line per load, and write the report and its plot.

    Raises:
        AcfdError: the service cannot be reached, the clip cannot be read, or the report cannot be written.
    """
    import tempfile

    hush_grpc()
    _require_writable(options.output, options.overwrites)
    with tempfile.TemporaryDirectory(prefix="acfd-bench-") as folder, _service(options) as (remote, server_cpu):
        report = _report(options, remote, options.clip or _draw_clip(Path(folder)), server_cpu)
    _write(options.output, report)
    picture = options.output.with_suffix(".png")
    paths = [options.output]
    try:
        from acfd_stream.client.load_plot import draw_sweep

        draw_sweep(report, picture)
        paths.append(picture)
    except BackendUnavailable as error:
        print_error(f"warning: no plot: {error}")
    objective = options.objective_seconds * 1000
    print_note(f"largest load with p95 within {objective:g} ms: {count(report['largest'], 'stream')}")
    for path in paths:
        print_path(str(path))
    return DONE


def _report(
    options: BenchOptions, remote: Remote, clip: Path, server_cpu: Callable[[], float | None]
) -> dict[str, Any]:
    from acfd_stream.client.load_test import Load, LoadPlan, most_loads, sweep

    fps, objective_seconds = options.fps, options.objective_seconds
    plan = LoadPlan(clip, fps, objective_seconds, options.seconds, drop_policy=options.drop_policy)
    with remote.open() as client:
        loaded = next((model for model in client.models() if model.is_loaded), None)
        size = _size_of(clip)
        capacity = client.capacity(size, fps, objective_seconds)
    if loaded is None:
        raise ServiceError(f"{remote.target} has no model loaded")
    loading = Load(remote.open, plan, server_cpu)
    print_note(f"{loaded.name} {loaded.version} on {loaded.description}; {capacity.reason}")
    with WorkProgress(most_loads(options.streams)) as progress:
        progress.update(0, "measuring")

        def tell(row: LoadRow) -> None:
            _print_row(row)
            progress.step(f"{count(row.streams, 'stream')} measured")

        rows, largest = sweep(loading.run, options.streams, objective_seconds, tell)
    return {
        "model": f"{loaded.name} {loaded.version}",
        "engine": loaded.description,
        "clip": options.clip.name if options.clip else "drawn",
        "size": list(size),
        "fps": fps,
        "objective_seconds": objective_seconds,
        "seconds": options.seconds,
        "drop_policy": options.drop_policy,
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
        reason = done.stderr.strip().rpartition("\n")[2].partition(": ")[2]
        raise MediaError(f"no clip could be drawn; give one with --clip ({reason})")
    return live_copy(film, folder / "live.mkv")


def _size_of(clip: Path) -> tuple[int, int]:
    """(height, width) of a clip's pictures."""
    from acfd_stream.video import open_video

    with open_video(str(clip)) as video:
        return video.info.display_size


def _require_writable(output: Path, overwrites: bool) -> None:
    if output.suffix != ".json":
        raise ConfigError(f"--output must end in .json, got {output}; the PNG takes its name")
    if not output.parent.is_dir():
        raise OutputError(f"cannot write {output}: there is no folder {output.parent}")
    from acfd_stream.outputs.recognise import require_replaceable

    is_again = _is_report(output)  # then the picture is of the older report
    for path in (output, output.with_suffix(".png")):
        require_replaceable("--output", path, overwrites=overwrites, is_ours=lambda path: is_again)


def _is_report(path: Path) -> bool:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(values, dict) and {"largest", "objective_seconds", "rows"} <= values.keys()


def _write(output: Path, report: dict[str, Any]) -> None:
    try:
        output.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {output}: {error.strerror}; choose another path") from error


def parse_counts(text: str) -> tuple[int, ...]:
    """The numbers of ``1,2,4``.

    Raises:
        ConfigError: it is something else.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= 1024 for part in parts):
        raise ConfigError(f"--streams must be whole numbers in 1 … 1024 like 1,2,4, got {text!r}")
    return tuple(int(part) for part in parts)
