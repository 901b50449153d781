"""Who is in which video of an archive, from its results: they have the names of the last ``cast apply``."""

from __future__ import annotations

from pathlib import Path

from acfd_stream.archive.records import Episode, EpisodeStatus
from acfd_stream.characters import Character
from acfd_stream.errors import MediaError
from acfd_stream.outputs import read_results
from acfd_stream.outputs.formats import RESULTS
from acfd_stream.recording.task import RecordingTask


def characters_of(out: Path, episode: Episode) -> tuple[Character, ...]:
    """The characters of a video that is done; none where its results cannot be read, or have none.

    Reads both ends of the results.
    """
    if episode.state is not EpisodeStatus.DONE or not episode.key:
        return ()
    task = RecordingTask(episode.key, episode.source, episode.name, out)
    try:
        return read_results(task.path_of(RESULTS)).end.characters
    except MediaError:  # ``archive verify`` says what is wrong with it
        return ()
