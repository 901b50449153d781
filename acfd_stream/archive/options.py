"""What an archive is asked for: all that is needed to run it, and to run it again after a power cut."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from acfd_stream.outputs.formats import OUTPUTS, RESULTS
from acfd_stream.recording.task import EpisodeTask

ENGINES = ("local", "ray")
_CONFIGS = {
    "detect": DetectConfig,
    "track": TrackConfig,
    "shot": ShotConfig,
    "video": VideoConfig,
    "archive": ArchiveConfig,
}


@dataclass(frozen=True)
class ArchiveCall:
    """One call of ``archive run``."""

    places: tuple[str, ...]
    """Folders, patterns, files and URLs, as given."""
    out: Path
    """Folder of the results."""
    outputs: tuple[str, ...] = (RESULTS,)
    """Of ``OUTPUTS``."""
    model: str = "acfd-n"
    device: str = "auto"
    detect: DetectConfig = field(default_factory=DetectConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    shot: ShotConfig = field(default_factory=ShotConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    archive: ArchiveConfig = field(default_factory=ArchiveConfig)
    engine: str = "local"
    """Of ``ENGINES``."""
    workers: int = 0
    """How many; 0: as the machine and the work suggest."""
    ray_address: str = ""
    """Of the cluster; empty: one of this machine's own."""
    retries_broken: bool = False
    """Whether what was set aside as broken is tried again."""
    folder: str = field(default_factory=os.getcwd)
    """Where relative places begin."""

    def __post_init__(self) -> None:
        require(bool(self.places), "places", self.places, "at least one folder, pattern, file or URL")
        require(self.engine in ENGINES, "engine", self.engine, f"one of {', '.join(ENGINES)}")
        require(self.workers >= 0, "workers", self.workers, ">= 0")
        unknown = sorted(set(self.outputs) - set(OUTPUTS))
        require(not unknown, "outputs", ",".join(unknown), f"of {', '.join(OUTPUTS)}")

    def values(self) -> dict[str, Any]:
        """For JSON; without ``out``, which is where it is kept, and what concerns this one time."""
        values = dataclasses.asdict(self)
        del values["out"], values["retries_broken"]
        return values

    @classmethod
    def from_values(cls, values: Mapping[str, Any], out: Path) -> ArchiveCall:
        """The call that ``values`` was taken from.

        Raises:
            ConfigError: it is of another version of the program.
        """
        try:
            configs: dict[str, Any] = {
                room: from_mapping(kind, _tuples(values[room])) for room, kind in _CONFIGS.items()
            }
            return from_mapping(cls, {**_tuples(values), **configs, "out": out})
        except (AttributeError, KeyError, TypeError) as error:
            raise ConfigError(f"the last run of {out} was of another version ({error}); use 'archive run'") from error

    def task(self, key: str, source: str, name: str, *, is_tracked: bool, threads: int) -> EpisodeTask:
        """The task of one video.

        Args:
            key: of its content and these settings.
            source: the video.
            name: where its results go.
            is_tracked: see ``EpisodeTask``.
            threads: of the network and the decoder, where the call does not say; 0: they choose.
        """
        return EpisodeTask(
            key=key,
            source=source,
            name=name,
            out=self.out,
            outputs=self.outputs,
            model=self.model,
            device=self.device,
            detect=dataclasses.replace(self.detect, threads=self.detect.threads or threads),
            track=self.track,
            shot=self.shot,
            video=dataclasses.replace(self.video, threads=self.video.threads or threads),
            checkpoint_seconds=self.archive.checkpoint_seconds,
            is_tracked=is_tracked,
        )


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where configs have tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
