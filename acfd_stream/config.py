"""Every setting and cap, with its unit and range; the only module that reads the environment.

A config is a frozen dataclass that checks itself. ``from_mapping`` refuses unknown keys.
"""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from acfd_stream.checked import Checked
from acfd_stream.checked import from_mapping as from_mapping
from acfd_stream.checked import require as require
from acfd_stream.checked import require_min_score as require_min_score

DECODERS = ("auto", "cpu", "nvdec")
PRECISIONS = ("auto", "int8", "bf16", "f32")
MOST_SCALES = 64
"""Of a multi-scale test."""
ADDRESSES = ("public", "private", "any")
"""How far a URL may lead: the internet; private networks and this machine, too; link-local addresses, too."""


@dataclass(frozen=True)
class DetectConfig(Checked):
    """How faces are detected in a picture. The defaults follow section 4.1 of the ACFD paper."""

    size: int = 512
    """Longer side of the network input, pixels, 64 … 4096; unused with ``scales``. 512 suits acfd-n best."""
    scales: tuple[int, ...] = ()
    """Shorter sides of at most 64 inputs of a multi-scale test, pixels; the longer is at most 1.34375 times as long."""
    score_threshold: float = 0.08
    """Candidates with a lower score are dropped before NMS, [0, 1]."""
    candidates: int = 1000
    """Number of best candidates per scale that enter NMS, >= 1."""
    nms_iou: float = 0.55
    """A box whose IoU with a better box is higher is dropped, [0, 1]."""
    faces: int = 100
    """Maximum number of faces per picture, >= 1."""
    batch: int = 4
    """Pictures per batch of the network, 1 … 64."""
    threads: int = 0
    """CPU threads of the network; 0: one per core."""
    picture_threads: int = 0
    """Threads that share a single picture; two nearly halve its time for 10 % more work; 0: 2 in a service, else 1."""
    precision: str = "auto"
    """Precision on a CPU: "int8", "bf16" or "f32"; "auto": the fastest that the model and the CPU support."""

    def _check(self) -> None:
        self._require_between(64, 4096, "size")
        count = len(self.scales)
        require(count <= MOST_SCALES, "scales", f"{count} of them", f"at most {MOST_SCALES} sides")
        are_sides = all(isinstance(scale, int) and 64 <= scale <= 4096 for scale in self.scales)
        require(are_sides, "scales", self.scales, "each in 64 … 4096")
        for name in ("score_threshold", "nms_iou"):
            require(0.0 <= getattr(self, name) <= 1.0, name, getattr(self, name), "in [0, 1]")
        self._require_between(1, 64, "batch")
        self._require_least(1, "candidates", "faces")
        self._require_least(0, "threads", "picture_threads")
        require(self.precision in PRECISIONS, "precision", self.precision, f"one of {', '.join(PRECISIONS)}")


@dataclass(frozen=True)
class VideoConfig(Checked):
    """How a container is decoded into frames."""

    threads: int = 0
    """Threads of the decoder; 0: the decoder chooses."""
    queue_bytes: int = 64 * 2**20
    """Maximum bytes of decoded frames that wait for the network, >= 1 MiB."""
    start_seconds: float | None = None
    """Frames before this presentation time are skipped, seconds; None: from the beginning."""
    end_seconds: float | None = None
    """Frames at or after this presentation time are not read, seconds; None: to the end."""
    frame_pixels: int = 8192 * 8192
    """Maximum size of a frame, pixels, >= 1."""
    url_timeout_seconds: float = 30.0
    """How long a URL may deliver no data, seconds, > 0."""
    decoder: str = "auto"
    """Decoder: "cpu", "nvdec", or "auto": NVDEC if the network runs on a GPU and NVDEC works, else the CPU."""
    low_delay: bool = False
    """Return each frame as soon as it is decoded, and read less data when opening; for live streams."""
    every_frame: bool = False
    """Run detection on held frames too, instead of reusing the detections of the frame before."""

    def _check(self) -> None:
        self._require_least(0, "threads")
        self._require_least(2**20, "queue_bytes")
        self._require_least(1, "frame_pixels")
        self._require_positive("url_timeout_seconds")
        require(self.decoder in DECODERS, "decoder", self.decoder, f"one of {', '.join(DECODERS)}")
        for name in ("start_seconds", "end_seconds"):
            seconds = getattr(self, name)
            require(seconds is None or abs(seconds) < math.inf, name, seconds, "a finite number or None")
        if self.start_seconds is not None and self.end_seconds is not None:
            require(self.start_seconds < self.end_seconds, "end_seconds", self.end_seconds, f"> {self.start_seconds}")


def is_debug() -> bool:
    """Whether a fault of the program shows its traceback: ``ACFD_DEBUG=1``."""
    return os.environ.get("ACFD_DEBUG", "") not in ("", "0")


def hush_grpc() -> None:
    """Let gRPC's core keep its own lines off stderr, unless ``GRPC_VERBOSITY`` asks for them; before it is loaded."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def hush_ray() -> None:
    """Let Ray report to nobody and leave variables of devices alone, unless the user wants it; before it is loaded."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")


def hush_nncf() -> None:
    """Let NNCF report to nobody, unless the user says otherwise; before it is loaded."""
    os.environ.setdefault("NNCF_CI", "1")


def proxy_variable() -> str:
    """The environment variable whose proxy gRPC takes; empty if there is none."""
    return next((name for name in ("grpc_proxy", "https_proxy", "http_proxy") if os.environ.get(name)), "")


def otlp_endpoint() -> str:
    """Collector of traces where the settings name none: ``OTEL_EXPORTER_OTLP_ENDPOINT``; empty: nothing is traced."""
    return os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cuda_visible_devices() -> str:
    """Which GPUs the caller leaves to this process, as ``CUDA_VISIBLE_DEVICES`` says; empty: all."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "")


def cache_dir() -> Path | None:
    """Folder for compiled models: ``ACFD_CACHE_DIR``, else acfd_stream in ``XDG_CACHE_HOME``, else in ~/.cache.

    None where there is no such place: no variable is set and the user has no home.
    """
    if explicit := os.environ.get("ACFD_CACHE_DIR"):
        return Path(explicit)
    if (shared := Path(os.environ.get("XDG_CACHE_HOME", ""))).is_absolute():  # else it counts as not set, by its rules
        return shared / "acfd_stream"
    try:
        return Path.home() / ".cache" / "acfd_stream"
    except RuntimeError:
        return None


@dataclass(frozen=True)
class TrackConfig(Checked):
    """How detections become tracks. Two passes match detections with tracks: first high scores, then low ones."""

    start_score: float = 0.55
    """Minimum score of a detection that starts a track or is matched in the first pass, [0, 1]."""
    keep_score: float = 0.35
    """Minimum score of a detection that continues a track, in the second pass, [0, start_score]."""
    least_iou: float = 0.15
    """Minimum IoU of a detection with the predicted box of its track, (0, 1]."""
    reach: float = 2.0
    """Maximum jump of a face between two drawings, in box sides, 0 … 8; 0: boxes must overlap."""
    duplicate_cover: float = 0.7
    """A box starts no track if a better box covers more than this share of the smaller of the two, (0, 1]."""
    confirm_hits: int = 4
    """Detections after which a track is confirmed and reported, >= 1."""
    max_gap_frames: int = 12
    """Longest gap between two detections of a face that is filled, frames, 0 … 1000."""
    fills_gaps: bool = True
    """False: each result is final at once: gaps stay empty, and a track is reported only once it is confirmed."""

    def _check(self) -> None:
        require(0.0 <= self.start_score <= 1.0, "start_score", self.start_score, "in [0, 1]")
        require(0.0 <= self.keep_score <= self.start_score, "keep_score", self.keep_score, "in [0, start_score]")
        self._require_share("least_iou", "duplicate_cover")
        self._require_between(0, 8, "reach")
        self._require_least(1, "confirm_hits")
        self._require_between(0, 1000, "max_gap_frames")

    @classmethod
    def of_min_score(cls, min_score: float | None, *, fills_gaps: bool = True) -> TrackConfig:
        """Tracks start from detections of at least ``min_score``; lower ones only continue tracks, as by default."""
        start = cls.start_score if min_score is None else min_score
        require_min_score(start)
        return cls(start_score=start, keep_score=min(start, cls.keep_score), fills_gaps=fills_gaps)

    @property
    def delay_frames(self) -> int:
        """A frame is settled at the latest when this many further frames have come."""
        return self.tentative_frames if self.fills_gaps else 0

    @property
    def tentative_frames(self) -> int:
        """A track that is not believed so many frames after its first is given up."""
        return max(self.max_gap_frames, self.confirm_hits - 1)


@dataclass(frozen=True)
class ShotConfig(Checked):
    """When a new shot begins. Differences are relative to the contrast of the pictures."""

    lookahead_frames: int = 5
    """Frames read ahead to tell a cut from a flash of at most this length; 0 (decide at once) … 48."""
    least_difference: float = 0.08
    """Minimum difference between two shots, beyond what small motion explains, (0, 1]."""
    least_rearrangement: float = 0.45
    """Minimum change of the outlines between two shots, as 1 - correlation, (0, 1]."""
    outstanding: float = 2.5
    """Minimum ratio of the difference at a cut to the differences around it, >= 1."""
    blank_deviation: float = 4.0
    """A picture with a lower standard deviation counts as blank, 8-bit levels, 0 … 64."""

    def _check(self) -> None:
        self._require_between(0, 48, "lookahead_frames")
        self._require_share("least_difference", "least_rearrangement")
        self._require_least(1, "outstanding")
        self._require_between(0, 64, "blank_deviation")


@dataclass(frozen=True)
class PictureConfig(Checked):
    """How an image file is read."""

    file_bytes: int = 512 * 2**20
    """Maximum size of an image file, bytes, >= 1."""

    def _check(self) -> None:
        self._require_least(1, "file_bytes")


@dataclass(frozen=True)
class SchedulerConfig(Checked):
    """How pictures of many streams are batched for one engine. Each stream has a queue."""

    batch: int = 0
    """Maximum pictures per batch, 0 … 64; 0: the ``batch`` of the detector. A CPU runs single pictures."""
    queue_bytes: int = 256 * 2**20
    """Maximum bytes of pictures that wait or run, >= 1 MiB; each stream may always have one picture."""
    ageing_seconds: float = 1.0
    """Wait after which a live stream gains one priority level and a file gets one picture first, seconds, > 0."""
    wait_share: float = 0.1
    """Maximum wait for pictures of other streams, as a share of the picture's own deadline, [0, 1]."""
    background_share: float = 0.25
    """Maximum duration of a batch of files beside live streams, as a share of their shortest deadline, (0, 1]."""
    warm_sizes: tuple[tuple[int, int], ...] = ((720, 1280), (480, 640))
    """Display sizes (height, width) that are compiled and measured before the engine is ready; at least one."""
    probe_seconds: float = 5.0
    """How often an idle engine runs a grey picture to measure its speed, seconds, >= 0; 0: never."""

    def _check(self) -> None:
        self._require_between(0, 64, "batch")
        self._require_least(2**20, "queue_bytes")
        self._require_positive("ageing_seconds")
        require(0.0 <= self.wait_share <= 1.0, "wait_share", self.wait_share, "in [0, 1]")
        self._require_share("background_share")
        self._require_least(0, "probe_seconds")
        are_sizes = len(self.warm_sizes) >= 1 and all(len(size) == 2 and min(size) >= 1 for size in self.warm_sizes)
        require(are_sizes, "warm_sizes", self.warm_sizes, "pairs of height and width, at least one")


@dataclass(frozen=True)
class StreamQueueConfig(Checked):
    """What one stream may demand of the engine."""

    priority: int = 1
    """0 … 9; lower runs first. Streams without a deadline run after all streams with one."""
    deadline_seconds: float | None = 0.04
    """Time from a picture's arrival to its detections, seconds, > 0; None: no deadline, after the others."""
    batch: int = 1
    """Pictures that the stream submits together, 1 … 64; does not change results."""
    batch_share: int = 2
    """Maximum pictures of the stream that run at once, >= 1."""
    in_flight: int = 8
    """Maximum pictures of the stream that wait or run, >= 1."""

    def _check(self) -> None:
        self._require_between(0, 9, "priority")
        seconds = self.deadline_seconds
        require(seconds is None or 0 < seconds < math.inf, "deadline_seconds", seconds, "> 0 or None")
        self._require_between(1, 64, "batch")
        self._require_least(1, "batch_share", "in_flight")

    @classmethod
    def background(cls, batch: int = 4) -> StreamQueueConfig:
        """For a file: whole batches, in what the live streams leave."""
        return cls(priority=2, deadline_seconds=None, batch=batch, batch_share=64, in_flight=max(8, batch))


@dataclass(frozen=True)
class CapacityConfig(Checked):
    """How many streams are admitted."""

    load_limit: float = 0.7
    """Share of the machine that all streams may use together, (0, 1]; the rest absorbs bursts."""
    objective_seconds: float = 0.05
    """Latency objective of a live stream that declares none, seconds, > 0."""
    file_streams: int = 4
    """Maximum concurrent streams in file mode, >= 0."""
    view_sizes: int = 8
    """Maximum number of network input sizes in use at once, 1 … 8; each is compiled once and kept."""
    cores: int = 0
    """Cores for decoding and the network; 0: all that the process may use."""
    decode_seconds: float = 0.003
    """Initial estimate of the time one core needs to decode one megapixel, seconds, > 0; streams correct it."""
    frame_seconds: float = 0.0
    """Core time of a frame besides decoding and the network, seconds, >= 0; 0: measured at startup, then learned."""

    def _check(self) -> None:
        self._require_share("load_limit")
        self._require_positive("objective_seconds", "decode_seconds")
        self._require_between(1, 8, "view_sizes")
        self._require_least(0, "file_streams", "cores", "frame_seconds")


class Pace(Enum):
    """What counts for a stream."""

    FILE = "file"  # every frame, however long it takes
    LIVE = "live"  # the time from a frame's bytes to its result


class DropPolicy(Enum):
    """What becomes of a live frame for which the queue has no room."""

    WAIT = "wait"  # the source waits
    DROP_OLDEST = "drop_oldest"  # the frame that has waited longest makes room
    DROP_LATEST = "drop_latest"  # the new frame is left out


@dataclass(frozen=True)
class PaceConfig(Checked):
    """Whether a stream is live, and which frames it drops. All settings but ``pace`` apply to live streams only."""

    pace: Pace = Pace.FILE
    """FILE or LIVE. A live stream finds shots and tracks without reading ahead, unless their configs say otherwise."""
    policy: DropPolicy = DropPolicy.DROP_OLDEST
    """What happens to frames that arrive faster than results."""
    queue_frames: int = 4
    """Maximum decoded frames that wait, in addition to the limit in bytes, >= 1."""
    objective_seconds: float = 0.05
    """A result is late if it comes later than this after its bytes, seconds, > 0."""
    stale_seconds: float = 1.0
    """A frame that waited longer is dropped if a newer one waits, seconds, > 0; not with the policy WAIT."""

    def _check(self) -> None:
        self._require_least(1, "queue_frames")
        self._require_positive("objective_seconds", "stale_seconds")

    @property
    def is_live(self) -> bool:
        """Whether latency counts."""
        return self.pace is Pace.LIVE


@dataclass(frozen=True)
class ArchiveConfig(Checked):
    """How an archive run retries and saves its work. These settings do not change results."""

    checkpoint_seconds: float = 30.0
    """Time between checkpoints, seconds, > 0; a kill or a power failure loses at most this much work."""
    attempts: int = 5
    """Attempts per episode and run when the machine or the network fails, >= 1."""
    backoff_seconds: float = 2.0
    """Wait before the second attempt, seconds, > 0; doubled for each later one."""
    longest_backoff_seconds: float = 300.0
    """Maximum wait before an attempt, seconds, >= backoff_seconds."""
    losses: int = 3
    """An episode that kills this many workers without progress is set aside, >= 1."""
    stall_seconds: float = 600.0
    """A worker without progress for this long is stopped, seconds, > 0; another one takes its episode."""
    wait_for_room_seconds: float | None = None
    """How long a run waits for a full disk or a locked manifest before it ends, seconds, >= 0; None: for ever."""

    def _check(self) -> None:
        self._require_positive("checkpoint_seconds", "backoff_seconds", "stall_seconds")
        self._require_least(1, "attempts", "losses")
        longest, room = self.longest_backoff_seconds, self.wait_for_room_seconds
        require(room is None or 0 <= room < math.inf, "wait_for_room_seconds", room, ">= 0")
        require(self.backoff_seconds <= longest < math.inf, "longest_backoff_seconds", longest, ">= backoff_seconds")


# Of the precision, what came of it has an effect: it stands with the model.
_WITHOUT_EFFECT = {"batch", "threads", "picture_threads", "precision", "queue_bytes", "frame_pixels", "decoder"}


def effective(config: Any) -> dict[str, Any]:
    """The settings of a config dataclass that may change results, ready for JSON."""
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in _WITHOUT_EFFECT}
