"""Videos that got another name: their results go with them, and nothing is left under the old one.

A video is known by its key, which is made of its whole content. Two videos of the same content that are both there stay
two.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path, PurePath

from acfd_stream.archive.episode_checks import discard_state
from acfd_stream.archive.find import MADE_VIDEOS, VIDEO_SUFFIXES, Findings
from acfd_stream.archive.manifest import Manifest
from acfd_stream.archive.records import Episode, EpisodeStatus
from acfd_stream.below import open_folder
from acfd_stream.errors import AcfdError, ForeignFileError
from acfd_stream.files import lock_file
from acfd_stream.outputs.formats import OUTPUTS, RESULTS, VIEWS
from acfd_stream.recording.published import FinalNames, PublishedFile
from acfd_stream.recording.task import PARTS_FOLDER, RecordingTask
from acfd_stream.video.origin import local_path

_KEPT_SUFFIX = ".kept"
_PAGE = "report"  # the output with a link to the video


class EqualResults:
    """Results of an archive by key.

    Results that a video of another name replaces stay within reach until ``close``: episodes may be numbered anew.

    Args:
        manifest: of the archive.
        out: its folder.
        episodes: all that it has.
    """

    def __init__(self, manifest: Manifest, out: Path, episodes: Iterable[Episode]) -> None:
        self._manifest, self._out = manifest, out
        self._done = {episode.name: episode for episode in episodes if episode.state is EpisodeStatus.DONE}
        self._by_key: defaultdict[str, list[Episode]] = defaultdict(list)
        self._kept: dict[str, dict[str, PublishedFile]] = {}  # by key: results and views
        for episode in self._done.values():
            self._by_key[episode.key].append(episode)

    def added_to(self, task: RecordingTask) -> RecordingTask:
        """``task`` with the results of a video of the same content, if there are any and it needs them."""
        suffix = PurePath(task.name).suffix.lower()
        if task.is_tracked or suffix not in VIDEO_SUFFIXES:  # a playlist is more than its content
            return task
        self._keep(task)
        for episode in self._by_key.get(task.key, ()):
            if episode.name == task.name or PurePath(episode.name).suffix.lower() != suffix:
                continue
            if kept := self._kept.get(task.key):
                return replace(task, equal=kept[RESULTS], equal_views=kept.get(VIEWS), speed=episode.speed)
            files = self._files_of(episode)
            now = self._manifest.get(episode.name)  # after the files: they may have been replaced meanwhile
            if now is not None and now.key == task.key:
                if RESULTS not in files:
                    return task
                return replace(task, equal=files[RESULTS], equal_views=files.get(VIEWS), speed=now.speed)
        return task

    def close(self) -> None:
        """Remove what was kept, also by a run that was killed; another run then tracks what it would have taken."""
        with contextlib.suppress(OSError, AcfdError), open_folder(self._out, PARTS_FOLDER) as folder:
            for name in os.listdir(folder):
                if name.endswith(_KEPT_SUFFIX):
                    os.unlink(name, dir_fd=folder)

    def _keep(self, task: RecordingTask) -> None:
        """Give the results that ``task`` will replace a second name, where the file system has such names."""
        episode = self._done.get(task.name)
        files = {} if episode is None or episode.key in (task.key, *self._kept) else self._files_of(episode)
        if episode is None or RESULTS not in files:
            return
        kept = {output: self._linked(file, f"{episode.key}.{output}{_KEPT_SUFFIX}") for output, file in files.items()}
        found = {output: file for output, file in kept.items() if file is not None}
        if RESULTS in found:
            self._kept[episode.key] = found

    def _linked(self, file: PublishedFile, kept: str) -> PublishedFile | None:
        """``file`` under the second name ``kept``; None: it cannot have one."""
        *parts, name = file.path.split("/")
        with (
            contextlib.suppress(OSError, AcfdError),
            open_folder(self._out, parts) as folder,
            open_folder(self._out, PARTS_FOLDER) as state,
        ):
            with contextlib.suppress(FileExistsError):  # a run that was killed left it
                os.link(name, kept, src_dir_fd=folder, dst_dir_fd=state, follow_symlinks=False)
            return replace(file, path="/".join((*PARTS_FOLDER, kept)))
        return None

    def _files_of(self, episode: Episode) -> dict[str, PublishedFile]:
        """The published JSON lines and views of an episode, as far as it has them."""
        task = RecordingTask(episode.key, episode.source, episode.name, self._out)
        outputs = {task.name_of(output): output for output in (RESULTS, VIEWS)}
        published = self._manifest.published(episode.name)
        return {outputs[file.path]: file for file in published if file.path in outputs}


def withdraw_old_pages(manifest: Manifest, out: Path, known: Iterable[Episode], findings: Findings) -> None:
    """Remove the reports of videos whose folder has moved, for the run to make them again: their links lead nowhere.

    Raises:
        OutputError: one cannot be removed.
    """
    sources = {video.name: video.source for video in findings.videos}
    folders = manifest.folders()
    for episode in known:
        source = sources.get(episode.name, episode.source)
        if source != episode.source and _PAGE in episode.outputs and _is_gone(episode.source, folders):
            page = RecordingTask(episode.key, source, episode.name, out).name_of(_PAGE)
            with contextlib.suppress(ForeignFileError):
                FinalNames(out, manifest.published(episode.name), lambda files: None).withdraw(page)


def without_results(findings: Findings, out: Path, manifest: Manifest) -> Findings:
    """``findings`` without the videos that the archive itself made: the one that an overlay shows may have moved."""
    if not any(video.name.endswith(MADE_VIDEOS) for video in findings.videos):
        return findings
    made = {os.path.realpath(out / file.path) for file in manifest.published() if file.path.endswith(MADE_VIDEOS)}
    return findings.only(lambda video: os.path.realpath(local_path(video.source) or "") not in made)


def forget_moved(manifest: Manifest, out: Path, known: Iterable[Episode], found: Collection[str]) -> int:
    """Remove the results of videos that are gone where an equal one is done; returns how many.

    Args:
        manifest: of the archive.
        out: its folder.
        known: its episodes.
        found: names of the videos that are there.

    Raises:
        OutputError: a file cannot be removed.
    """
    folders = manifest.folders()
    gone = [
        episode
        for episode in known
        if episode.state is EpisodeStatus.DONE and episode.name not in found and _is_gone(episode.source, folders)
    ]
    if not gone:
        return 0
    keys = {episode.key for episode in manifest.episodes(EpisodeStatus.DONE) if episode.name in found}
    return sum(_is_forgotten(manifest, out, episode) for episode in gone if episode.key in keys)


def _is_gone(source: str, folders: Iterable[str]) -> bool:
    """Whether nothing has this path, in any of the folders in which runs began."""
    path = local_path(source)
    if path is None:
        return False
    for folder in folders:
        try:
            os.lstat(os.path.join(folder, path))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return False
        return False
    return True


def _is_forgotten(manifest: Manifest, out: Path, episode: Episode) -> bool:
    """Remove an episode with its files, unless a process works on it; files that somebody has changed stay."""
    task = RecordingTask(episode.key, episode.source, episode.name, out)
    names = FinalNames(out, manifest.published(episode.name), lambda files: None)
    with lock_file(task.lock) as is_ours:
        if is_ours:
            for output in OUTPUTS:
                with contextlib.suppress(ForeignFileError):
                    names.withdraw(task.name_of(output))
            manifest.replace_published(episode.name, ())
            manifest.forget([episode.name])
    discard_state(task)
    return is_ours
