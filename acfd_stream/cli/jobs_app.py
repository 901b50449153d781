"""The commands of ``client jobs`` and their options. Nothing runs here."""

from __future__ import annotations

from typing import Annotated

import typer

from acfd_stream.cli.service_app import Ca, Cert, Key, Patience, Tls, To, TokenFile, check_seconds
from acfd_stream.config import DetectConfig, VideoConfig

jobs_app = typer.Typer(help="Videos that a service tracks while nobody waits.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="As 'submit' printed it.")]
Seconds = Annotated[float | None, typer.Option(metavar="S", callback=check_seconds, help="As of 'track'.")]


@jobs_app.command("submit")
def submit(
    uri: Annotated[str, typer.Argument(metavar="URI", help="A path or URL that the service reads itself.")],
    to: To,
    idempotency_key: Annotated[
        str, typer.Option("--idempotency-key", metavar="K", help="The same one and URI give the same job again.")
    ] = "",
    start: Seconds = None,
    end: Seconds = None,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    tls: Tls = False,
    token_file: TokenFile = None,
) -> int:
    """Begin a job, and print its id."""
    from acfd_stream.cli.client import Remote
    from acfd_stream.cli.jobs import run_submit

    return run_submit(Remote(to, ca, cert, key, token_file, tls), uri, idempotency_key, start, end)


@jobs_app.command("watch")
def watch(
    job_id: Id,
    to: To,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    tls: Tls = False,
    token_file: TokenFile = None,
    patience: Patience = 60.0,
) -> int:
    """Print a job whenever it has changed, one JSON object a line; exit code 0 where it is done in the end."""
    from acfd_stream.cli.client import Remote
    from acfd_stream.cli.jobs import run_watch

    return run_watch(Remote(to, ca, cert, key, token_file, tls, patience), job_id)


@jobs_app.command("list")
def list_jobs(
    to: To,
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="queued|running|done|failed|cancelled", help="Only such; may be repeated."),
    ] = None,
    most: Annotated[int | None, typer.Option(metavar="N", help="At most so many.")] = None,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    tls: Tls = False,
    token_file: TokenFile = None,
) -> int:
    """Print one's jobs, newest first: one JSON object a line."""
    from acfd_stream.cli.client import Remote
    from acfd_stream.cli.jobs import run_list

    return run_list(Remote(to, ca, cert, key, token_file, tls), state or [], most)


@jobs_app.command("cancel")
def cancel(
    job_id: Id,
    to: To,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    tls: Tls = False,
    token_file: TokenFile = None,
) -> int:
    """Have a job stop, and print it: one JSON object."""
    from acfd_stream.cli.client import Remote
    from acfd_stream.cli.jobs import run_cancel

    return run_cancel(Remote(to, ca, cert, key, token_file, tls), job_id)


@jobs_app.command("results")
def results(
    job_id: Id,
    to: To,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="OUT", help="Result file; '-' is stdout. [ID.jsonl]")
    ] = None,
    result_format: Annotated[str, typer.Option("--format", metavar="jsonl|mot|…", help="As of 'track'.")] = "jsonl",
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    tls: Tls = False,
    token_file: TokenFile = None,
    patience: Patience = 60.0,
    is_quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
) -> int:
    """Write the results of a job, of one that is running as they come: the lines of 'track'."""
    from acfd_stream.cli.client import Remote
    from acfd_stream.cli.jobs import run_results
    from acfd_stream.cli.track import TrackCall

    call = TrackCall(
        source=job_id,
        output=output,
        format=result_format,
        overlay=None,
        model="",
        device="",
        detect=DetectConfig(),
        video=VideoConfig(),
        is_quiet=is_quiet,
    )
    return run_results(Remote(to, ca, cert, key, token_file, tls, patience), call)
