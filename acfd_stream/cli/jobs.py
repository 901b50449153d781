"""The commands ``client jobs …``: background jobs of a service, which tracks videos that it reads itself."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acfd_stream.cli.choices import (
    CharacterOptions,
    FormatOption,
    OverwriteOption,
    QuietOption,
    VideoOptions,
    chosen_format,
    takes,
)
from acfd_stream.cli.client import write_results
from acfd_stream.cli.exits import DONE, INPUT_AT_FAULT, print_error
from acfd_stream.cli.remote import Remote
from acfd_stream.cli.signals import STOP
from acfd_stream.cli.track import STDOUT, TrackOptions, check_paths, report_end
from acfd_stream.config import require
from acfd_stream.errors import AcfdError, ConfigError
from acfd_stream.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from acfd_stream.client.jobs import JobInfo
    from acfd_stream.types import JobState

jobs_app = typer.Typer(help="Manage background tracking jobs.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="ID that 'submit' printed.")]


@jobs_app.command()
@takes("remote", Remote, without=["patience_seconds"])
@takes("video", VideoOptions, without=["every_frame"])
@takes("characters", CharacterOptions)
def submit(
    uri: Annotated[str, typer.Argument(metavar="URI", help="Path or URL that the server reads.")],
    remote: Remote,
    video: VideoOptions,
    characters: CharacterOptions,
    idempotency_key: Annotated[
        str, typer.Option("--idempotency-key", metavar="K", help="The same key and URI give the same job again.")
    ] = "",
    keeps_views: Annotated[
        bool, typer.Option("--views", help="Keep the best pictures of every track, for a cast; see 'views'.")
    ] = False,
) -> int:
    """Start a job, and print its ID."""
    require(characters.characters or not keeps_views, "--views", "--no-characters", "a job with characters")
    with remote.open() as client:
        from acfd_stream.client.stream_progress import StreamOptions

        options = StreamOptions(
            start_seconds=video.start,
            end_seconds=video.end,
            min_score=video.min_score,
            with_characters=characters.characters,
        )
        job = client.jobs.submit(uri, options, idempotency_key=idempotency_key, keeps_views=keeps_views)
        if options.with_characters and not job.with_characters:
            print_error(f"warning: {remote.target} does not know characters; the results will have none")
        print(printable(job.job_id))
    return DONE


@jobs_app.command()
@takes("remote", Remote)
def watch(job_id: Id, remote: Remote) -> int:
    """Print a job on every change, one JSON object per line; exit code 0 if it ends as done, else 1."""
    reported = ""

    def report(error: AcfdError) -> None:
        nonlocal reported
        if str(error) != reported:
            reported = str(error)
            print_error(f"warning: {reported}; retrying for up to {remote.patience_seconds:g} s")

    with remote.open() as client:
        for job in client.jobs.watch(job_id, on_retry=report):
            reported = ""
            _print(job)
            STOP.check()
    if job.error is not None:
        print_error(f"{job.uri}: {job.error}; job {job_id} failed, its results so far are kept")
    elif job.state.value == "cancelled":
        print_error(f"job {job_id} was cancelled; its results so far are kept")
    return DONE if job.state.value == "done" else INPUT_AT_FAULT


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
    require(most is None or most >= 1, "--most", most, ">= 1")
    with remote.open() as client:
        for job in islice(client.jobs.list(_states(state or [])), most):
            _print(job)
            STOP.check()
    return DONE


@jobs_app.command()
@takes("remote", Remote, without=["patience_seconds"])
def cancel(job_id: Id, remote: Remote) -> int:
    """Cancel a job, and print it: one JSON object."""
    with remote.open() as client:
        _print(client.jobs.cancel(job_id))
    return DONE


@jobs_app.command()
@takes("remote", Remote)
def results(
    job_id: Id,
    remote: Remote,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="OUT", help="Result file; '-' is stdout; default: ID.jsonl.")
    ] = None,
    result_format: FormatOption = None,
    overwrites: OverwriteOption = False,
    is_quiet: QuietOption = False,
) -> int:
    """Write the results of a job as 'track' does; those of a running job are written as they come."""
    from acfd_stream.outputs import check_format

    call = TrackOptions(job_id, output, chosen_format(result_format, output), is_quiet, overwrites=overwrites)
    check_format(call.format)
    check_paths(call)
    with remote.open() as client:
        job = client.jobs.get(job_id)
        with client.jobs.results(job_id, name=job.uri) as stream:
            expected = stream.start.info.frame_count if job.expected_frames is None else job.expected_frames
            end, progress = write_results(call, stream, expected)
    return report_end(call, job.uri, end, progress)


@jobs_app.command()
@takes("remote", Remote, without=["patience_seconds"])
def views(
    job_id: Id,
    remote: Remote,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="OUT", help="Views file; '-' is stdout; default: ID.views.ndjson."),
    ] = None,
    overwrites: OverwriteOption = False,
) -> int:
    """Write the views of a job that is done, as 'track --views' does: a cast is built from them."""
    from acfd_stream.outputs.recognise import require_replaceable
    from acfd_stream.outputs.target import OutputTarget

    place = f"{job_id}.views.ndjson" if output is None else output
    if place != STDOUT:
        require_replaceable("--output", place, overwrites=overwrites)
    with remote.open() as client:
        target = OutputTarget(sys.stdout.buffer if place == STDOUT else place, is_streamed=False)
        try:
            for piece in client.jobs.views(job_id):
                target.write(piece)
                STOP.check()
        except BaseException:
            target.discard()
            raise
        target.finish()
    return DONE


def _states(names: Sequence[str]) -> list[JobState]:
    from acfd_stream.types import JobState

    known = {state.value: state for state in JobState}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"--state must be one of {', '.join(known)}, got {unknown[0]!r}")
    return [known[name] for name in names]


def _print(job: JobInfo) -> None:
    from acfd_stream.outputs.jsonl import json_line

    values: dict[str, Any] = {
        "job_id": job.job_id,
        "state": job.state.value,
        "uri": job.uri,
        "frames": job.frames,
        "expected_frames": job.expected_frames,
        "tracks": job.tracks,
        "created": _written(job.created),
        "started": _written(job.started),
        "ended": _written(job.ended),
        "error": job.error,
    }
    if job.gaps:
        values |= {"gaps": job.gaps, "missing_seconds": round(job.missing_seconds, 6)}
    if job.waiting:
        values["waiting"] = job.waiting
    sys.stdout.buffer.write(json_line(values))
    sys.stdout.buffer.flush()


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
