"""The reports of an archive: a page for every video that is done, and an index of all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from acfd_stream.archive.manifest import Manifest
from acfd_stream.archive.records import Episode, EpisodeStatus
from acfd_stream.errors import AcfdError, MediaError, OutputError
from acfd_stream.outputs.formats import RESULTS
from acfd_stream.recording.task import RecordingTask

if TYPE_CHECKING:
    from acfd_stream.outputs.report.episode import EpisodeSpeed
    from acfd_stream.outputs.report.folder import EpisodeRow


def write_index(out: Path) -> Path:
    """Write ``OUT/index.html``, and return where it is.

    Raises:
        ConfigError: there is no archive.
        OutputError: it cannot be written.
    """
    from acfd_stream.outputs.report import folder

    with Manifest(out) as manifest:
        episodes = manifest.episodes()
    return folder.write_index(out, [_row(out, episode) for episode in episodes])


def write_reports(out: Path) -> Iterator[tuple[str, str]]:
    """Write the page of every video that is done and has none; gives name and error ("": none) of each as it is made.

    Raises:
        ConfigError: there is no archive.
        OutputError: a page cannot be written.
    """
    with Manifest(out) as manifest:
        for episode in manifest.episodes(EpisodeStatus.DONE):
            task = _task(out, episode)
            if "report" in episode.outputs and task.path_of("report").exists():
                continue
            try:
                _write_report(task, episode)
            except OutputError:
                raise
            except AcfdError as error:
                yield episode.name, str(error)
                continue
            manifest.note_outputs(episode.name, {*episode.outputs, "report"})
            yield episode.name, ""


def _write_report(task: RecordingTask, episode: Episode) -> None:
    from acfd_stream.outputs import read_results
    from acfd_stream.recording.derived import DerivedJob, make_output

    results = task.path_of(RESULTS)
    if not results.exists():
        raise MediaError(f"{results}: is gone; 'archive run' makes it again")
    make_output("report", DerivedJob(task, read_results(results), speed=_speed(episode)))


def _task(out: Path, episode: Episode) -> RecordingTask:
    outputs = (*episode.outputs, "report")
    return RecordingTask(episode.key, episode.source, episode.name, out, outputs, is_tracked=True)


def _speed(episode: Episode) -> EpisodeSpeed | None:
    from acfd_stream.outputs.report.episode import EpisodeSpeed

    if episode.frames_per_second is None:
        return None
    means = {stage: seconds / episode.new_frames for stage, seconds in episode.stage_seconds.items()}
    return EpisodeSpeed(episode.seconds, episode.new_frames, means)


def _row(out: Path, episode: Episode) -> EpisodeRow:
    from acfd_stream.outputs.report.folder import EpisodeRow

    def existing(output: str) -> Path | None:
        path = _task(out, episode).path_of(output) if episode.key else None
        return path if path is not None and path.exists() else None

    is_done = episode.state is EpisodeStatus.DONE
    return EpisodeRow(
        name=episode.name,
        state=episode.state.value,
        results=existing(RESULTS) if is_done or episode.state is EpisodeStatus.BROKEN else None,
        report=existing("report") if is_done else None,
        thumbnails=existing("thumbnails") if is_done else None,
        error=episode.error,
        warnings=episode.warnings,
        attempts=episode.attempts,
        seconds=episode.seconds,
        frames=episode.new_frames,
        stage_seconds=episode.stage_seconds,
    )
