"""What the manifest and the folder of results say of an episode, under the settings of one run."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from acfd_stream.archive.episode_queue import QueuedEpisode
from acfd_stream.archive.find import Video
from acfd_stream.archive.key import episode_key
from acfd_stream.archive.options import ArchiveOptions
from acfd_stream.archive.records import Episode, EpisodeStatus
from acfd_stream.errors import AcfdError
from acfd_stream.outputs.formats import OPTIONAL, OUTPUTS, RESULTS, VIEWS
from acfd_stream.recording.published import PublishedFile
from acfd_stream.recording.task import RecordingTask, TrackingSpeed
from acfd_stream.video.origin import local_path

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EpisodeChecks:
    """Checks of one run."""

    call: ArchiveOptions
    settings: str  # their digest

    def key_of(self, queued: QueuedEpisode) -> str:
        """The key of an episode whose content is known."""
        return episode_key(queued.content, self.settings)

    def task(
        self,
        queued: QueuedEpisode,
        *,
        is_tracked: bool = False,
        threads: int = 0,
        published: Sequence[PublishedFile] = (),
        speed: TrackingSpeed | None = None,
    ) -> RecordingTask:
        """The task of an episode; see ``ArchiveOptions.task``."""
        video = queued.video
        task = self.call.task(self.key_of(queued), video.source, video.name, is_tracked=is_tracked, threads=threads)
        return replace(task, published=tuple(published), speed=speed if is_tracked else None)

    def settled_state(self, queued: QueuedEpisode, episode: Episode | None) -> EpisodeStatus | None:
        """The status of an episode that needs no work, by the manifest and the folder; None: it needs work."""
        if episode is None or episode.key != self.key_of(queued):
            return None
        if episode.state is EpisodeStatus.BROKEN and not self.call.retries_broken:
            return EpisodeStatus.BROKEN
        is_done = episode.state is EpisodeStatus.DONE and self.is_tracked(queued, episode)
        return EpisodeStatus.DONE if is_done and not outputs_to_make(self.task(queued), episode) else None

    def is_tracked(self, queued: QueuedEpisode, episode: Episode | None) -> bool:
        """Whether the complete JSONL of this key has its final name."""
        if episode is None or episode.key != self.key_of(queued) or not episode.result_bytes:
            return False
        task = self.task(queued)
        if VIEWS in episode.outputs and VIEWS in task.outputs and not task.path_of(VIEWS).exists():
            return False  # they are found while the video is tracked
        return size_of(task.path_of(RESULTS)) == episode.result_bytes


def expected_outputs(task: RecordingTask, episode: Episode | None) -> set[str]:
    """The outputs that ``task`` was to make, without the JSONL, and those of earlier runs that are still there."""
    outputs = set(task.outputs) - {RESULTS}
    if task.is_tracked and episode is not None:
        outputs |= {name for name in episode.outputs if name in OUTPUTS and task.path_of(name).exists()}
        outputs |= {noted for noted in episode.outputs if noted in map(_absent, set(OPTIONAL) - outputs)}
    return noted_outputs(task, outputs)


def noted_outputs(task: RecordingTask, outputs: Iterable[str]) -> set[str]:
    """``outputs``, which were made, as the manifest has them: one that the video does not need is noted as such."""
    return {_absent(name) if name in OPTIONAL and not task.path_of(name).exists() else name for name in outputs}


def outputs_to_make(task: RecordingTask, episode: Episode) -> set[str]:
    """The outputs of ``task`` that the manifest or the folder does not have, without the JSONL."""
    noted, wanted = set(episode.outputs), set(task.outputs) - {RESULTS}
    there = {name for name in wanted & noted if task.path_of(name).exists()}
    return wanted - there - {name for name in wanted if _absent(name) in noted}


def made_outputs(task: RecordingTask, expected: Collection[str], paths: Collection[str]) -> set[str]:
    """Those of ``expected_outputs`` that are published at ``paths`` below OUT, or not needed."""
    return {name for name in expected if name not in OUTPUTS or task.name_of(name) in paths}


def _absent(output: str) -> str:
    """What the manifest has in place of an output that the video does not need."""
    return f"no {output}"


def is_news(episode: Episode | None, video: Video) -> bool:
    """Whether the manifest does not know the video as it is."""
    return episode is None or (episode.source, episode.size) != (video.source, video.size)


def is_gone(episode: Episode) -> bool:
    """Whether the video of an episode without results is gone."""
    path = local_path(episode.source)
    return episode.state is not EpisodeStatus.DONE and path is not None and not Path(path).exists()


def size_of(path: Path) -> int:
    """The size of a file, bytes; 0: there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def discard_state(task: RecordingTask) -> None:
    """Remove the checkpoint of an episode, now that the manifest says how it ended."""
    from acfd_stream.recording.episode import clear_state

    try:
        clear_state(task)
    except AcfdError as error:
        _log.warning("%s: %s", task.name, error)
