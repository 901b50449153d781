"""What is recorded and with which settings, how far it is, and how it ended; all of it can be pickled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from acfd_stream.characters import CharacterConfig
from acfd_stream.config import DetectConfig, ShotConfig, TrackConfig, VideoConfig, require
from acfd_stream.outputs.formats import ARCHIVE_SUFFIXES, OUTPUTS, RESULTS
from acfd_stream.recording.published import PublishedFile
from acfd_stream.types import Gap

STATE_FOLDER = ".acfd"
PARTS_FOLDER = (STATE_FOLDER, "parts")
"""Below OUT."""
JOURNAL_SUFFIX = ".published"
_PART_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class RecordingSettings:
    """Everything that decides the bytes of the results, besides the video."""

    model: str = "acfd-n"
    """A shipped model's name or the path of an ONNX file."""
    device: str = "auto"
    """"auto", "cpu" or "cuda"."""
    detect: DetectConfig = field(default_factory=DetectConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    shot: ShotConfig = field(default_factory=ShotConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    characters: CharacterConfig | None = None
    """How tracks become characters; None: they do not."""
    cast: Path | None = None
    """The cast that gives characters their names; None: they have none."""


@dataclass(frozen=True)
class TrackingSpeed:
    """How fast an episode was tracked; of no meaning to its results."""

    seconds: float
    frames: int  # tracked in this time
    stage_seconds: Mapping[str, float] = field(default_factory=dict)  # stage → seconds in all


@dataclass(frozen=True)
class RecordingTask(RecordingSettings):
    """One video of an archive, with its settings and where its outputs go."""

    key: str
    """Identifies the content, the model and the settings; letters, digits, - and _ only."""
    source: str
    """Path or URL; the results' header has it as given, without a URL's secrets."""
    name: str
    """Of the episode: a relative path with its suffix, separated by /."""
    out: Path
    """Folder of the whole archive's results."""
    outputs: tuple[str, ...] = (RESULTS,)
    """Of ``OUTPUTS``, in any order; the results as JSON lines are made in any case."""
    checkpoint_seconds: float = 30.0
    """A kill or a power cut loses at most the work of so many seconds, > 0."""
    is_tracked: bool = False
    """The JSONL under its final name is that of this key: only missing outputs are made."""
    published: tuple[PublishedFile, ...] = ()
    """The episode's files that earlier runs published. Besides those of its journal, nothing else is replaced."""
    equal: PublishedFile | None = None
    """The JSONL of another episode with this key: its lines are taken instead of tracking again."""
    equal_views: PublishedFile | None = None
    """The views file of the same episode."""
    speed: TrackingSpeed | None = None
    """Of the results that are there, or of ``equal``; None: not known."""

    def __post_init__(self) -> None:
        is_plain = bool(self.key) and all(sign.isascii() and (sign.isalnum() or sign in "-_") for sign in self.key)
        require(is_plain, "key", self.key, "letters, digits, - and _")
        parts = self.name.split("/")
        is_inside = bool(self.name) and not self.name.startswith("/") and ".." not in parts and "" not in parts
        require(is_inside, "name", self.name, "a relative path that stays inside")
        require_outputs(self.outputs)
        require(self.checkpoint_seconds > 0, "checkpoint_seconds", self.checkpoint_seconds, "> 0")

    def path_of(self, output: str) -> Path:
        """The final path of ``output``, one of ``OUTPUTS``."""
        return self.out / self.name_of(output)

    def name_of(self, output: str) -> str:
        """Its path below OUT."""
        return f"{self.name}{ARCHIVE_SUFFIXES[output]}"

    @property
    def part(self) -> Path:
        """The unfinished results."""
        return self._state_file(".jsonl")

    @property
    def settled(self) -> Path:
        """The finished results with the final characters, before they have their name."""
        return self._state_file(".settled")

    @property
    def found_views(self) -> Path:
        """The views of tracks that have ended, while the video is tracked."""
        return self._state_file(".found_views")

    @property
    def checkpoint(self) -> Path:
        """What ``CheckpointFile`` keeps."""
        return self._state_file(".checkpoint")

    @property
    def lock(self) -> Path:
        """Locked while a process works on the episode; ``record_episode`` takes the lock itself."""
        return self._state_file(".lock")

    @property
    def journal(self) -> Path:
        """What was published and is not in the manifest yet, under any key."""
        return self._parts / f"{self._short_name}{JOURNAL_SUFFIX}"

    def _state_file(self, suffix: str) -> Path:
        # Two copies of a film have one key: the name keeps them apart.
        return self._parts / f"{self.key}-{self._short_name}{suffix}"

    @property
    def _parts(self) -> Path:
        return self.out.joinpath(*PARTS_FOLDER)

    @property
    def _short_name(self) -> str:
        """Of the episode, whose name may be longer than a file name can be."""
        return hashlib.sha256(self.name.encode("utf-8", "surrogateescape")).hexdigest()[:_PART_DIGITS]


def require_outputs(outputs: Sequence[str]) -> None:
    """Raise ConfigError unless all are of ``OUTPUTS``."""
    unknown = sorted(set(outputs) - set(OUTPUTS))
    require(not unknown, "outputs", ",".join(unknown), f"of {', '.join(OUTPUTS)}")


class RecordingStage(Enum):
    """What is being done for a video."""

    TRACK = "track"  # its frames are read and tracked
    FINISH = "finish"  # the other outputs are made from its results


@dataclass(frozen=True)
class RecordingProgress:
    """How far a recording is."""

    frames: int = 0  # tracked so far, those of earlier attempts included
    expected_frames: int | None = None  # as the container claims; None: not known
    tracks: int = 0
    seconds: float = 0.0  # worked in this attempt
    new_frames: int = 0  # of ``frames`` those of this attempt: frames per second are new_frames / seconds
    video_seconds: float = 0.0  # how much of the video that is, earlier attempts included
    stage: RecordingStage = RecordingStage.TRACK
    result_bytes: int = 0  # of whole result lines


class RecordingState(Enum):
    """How a recording ended. The values are labels of metrics."""

    DONE = "done"  # every output has its final name
    BROKEN = "broken"  # the video is damaged: trying again gives the same
    FAILED = "failed_passing"  # an error of the machine or the network: a later try continues from the checkpoint
    NO_ROOM = "no_room"  # the disk is full, or files are short: continues from the checkpoint when that is over
    REFUSED = "refused"  # a file that is not ours has the name of an output; it is kept, all other outputs are there
    CANCELLED = "stopped"  # a later try continues from the checkpoint
    BUSY = "busy"  # another run holds the episode's lock; nothing was done


@dataclass(frozen=True)
class RecordingOutcome:
    """How the work on an episode ended: counts of the whole of it, and how fast this attempt tracked its share."""

    state: RecordingState
    frames: int = 0
    tracks: int = 0
    shots: int = 0
    reused: int = 0  # frames whose drawing was that of the frame before
    video_seconds: float = 0.0
    seconds: float = 0.0  # that this attempt tracked; 0 where it only made outputs
    new_frames: int = 0  # tracked in this time
    stage_seconds: tuple[tuple[str, float], ...] = ()  # stage → seconds in all, of these frames
    error: str | None = None  # one line: what, where, what to do
    warnings: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()  # holes in a video that was read to its end
    paths: tuple[Path, ...] = ()  # of the outputs that have their final name
    published: tuple[PublishedFile, ...] = ()  # all files of the episode that are there
