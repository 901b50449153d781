"""The cast of an archive: a run reads a copy of it, adds its episodes at the end, and writes new names on request."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from acfd_stream.archive.manifest import Manifest
from acfd_stream.archive.options import ArchiveOptions
from acfd_stream.archive.records import Episode, EpisodeStatus
from acfd_stream.archive.state_folder import DATABASE
from acfd_stream.errors import CastNetworkError, ConfigError, MediaError
from acfd_stream.files import lock_file, writing
from acfd_stream.identity.cast.adding import Addition
from acfd_stream.identity.cast.cast import Cast
from acfd_stream.identity.spec import find_embedder, read_embedder_spec
from acfd_stream.networks.precision import digest
from acfd_stream.outputs import read_results
from acfd_stream.outputs.formats import FORMATS, RESULTS, VIEWS
from acfd_stream.recording.published import FinalNames
from acfd_stream.recording.rename import has_names, names_of, write_renamed
from acfd_stream.recording.task import STATE_FOLDER, RecordingTask

SNAPSHOT = (STATE_FOLDER, "cast.db")
"""The copy of the cast that workers read, below OUT."""
_WITHOUT_NAMES = (RESULTS, "mot", "mot-characters")
NAMED_OUTPUTS = (*(name for name in FORMATS if name not in _WITHOUT_NAMES), "overlay", "report")
"""What has names of characters in it besides the JSON lines."""


def with_snapshot(call: ArchiveOptions) -> ArchiveOptions:
    """The options of a run whose workers read a copy of the cast, in the folder of the archive.

    The copy of a cast that is missing has no members; ``grow`` makes the cast.

    Raises:
        CastError: the cast is damaged, no cast, or has embeddings of another network.
        ConfigError: the cast is that copy.
        OutputError: it cannot be copied, or could not be made.
    """
    if call.cast is None or call.characters is None:
        return replace(call, cast=None)
    path, network = call.out.joinpath(*SNAPSHOT), find_embedder(call.characters.model)
    if os.path.realpath(call.cast) == os.path.realpath(path):
        raise ConfigError(f"cast {call.cast} is the archive's own copy of its cast; name a file outside {path.parent}")
    spec = read_embedder_spec(network)
    with _opened(call.cast) as cast:
        cast.require_network(digest(network), f"{spec.name} {spec.version}")
        cast.copy_to(path)
    return replace(call, cast=path)


@contextmanager
def _opened(path: Path) -> Iterator[Cast]:
    """The cast ``path``; where it is missing, one without members at another place, and ``path`` can be made later."""
    if os.path.lexists(path):
        with Cast.open(path, is_new=True) as cast:
            yield cast
        return
    with writing(path), TemporaryFile(dir=path.parent):
        pass
    with TemporaryDirectory() as folder, Cast.open(Path(folder, "cast.db"), is_new=True) as cast:
        yield cast


def grow(cast: Path, out: Path) -> list[Addition]:
    """Add the episodes of an archive that are done and that the cast does not know yet, in name order.

    Raises:
        CastError: the cast is damaged, or an episode has embeddings of another network.
        MediaError: a views file cannot be read.
        OutputError: the cast cannot be written.
    """
    with Manifest(out) as manifest:
        tasks = [_task(out, episode) for episode in manifest.episodes(EpisodeStatus.DONE)]
    paths = [task.path_of(VIEWS) for task in tasks if task.path_of(VIEWS).is_file()]
    if not paths:
        return []
    with Cast.made(cast) as opened:
        return opened.build(paths)


def archive_of(path: Path) -> Path | None:
    """The folder of the archive to which a file belongs, or a folder itself; None: to none."""
    path = path.absolute()
    for folder in (path, *path.parents):
        if (folder / STATE_FOLDER / DATABASE).is_file():
            return folder
    return None


@dataclass(frozen=True)
class Renamed:
    """What became of one episode."""

    name: str
    has_changed: bool = False
    withdrawn: tuple[str, ...] = ()  # outputs with old names that were removed: 'archive resume' makes them again
    error: str = ""


def apply_names(cast: Cast, out: Path, is_wanted: Callable[[Path], bool] = lambda path: True) -> Iterator[Renamed]:
    """Write the names of a cast into the results of an archive; gives each episode as it is done.

    Args:
        cast: with the names.
        out: the archive.
        is_wanted: takes the path of an episode's results.

    Raises:
        ConfigError: there is no archive.
        OutputError: a file cannot be written.
    """
    with Manifest(out) as manifest:
        for episode in manifest.episodes(EpisodeStatus.DONE):
            task = _task(out, episode)
            if not is_wanted(task.path_of(RESULTS)) or not task.path_of(VIEWS).is_file():
                continue
            with lock_file(task.lock) as is_ours:
                if not is_ours:
                    yield Renamed(episode.name, error="a run is working on it; try again when it has ended")
                    continue
                try:
                    yield _renamed(cast, manifest, task, episode)
                except (CastNetworkError, MediaError) as error:
                    yield Renamed(episode.name, error=str(error))


def _renamed(cast: Cast, manifest: Manifest, task: RecordingTask, episode: Episode) -> Renamed:
    path = task.path_of(RESULTS)
    results = read_results(path)
    names = names_of(cast, results, task.path_of(VIEWS))
    if has_names(results, names) and path.stat().st_size == episode.result_bytes:
        return Renamed(episode.name)
    published = FinalNames(
        task.out, manifest.published(episode.name), lambda files: manifest.note_published(episode.name, files)
    )
    if not published.is_unchanged(task.name_of(RESULTS)):
        raise MediaError(f"DATA LOSS: {path} is not what this program wrote; move it away, then run the archive again")
    write_renamed(results, names, task.settled)
    withdrawn = tuple(name for name in NAMED_OUTPUTS if name in episode.outputs and task.path_of(name).exists())
    for output in withdrawn:
        published.withdraw(task.name_of(output))
    published.publish(task.settled, task.name_of(RESULTS))
    # A kill before this line leaves another size in the manifest: the next call comes here again.
    manifest.renamed(episode.name, set(episode.outputs) - set(withdrawn), path.stat().st_size, published.files())
    return Renamed(episode.name, True, withdrawn)


def _task(out: Path, episode: Episode) -> RecordingTask:
    return RecordingTask(episode.key, episode.source, episode.name, out, is_tracked=True)
