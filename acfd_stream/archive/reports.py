"""The reports of an archive: a page for every video that is done, and an index of all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from acfd_stream.archive.database import Wait, wait_briefly
from acfd_stream.archive.episode_checks import noted_outputs, outputs_to_make
from acfd_stream.archive.manifest import Manifest
from acfd_stream.archive.pause import Pause
from acfd_stream.archive.records import Episode, EpisodeStatus
from acfd_stream.errors import AcfdError, ForeignFileError, MediaError, OutputError
from acfd_stream.files import lock_file
from acfd_stream.outputs.formats import INDEX, OUTPUTS, REPORT_OUTPUTS, RESULTS
from acfd_stream.recording.published import FinalNames
from acfd_stream.recording.task import PARTS_FOLDER, STATE_FOLDER, RecordingTask

if TYPE_CHECKING:
    from acfd_stream.outputs.report.folder import EpisodeRow

INDEX_EPISODE = ""
"""The index belongs to no episode."""


def has_index(out: Path) -> bool:
    """Whether ``write_index`` has made the index that is there.

    Raises:
        ConfigError: there is no archive.
    """
    with Manifest(out) as manifest:
        return bool(manifest.published(INDEX_EPISODE)) and (out / INDEX).exists()


def write_index(out: Path, wait: Wait = wait_briefly) -> Path:
    """Write ``OUT/index.html``, and return where it is.

    Args:
        out: folder of the archive.
        wait: what to do while the manifest cannot be written.

    Raises:
        ConfigError: there is no archive.
        ForeignFileError: there is an index that is not ours.
        OutputError: it cannot be written.
    """
    from acfd_stream.outputs.report import folder

    with Manifest(out, wait=wait) as manifest, lock_file(out / STATE_FOLDER / "index.lock", is_patient=True):
        sizes = {file.path: file.size for file in manifest.published()}
        rows = [_row(out, episode, sizes) for episode in manifest.episodes()]
        known = manifest.published(INDEX_EPISODE)
        names = FinalNames(out, known, lambda files: manifest.note_published(INDEX_EPISODE, files))
        fresh, page = out.joinpath(*PARTS_FOLDER, INDEX), out / INDEX
        folder.write_index(out, rows, fresh, final_place=page)
        names.publish(fresh, INDEX)
        manifest.replace_published(INDEX_EPISODE, names.files())
    return page


def write_reports(out: Path, pause: Pause) -> Iterator[tuple[str, str]]:
    """Write the page and the poster that finished videos lack; gives name and error ("": none) of each as it is made.

    Args:
        out: folder of the archive.
        pause: waits for room.

    Raises:
        ConfigError: there is no archive.
        OutputError: a page cannot be written.
    """
    with Manifest(out, wait=pause.wait) as manifest:
        for episode in manifest.episodes(EpisodeStatus.DONE):
            task = _task(out, episode)
            missing = outputs_to_make(task, episode) & set(REPORT_OUTPUTS)
            if not missing:
                continue
            try:
                pause.trying(partial(_write_report, task, episode, manifest, missing))
            except ForeignFileError as error:
                yield episode.name, str(error)
                continue
            except OutputError:
                raise
            except AcfdError as error:
                yield episode.name, str(error)
                continue
            manifest.note_outputs(episode.name, {*episode.outputs, *noted_outputs(task, missing)})
            yield episode.name, ""


def _write_report(task: RecordingTask, episode: Episode, manifest: Manifest, missing: Collection[str]) -> None:
    from acfd_stream.outputs import read_results
    from acfd_stream.recording.derived import DerivedJob, make_output
    from acfd_stream.recording.stats import speed_of

    results = task.path_of(RESULTS)
    if not results.exists():
        raise MediaError(f"{results}: is gone; 'archive run' makes it again")
    known = manifest.published(episode.name)
    names = FinalNames(task.out, known, lambda files: manifest.note_published(episode.name, files))
    if not names.is_unchanged(task.name_of(RESULTS)):
        raise MediaError(
            f"DATA LOSS: {results} is not what this program wrote; move it away, then run the archive again"
        )
    job = DerivedJob(task, read_results(results), names, speed=speed_of(episode.speed))
    for output in (name for name in OUTPUTS if name in missing):
        make_output(output, job)
    manifest.replace_published(episode.name, names.files())


def _task(out: Path, episode: Episode) -> RecordingTask:
    """A task that makes what a report needs; what is there already counts as its outputs, too."""
    there = [name for name in episode.outputs if name in OUTPUTS]
    return RecordingTask(episode.key, episode.source, episode.name, out, (*there, *REPORT_OUTPUTS), is_tracked=True)


def _row(out: Path, episode: Episode, sizes: Mapping[str, int]) -> EpisodeRow:
    from acfd_stream.outputs.report.folder import EpisodeRow

    task = _task(out, episode) if episode.key else None

    def existing(output: str) -> Path | None:
        path = None if task is None else task.path_of(output)
        return path if path is not None and path.exists() else None

    loss = ""
    if task is not None and _has_other_size(task.path_of(RESULTS), sizes.get(task.name_of(RESULTS))):
        loss = f"DATA LOSS: {task.path_of(RESULTS)} is not what this program wrote"
    is_done = episode.state is EpisodeStatus.DONE
    return EpisodeRow(
        name=episode.name,
        state="broken" if loss and is_done else episode.state.value,
        results=existing(RESULTS) if not loss and (is_done or episode.state is EpisodeStatus.BROKEN) else None,
        report=existing("report") if is_done else None,
        thumbnails=existing("thumbnails") if is_done else None,
        poster=existing("poster") if is_done else None,
        error=loss or episode.error,
        warnings=episode.warnings,
        attempts=episode.attempts,
        seconds=episode.seconds,
        frames=episode.new_frames,
        stage_seconds=episode.stage_seconds,
    )


def _has_other_size(path: Path, size: int | None) -> bool:
    """Whether a file is there, and its size is not the one that the manifest has."""
    try:
        return size is not None and path.stat().st_size != size
    except OSError:
        return False
