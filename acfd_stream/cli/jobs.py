"""``client jobs``: background jobs of a service, which tracks videos that it reads itself."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

from acfd_stream.cli.client import write_results
from acfd_stream.cli.exits import DONE, INPUT_AT_FAULT, print_error
from acfd_stream.cli.remote import Remote
from acfd_stream.cli.signals import STOP
from acfd_stream.cli.track import TrackOptions, check_paths, report_end
from acfd_stream.config import require
from acfd_stream.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from acfd_stream.client.jobs import JobInfo
    from acfd_stream.types import JobState


def run_submit(remote: Remote, uri: str, key: str, start_seconds: float | None, end_seconds: float | None) -> int:
    """Print the ID of the job, which is new unless ``key`` is known."""
    with remote.open() as client:
        from acfd_stream.client.stream_progress import StreamOptions

        options = StreamOptions(start_seconds=start_seconds, end_seconds=end_seconds)
        print(client.jobs.submit(uri, options, idempotency_key=key).job_id)
    return DONE


def run_list(remote: Remote, states: Sequence[str], most: int | None) -> int:
    """Print the caller's jobs, newest first, one JSON object per line."""
    require(most is None or most >= 1, "--most", most, ">= 1")
    with remote.open() as client:
        for job in islice(client.jobs.list(_states(states)), most):
            _print(job)
            STOP.check()
    return DONE


def run_cancel(remote: Remote, job_id: str) -> int:
    """Cancel a job, and print its state."""
    with remote.open() as client:
        _print(client.jobs.cancel(job_id))
    return DONE


def run_watch(remote: Remote, job_id: str) -> int:
    """Print a job on every change, one JSON object per line; 0 if it ends as done."""
    with remote.open() as client:
        for job in client.jobs.watch(job_id):
            _print(job)
            STOP.check()
    if job.error is not None:
        print_error(f"{job.uri}: {job.error}; job {job_id} failed, its results so far are kept")
    elif job.state.value == "cancelled":
        print_error(f"job {job_id} was cancelled; its results so far are kept")
    return DONE if job.state.value == "done" else INPUT_AT_FAULT


def run_results(remote: Remote, call: TrackOptions) -> int:
    """Write the results of the job ``call.source``, also while it runs; exit codes are those of ``track``.

    Raises:
        AcfdError: there is no such job, it has failed, or the results cannot be written.
    """
    from acfd_stream.outputs import check_format

    check_format(call.format)
    check_paths(call)
    with remote.open() as client:
        job = client.jobs.get(call.source)
        with client.jobs.results(call.source, name=job.uri) as stream:
            expected = stream.start.info.frame_count if job.expected_frames is None else job.expected_frames
            end, progress = write_results(call, stream, expected)
    return report_end(call, job.uri, end, progress)


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
    sys.stdout.buffer.write(json_line(values))
    sys.stdout.buffer.flush()


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
