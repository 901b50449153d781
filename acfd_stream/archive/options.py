"""The options of an archive run: all that is needed to run it, and to resume it after a power cut."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acfd_stream.characters import CharacterConfig
from acfd_stream.config import (
    ArchiveConfig,
    DetectConfig,
    ShotConfig,
    TrackConfig,
    VideoConfig,
    from_mapping,
    require,
)
from acfd_stream.errors import ConfigError
from acfd_stream.outputs.formats import RESULTS, VIEWS
from acfd_stream.recording.task import RecordingSettings, RecordingTask, require_outputs

ENGINES = ("local", "ray")
_CONFIGS = {
    "detect": DetectConfig,
    "track": TrackConfig,
    "shot": ShotConfig,
    "video": VideoConfig,
    "archive": ArchiveConfig,
}


@dataclass(frozen=True)
class ArchiveOptions(RecordingSettings):
    """The options of one ``archive run``. The manifest stores them by their field names."""

    places: tuple[str, ...]
    """Folders, patterns, files and URLs, as given."""
    out: Path
    """Folder of the results."""
    outputs: tuple[str, ...] = (RESULTS,)
    """Of ``OUTPUTS``."""
    archive: ArchiveConfig = field(default_factory=ArchiveConfig)
    engine: str = "local"
    """Of ``ENGINES``."""
    workers: int = 0
    """How many; 0: as many as fit the machine and the work."""
    ray_address: str = ""
    """Of the cluster; empty: one of this machine's own."""
    retries_broken: bool = False
    """Whether to try again what was set aside as broken."""
    folder: str = field(default_factory=os.getcwd)
    """The working directory, for relative places."""

    def __post_init__(self) -> None:
        require(bool(self.places), "places", self.places, "at least one folder, pattern, file or URL")
        require(self.engine in ENGINES, "engine", self.engine, f"one of {', '.join(ENGINES)}")
        require(self.workers >= 0, "workers", self.workers, ">= 0")
        require_outputs(self.outputs)

    def values(self) -> dict[str, Any]:
        """For JSON; without ``out``, whose manifest stores it, and ``retries_broken``, which is for one run."""
        values = dataclasses.asdict(self)
        del values["out"], values["retries_broken"]
        return values | {"cast": None if self.cast is None else os.fspath(self.cast)}

    @classmethod
    def from_values(cls, values: Mapping[str, Any], out: Path) -> ArchiveOptions:
        """The options that ``values`` was taken from.

        Raises:
            ConfigError: it is of another version of the program.
        """
        try:
            configs: dict[str, Any] = {
                room: from_mapping(kind, _tuples(values[room])) for room, kind in _CONFIGS.items()
            }
            return from_mapping(cls, {**_tuples(values), **configs, **_characters(values), "out": out})
        except (AttributeError, KeyError, TypeError) as error:
            raise ConfigError(f"the last run of {out} was of another version ({error}); use 'archive run'") from error

    def task(self, key: str, source: str, name: str, *, is_tracked: bool, threads: int) -> RecordingTask:
        """The task of one video.

        Args:
            key: of its content and these settings.
            source: the video.
            name: where its results go.
            is_tracked: see ``RecordingTask``.
            threads: of the network and the decoder, where the options do not say; 0: they choose.
        """
        return RecordingTask(
            key=key,
            source=source,
            name=name,
            out=self.out,
            outputs=self.outputs if self.characters is None else (*self.outputs, VIEWS),
            model=self.model,
            device=self.device,
            detect=dataclasses.replace(self.detect, threads=self.detect.threads or threads),
            track=self.track,
            shot=self.shot,
            video=dataclasses.replace(self.video, threads=self.video.threads or threads),
            characters=self.characters,
            cast=self.cast,
            checkpoint_seconds=self.archive.checkpoint_seconds,
            is_tracked=is_tracked,
        )


def _characters(values: Mapping[str, Any]) -> dict[str, Any]:
    """Of a run before there were characters, too."""
    config, cast = values.get("characters"), values.get("cast")
    characters = None if config is None else from_mapping(CharacterConfig, config)
    return {"characters": characters, "cast": None if cast is None else Path(cast)}


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where configs have tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
