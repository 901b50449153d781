"""The lines of ``archive status``, from the manifest: during a run or after it."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acfd_stream.cli.archive.run import SHOWN_FAILURES
from acfd_stream.cli.progress import count
from acfd_stream.progress import duration

if TYPE_CHECKING:
    from acfd_stream.archive.records import Episode
    from acfd_stream.characters import Character


def gather(out: Path, *, lists_all: bool = False) -> dict[str, Any]:
    """All values that ``status`` prints.

    Args:
        out: folder of the results.
        lists_all: every video, and not only the first failures.

    Raises:
        ConfigError: the folder has no archive.
    """
    from acfd_stream.archive.manifest import Manifest
    from acfd_stream.archive.records import EpisodeStatus
    from acfd_stream.archive.who import characters_of

    failures = -1 if lists_all else SHOWN_FAILURES
    with Manifest(out) as manifest:
        every = [(row, characters_of(out, row)) for row in (manifest.episodes() if lists_all else ())]
        counts, sums = manifest.counts(), manifest.sums()
        runs, last = manifest.living_runs(), manifest.last_run()
        pauses = manifest.pauses()
        living = {run.run for run in runs}
        begun = manifest.episodes(EpisodeStatus.RUNNING)
        at_work = [row for row in begun if row.run in living]
        counts[EpisodeStatus.RUNNING] = len(at_work)  # videos of a killed run count as waiting
        counts[EpisodeStatus.WAITING] += len(begun) - len(at_work)
        waiting = [row for row in manifest.episodes(EpisodeStatus.WAITING, limit=100) if row.error]
        broken = manifest.episodes(EpisodeStatus.BROKEN, EpisodeStatus.FAILING, limit=failures)
        gapped = manifest.with_gaps(failures)
    return {
        "out": os.fspath(out),
        "videos": {state.value: number for state, number in counts.items()},
        "done": {name: round(value, 3) for name, value in sums.items()},
        "runs": [{"pid": run.pid, "seconds": round(time.time() - run.started, 1)} for run in runs],
        "pauses": pauses,
        "last_run_code": None if last is None else last.code,
        "at_work": [_work_values(row) for row in at_work],
        "tried": [{"name": row.name, "attempts": row.attempts, "reason": row.error} for row in waiting],
        "failures": [
            {"name": row.name, "state": row.state.value, "attempts": row.attempts, "reason": row.error}
            for row in broken
        ],
        "gaps": [
            {"name": row.name, "gaps": row.gaps, "missing_seconds": round(row.missing_seconds, 3)} for row in gapped
        ],
        **({"episodes": [_episode_values(row, living, who) for row, who in every]} if lists_all else {}),
    }


def lines(facts: dict[str, Any]) -> list[str]:
    """The text of what ``gather`` returns."""
    videos, done = facts["videos"], facts["done"]
    states = ", ".join(f"{number} {state}" for state, number in videos.items() if number) or "none"
    found = [f"{count(sum(videos.values()), 'video')}: {states}"]
    if done["frames"]:
        speed = f", {done['new_frames'] / done['seconds']:.1f} fps per worker" if done["seconds"] else ""
        found.append(
            f"done: {count(int(done['tracks']), 'track')} in {count(int(done['frames']), 'frame')}, "
            f"{duration(done['video_seconds'])} of video{speed}"
        )
    if done["gaps"]:
        found.append(f"{count(int(done['gaps']), 'gap')} in the videos, {done['missing_seconds']:.3f} s are missing")
        found += [
            f"  {row['name']}: {count(row['gaps'], 'gap')}, {row['missing_seconds']:.3f} s" for row in facts["gaps"]
        ]
    for run in facts["runs"]:
        found.append(f"a run is active: process {run['pid']}, for {duration(run['seconds'])}")
    found += [f"the run waits: {reason}" for reason in facts["pauses"]]
    if not facts["runs"] and videos["waiting"]:
        found.append(f"no run is active; 'acfd-stream archive resume {facts['out']}' continues")
    for work in facts["at_work"]:
        fps = "" if work["fps"] is None else f", {work['fps']} fps"
        found.append(f"  {work['name']}: {work['frames']} of {work['expected_frames'] or '?'} frames{fps}")
    found += [f"  {tried['name']}: tried {tried['attempts']} times: {tried['reason']}" for tried in facts["tried"]]
    found += [f"  {failure['name']}: {failure['state']}: {failure['reason']}" for failure in facts["failures"]]
    rest = videos["broken"] + videos["failing"] - len(facts["failures"])
    if rest > 0:
        found.append(f"  … and {rest} more; --all lists them")
    found += [_episode_line(row) for row in facts.get("episodes", ()) if row["state"] not in ("broken", "failing")]
    return found


def _episode_values(row: Episode, living: Collection[int], characters: Sequence[Character]) -> dict[str, Any]:
    is_killed = row.state.value == "running" and row.run not in living
    return {
        "name": row.name,
        "state": "waiting" if is_killed else row.state.value,
        **{key: value for key, value in _work_values(row).items() if key in ("frames", "tracks", "fps")},
        "video_seconds": round(row.video_seconds, 3),
        "outputs": list(row.outputs),
        "characters": [
            {"character": each.number, "name": each.name, "tracks": len(each.tracks)} for each in characters
        ],
    }


def _episode_line(values: Mapping[str, Any]) -> str:
    """One video of the list."""
    if values["state"] != "done":
        return f"  {values['state']}: {values['name']}"
    speed = "" if values["fps"] is None else f", {values['fps']} fps"
    counts = f"{count(values['tracks'], 'track')} in {count(values['frames'], 'frame')}"
    return f"  done: {values['name']}: {counts}, {duration(values['video_seconds'])} of video{speed}{_who(values)}"


def _who(values: Mapping[str, Any]) -> str:
    """The characters of a video: those with a name, and how many have none."""
    names = sorted(each["name"] for each in values["characters"] if each["name"])
    unnamed = len(values["characters"]) - len(names)
    if unnamed:
        names.append(count(unnamed, "character") + (" without a name" if names else ""))
    return f"; with {', '.join(names)}" if names else ""


def _work_values(row: Episode) -> dict[str, Any]:
    speed = row.frames_per_second
    return {
        "name": row.name,
        "worker": row.worker,
        "frames": row.frames,
        "expected_frames": row.expected_frames,
        "tracks": row.tracks,
        "fps": None if speed is None else round(speed, 1),
    }
