"""What a run gives to a worker, and what it hears from it; all of it can be pickled and sent to another machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from acfd_stream.config import DetectConfig, ShotConfig, TrackConfig, VideoConfig, require
from acfd_stream.outputs.formats import ARCHIVE_SUFFIXES, OUTPUTS, RESULTS

STATE_FOLDER = ".acfd"
_PART_DIGITS = 12


@dataclass(frozen=True)
class EpisodeTask:
    """One video to be worked on, with everything that its results depend on."""

    key: str
    """Names the content, the model and the settings; letters, digits, - and _ only."""
    source: str
    """Path or URL; stands in the results' header as given, without a URL's secrets."""
    name: str
    """Where it stands in the archive: a relative path with its suffix, parted by /."""
    out: Path
    """Folder of the whole archive's results."""
    outputs: tuple[str, ...] = (RESULTS,)
    """Of ``OUTPUTS``, in any order; the results as JSON lines are made in any case."""
    model: str = "acfd-n"
    """A shipped model's name or the path of an ONNX file."""
    device: str = "auto"
    """"auto", "cpu" or "cuda"."""
    detect: DetectConfig = field(default_factory=DetectConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    shot: ShotConfig = field(default_factory=ShotConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    checkpoint_seconds: float = 30.0
    """A kill or a power cut loses at most the work of so many seconds, > 0."""
    is_tracked: bool = False
    """The JSONL under its final name is that of this key: only outputs that are not there yet are made."""

    def __post_init__(self) -> None:
        is_plain = bool(self.key) and all(sign.isascii() and (sign.isalnum() or sign in "-_") for sign in self.key)
        require(is_plain, "key", self.key, "letters, digits, - and _")
        parts = self.name.split("/")
        is_inside = bool(self.name) and not self.name.startswith("/") and ".." not in parts and "" not in parts
        require(is_inside, "name", self.name, "a relative path that stays inside")
        unknown = sorted(set(self.outputs) - set(OUTPUTS))
        require(not unknown, "outputs", unknown, f"of {', '.join(OUTPUTS)}")
        require(self.checkpoint_seconds > 0, "checkpoint_seconds", self.checkpoint_seconds, "> 0")

    def place(self, output: str) -> Path:
        """Where ``output``, one of ``OUTPUTS``, goes under its final name."""
        return self.out / f"{self.name}{ARCHIVE_SUFFIXES[output]}"

    @property
    def part(self) -> Path:
        """The unfinished results."""
        return self._state_file(".jsonl")

    @property
    def checkpoint(self) -> Path:
        """Where the work stands."""
        return self._state_file(".checkpoint")

    @property
    def lock(self) -> Path:
        """Whoever works on the episode holds a lock on this file; ``work_on`` takes it itself."""
        return self._state_file(".lock")

    def _state_file(self, suffix: str) -> Path:
        # Two copies of a film have one key: the name keeps them apart. It may be longer than a file name can be.
        name = hashlib.sha256(self.name.encode("utf-8", "surrogateescape")).hexdigest()[:_PART_DIGITS]
        return self.out / STATE_FOLDER / "parts" / f"{self.key}-{name}{suffix}"


class EpisodeStage(Enum):
    """What is being done for an episode."""

    TRACK = "track"  # its frames are read and tracked
    FINISH = "finish"  # the other outputs are made from its results


@dataclass(frozen=True)
class EpisodeProgress:
    """How far an episode is."""

    frames: int  # tracked so far, those of earlier attempts included
    expected_frames: int | None  # as the container claims; None: not known
    tracks: int
    seconds: float  # worked in this attempt
    new_frames: int = 0  # of ``frames`` those of this attempt: frames a second are new_frames / seconds
    video_seconds: float = 0.0  # how much of the video that is, those of earlier attempts included
    stage: EpisodeStage = EpisodeStage.TRACK


class EpisodeState(Enum):
    """How the work on an episode ended."""

    DONE = "done"  # every output is there under its final name
    BROKEN = "broken"  # the video is at fault; trying again gives the same
    FAILED_PASSING = "failed_passing"  # the machine or the network is: a later try goes on from the checkpoint
    STOPPED = "stopped"  # told to; a later try goes on from the checkpoint
    BUSY = "busy"  # another run holds the episode's lock; nothing was done


@dataclass(frozen=True)
class EpisodeOutcome:
    """What became of an episode: counts of the whole of it, and how fast this attempt tracked what it did of it."""

    state: EpisodeState
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
    places: tuple[Path, ...] = ()  # what lies under a final name now
