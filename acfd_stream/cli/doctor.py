"""The command ``doctor``: what this machine has and lacks, in a table for bug reports."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from acfd_stream.cli.exits import DONE, INPUT_AT_FAULT, print_error
from acfd_stream.progress import WorkProgress

_LEAST_COLUMNS = 40  # with fewer, nothing would be left of the values
_UNITS = ((2**30, "GiB"), (2**20, "MiB"))


def doctor(is_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> int:
    """Print what this machine runs and what it lacks, for bug reports; exit code 1 if the default run fails.

    A drawn clip is tracked with default options. On a GPU, the first time takes minutes.
    """
    from acfd_stream.cli.machine import gather
    from acfd_stream.outputs.jsonl import json_line

    with WorkProgress(None) as progress:
        progress.update(0, "examining this machine")
        facts = gather()
    if is_json:
        sys.stdout.buffer.write(json_line(facts))
    else:
        _print_table(facts)
    for problem in facts["problems"]:
        print_error(problem)
    return INPUT_AT_FAULT if facts["problems"] else DONE


def _print_table(facts: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows(facts):
        table.add_row(name, Text(value))
    console = Console()
    console.width = max(console.width, _LEAST_COLUMNS)
    console.print(table)


def rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The lines of the table: what it is about, and what was found."""
    yield "acfd-stream", facts["version"]
    yield "Python", facts["python"]
    yield "system", facts["system"]
    cpu, memory, cache = facts["cpu"], facts["memory"], facts["cache"]
    yield (
        "CPU",
        f"{cpu['model'] or 'unknown'}; {cpu['cores']} cores; {', '.join(cpu['features']) or 'features unknown'}",
    )
    yield "memory", _memory(memory)
    yield "GPU", facts["gpu"]["obstacle"] or f"{facts['gpu']['count']}, can be used"
    network, decoder = facts["network"], facts["decoder"]
    if network:
        yield "network", f"{network['model']}: {network['description']}"
        yield "precision", f"{network['precision']}: {network['reason']}"
    if decoder:
        said = f" ({decoder['reason']})" if decoder["reason"] else ""
        yield "decoder", f"{decoder['name']}{said}; PyAV {decoder['av']}, FFmpeg {decoder['ffmpeg']}"
    for model in facts["models"]:
        yield "model file", f"{model['file']}: {model['state']}; SHA-256 {model['sha256'][:16]}…"
    for name, extra in facts["extras"].items():
        lacks = f"lacks {', '.join(extra['missing'])}: {extra['install']}"
        yield f"extra {name}", lacks if extra["missing"] else "installed"
    note = "" if cache["is_writable"] else "; cannot be written: networks are compiled in every run"
    yield "cache", f"{cache['folder'] or 'none'}: {_size(cache['bytes'])}; {_size(cache['free_bytes'])} are free{note}"
    yield "default run", "; ".join(facts["problems"]) or f"works, {facts['run_seconds']:.1f} s"


def _memory(memory: Mapping[str, int]) -> str:
    limit = f"; {_size(memory['limit_bytes'])} allowed by the cgroup" if memory["limit_bytes"] else ""
    return f"{_size(memory['total_bytes'])}, {_size(memory['available_bytes'])} available{limit}"


def _size(number: int) -> str:
    unit, name = next((row for row in _UNITS if number >= row[0]), _UNITS[-1])
    return f"{number / unit:.1f} {name}"
