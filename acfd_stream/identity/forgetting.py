"""Smaller checkpoints of characters: the tracks that have ended are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acfd_stream import stored
from acfd_stream.identity.linking import PROTOTYPES

_FIELDS = ("tracks", "live", "prototypes")
_CHARACTER, _VECTOR = 4, 8  # in a track's row


def without_ended_tracks(linker: Mapping[str, Any]) -> dict[str, Any]:
    """What ``LinkerState.values`` returned, without the tracks that have ended. Numbers go on behind the last one.

    Whoever restores it compares new tracks with those on screen alone: characters of before are not found again.

    Raises:
        ResumeError: it is damaged.
    """
    stored.fields(linker, "linker", *_FIELDS)
    live = set(linker["live"])
    tracks = [row for row in linker["tracks"] if row[0] in live]
    prototypes: dict[int, list[int]] = {}
    for row in tracks:
        if row[_CHARACTER] and row[_VECTOR] is not None:
            prototypes.setdefault(row[_CHARACTER], []).append(row[0])
    rows = [[number, *ids[:PROTOTYPES]] for number, ids in prototypes.items()]
    return {**linker, "tracks": tracks, "prototypes": rows}
