"""Checkpoints of sessions: another session continues from one with the same results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from acfd_stream import stored
from acfd_stream.config import ShotConfig, TrackConfig, VideoConfig, effective
from acfd_stream.errors import ResumeError
from acfd_stream.pipeline.engine import Engine
from acfd_stream.types import MediaInfo

FORMAT = 2


@dataclass(frozen=True)
class SessionState:
    """A checkpoint: returned results count as done; later frames are stored in it or processed again.

    ``values`` is JSON-compatible; ``SessionState(json.loads(text))`` restores it.
    """

    values: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Check the format.

        Raises:
            ResumeError: another format, or not a checkpoint.
        """
        known = self.values.get("format") if isinstance(self.values, Mapping) else None
        if known != FORMAT:
            raise ResumeError(f"checkpoint must be of format {FORMAT}, got {known!r}; begin at the beginning")
        for name in ("model", "settings", "media", "stream"):
            stored.fields(self.values.get(name), name)
        stored.fields(self.values, "checkpoint", "ready", "swallowed")
        stored.items(self.values["ready"], "ready", stored.MOST_ITEMS)
        handed_out = stored.whole(self.values.get("handed_out"), "handed_out")
        stored.whole(self.values["swallowed"], "swallowed", 0, handed_out)
        stored.whole(self.values["stream"].get("next_index"), "next_index")

    @property
    def next_index(self) -> int:
        """Index of the first frame that is needed again; a client that sends single frames continues with it."""
        return int(self.values["stream"]["next_index"])

    @property
    def ready(self) -> list[Any]:
        """Settled frames that were not returned, as ``SettledFrame.values``."""
        return list(self.values["ready"])

    @property
    def skipped(self) -> int:
        """Results that come again and were returned."""
        return int(self.values["swallowed"])

    @property
    def next_result(self) -> int:
        """Index of the next result."""
        return int(self.values["handed_out"])

    def without_characters(self) -> SessionState:
        """A smaller state, from which a session continues without the characters so far; their numbers stay theirs."""
        stream = self.values["stream"]
        if "characters" not in stream:
            return self
        characters = {**stream["characters"], "body": None}
        return SessionState({**self.values, "stream": {**stream, "characters": characters}})


@contextmanager
def damage_as_resume_error(*, is_resumed: bool) -> Iterator[None]:
    """Raise errors of a resumed session as ResumeError: a damaged checkpoint can have a valid form.

    Raises:
        ResumeError: the block failed, and the session is resumed.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if not is_resumed or isinstance(error, ResumeError):
            raise
        raise ResumeError(f"checkpoint is damaged ({error}); begin at the beginning") from error


def signature(
    engine: Engine, track_config: TrackConfig, shot_config: ShotConfig, video_config: VideoConfig
) -> dict[str, Any]:
    """The model and the settings on which results depend."""
    about = json.dumps(asdict(engine.spec), sort_keys=True, default=str)
    model = {
        "name": engine.spec.name,
        "version": engine.spec.version,
        "precision": engine.precision,
        "digest": hashlib.sha256(about.encode()).hexdigest()[:16],
    }
    rooms = {"detect": engine.config, "track": track_config, "shot": shot_config}
    settings = {f"{room}.{name}": value for room, config in rooms.items() for name, value in effective(config).items()}
    settings |= {"start": video_config.start_seconds, "end": video_config.end_seconds}
    settings |= {"every_frame": video_config.every_frame}
    return {"model": model, "settings": dict(json.loads(json.dumps(settings)))}


def media_signature(info: MediaInfo) -> dict[str, Any]:
    """Properties of a video that are known before its frames are read."""
    return {"time_base": [info.time_base.numerator, info.time_base.denominator], "codec": info.codec}


def check(state: SessionState, current: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of another model, other settings or another video.

    Args:
        state: the checkpoint.
        current: ``signature`` and ``media`` of the session that resumes.

    Raises:
        ResumeError: model, settings or media differ; the message names both sides.
    """
    for name in ("model", "settings", "media"):
        then, now = state.values[name], current[name]
        for key in sorted({*then, *now}):
            if then.get(key) != now.get(key):
                raise ResumeError(
                    f"checkpoint was taken with {name} {key} {then.get(key)!r}, and here it is {now.get(key)!r}; "
                    "use the same, or begin at the beginning"
                )
