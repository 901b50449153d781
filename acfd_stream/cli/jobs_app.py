"""The commands ``client jobs …`` and their options."""

from __future__ import annotations

from typing import Annotated

import typer

from acfd_stream.cli.choices import JSON_LINES, FormatOption, QuietOption, VideoOptions, takes
from acfd_stream.cli.remote import Remote

jobs_app = typer.Typer(help="Manage background tracking jobs.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="ID that 'submit' printed.")]


@jobs_app.command("submit")
@takes("remote", Remote, without=["patience_seconds"])
@takes("video", VideoOptions, without=["every_frame"])
def submit(
    uri: Annotated[str, typer.Argument(metavar="URI", help="Path or URL that the server reads.")],
    remote: Remote,
    video: VideoOptions,
    idempotency_key: Annotated[
        str, typer.Option("--idempotency-key", metavar="K", help="The same key and URI give the same job again.")
    ] = "",
) -> int:
    """Start a job, and print its ID."""
    from acfd_stream.cli.jobs import run_submit

    return run_submit(remote, uri, idempotency_key, video.start, video.end)


@jobs_app.command("watch")
@takes("remote", Remote)
def watch(
    job_id: Id,
    remote: Remote,
) -> int:
    """Print a job on every change, one JSON object per line; exit code 0 if it ends as done, else 1."""
    from acfd_stream.cli.jobs import run_watch

    return run_watch(remote, job_id)


@jobs_app.command("list")
@takes("remote", Remote, without=["patience_seconds"])
def list_jobs(
    remote: Remote,
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="queued|running|done|failed|cancelled", help="Only jobs in this state; may be repeated."),
    ] = None,
    most: Annotated[int | None, typer.Option(metavar="N", help="Maximum number of jobs.")] = None,
) -> int:
    """Print your jobs, newest first: one JSON object per line."""
    from acfd_stream.cli.jobs import run_list

    return run_list(remote, state or [], most)


@jobs_app.command("cancel")
@takes("remote", Remote, without=["patience_seconds"])
def cancel(
    job_id: Id,
    remote: Remote,
) -> int:
    """Cancel a job, and print it: one JSON object."""
    from acfd_stream.cli.jobs import run_cancel

    return run_cancel(remote, job_id)


@jobs_app.command("results")
@takes("remote", Remote)
def results(
    job_id: Id,
    remote: Remote,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="OUT", help="Result file; '-' is stdout; default: ID.jsonl.")
    ] = None,
    result_format: FormatOption = JSON_LINES,
    is_quiet: QuietOption = False,
) -> int:
    """Write the results of a job as 'track' does; those of a running job are written as they come."""
    from acfd_stream.cli.jobs import run_results
    from acfd_stream.cli.track import TrackOptions

    return run_results(remote, TrackOptions(job_id, output, str(result_format), is_quiet))
