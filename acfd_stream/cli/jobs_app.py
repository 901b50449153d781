"""The commands of ``client jobs`` and their options. Nothing runs here."""

from __future__ import annotations

from typing import Annotated

import typer

from acfd_stream.cli.choices import JSON_LINES, EndOption, FormatOption, QuietOption, StartOption
from acfd_stream.cli.remote import Remote, takes_remote
from acfd_stream.config import DetectConfig, VideoConfig

jobs_app = typer.Typer(help="Videos that a service tracks while nobody waits.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="As 'submit' printed it.")]


@jobs_app.command("submit")
@takes_remote()
def submit(
    uri: Annotated[str, typer.Argument(metavar="URI", help="A path or URL that the service reads itself.")],
    remote: Remote,
    idempotency_key: Annotated[
        str, typer.Option("--idempotency-key", metavar="K", help="The same one and URI give the same job again.")
    ] = "",
    start: StartOption = None,
    end: EndOption = None,
) -> int:
    """Begin a job, and print its id."""
    from acfd_stream.cli.jobs import run_submit

    return run_submit(remote, uri, idempotency_key, start, end)


@jobs_app.command("watch")
@takes_remote(has_patience=True)
def watch(
    job_id: Id,
    remote: Remote,
) -> int:
    """Print a job whenever it has changed, one JSON object a line; exit code 0 where it is done in the end."""
    from acfd_stream.cli.jobs import run_watch

    return run_watch(remote, job_id)


@jobs_app.command("list")
@takes_remote()
def list_jobs(
    remote: Remote,
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="queued|running|done|failed|cancelled", help="Only such; may be repeated."),
    ] = None,
    most: Annotated[int | None, typer.Option(metavar="N", help="At most so many.")] = None,
) -> int:
    """Print one's jobs, newest first: one JSON object a line."""
    from acfd_stream.cli.jobs import run_list

    return run_list(remote, state or [], most)


@jobs_app.command("cancel")
@takes_remote()
def cancel(
    job_id: Id,
    remote: Remote,
) -> int:
    """Have a job stop, and print it: one JSON object."""
    from acfd_stream.cli.jobs import run_cancel

    return run_cancel(remote, job_id)


@jobs_app.command("results")
@takes_remote(has_patience=True)
def results(
    job_id: Id,
    remote: Remote,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="OUT", help="Result file; '-' is stdout. [ID.jsonl]")
    ] = None,
    result_format: FormatOption = JSON_LINES,
    is_quiet: QuietOption = False,
) -> int:
    """Write the results of a job, of one that is running as they come: the lines of 'track'."""
    from acfd_stream.cli.jobs import run_results
    from acfd_stream.cli.track import TrackCall

    call = TrackCall(
        source=job_id,
        output=output,
        format=str(result_format),
        overlay=None,
        model="",
        device="",
        detect=DetectConfig(),
        video=VideoConfig(),
        is_quiet=is_quiet,
    )
    return run_results(remote, call)
