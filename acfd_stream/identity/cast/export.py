"""Writes a cast as a folder that other programs read: a JSON file and the crops as JPEGs."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acfd_stream.errors import OutputError
from acfd_stream.files import PART_SUFFIX, remove, writing

if TYPE_CHECKING:
    from acfd_stream.identity.cast.members import Member
    from acfd_stream.identity.cast.views import CastView

FORMAT = 1


def export(about: Mapping[str, str], everyone: Iterable[tuple[Member, list[CastView]]], folder: Path) -> None:
    """Write ``folder/cast.json`` and ``folder/crops/<member>/<view>.jpg``; the folder appears when it is complete.

    Args:
        about: the embedding network.
        everyone: members with their views and crops.
        folder: new, or empty.

    Raises:
        OutputError: there is something already, or it cannot be written.
    """
    target = Path(os.path.realpath(folder))  # "." and ".." have a name then; "/" has none, and is never empty
    fresh = target.parent / (target.name + PART_SUFFIX)
    with writing(folder):
        for path in (folder, fresh):
            if path.exists() and not (path.is_dir() and not any(path.iterdir())):
                raise OutputError(f"{path}: is there already; choose another folder")
        (fresh / "crops").mkdir(parents=True)
        try:
            members = [_member(member, views, fresh) for member, views in everyone]
            values = {"type": "cast", "version": FORMAT, "embedding": dict(about), "members": members}
            (fresh / "cast.json").write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n", "utf-8")
            fresh.replace(target)
        except BaseException:
            remove(fresh)
            raise


def _member(member: Member, views: list[CastView], folder: Path) -> dict[str, Any]:
    if views:
        (folder / "crops" / str(member.number)).mkdir()
    return {
        "member": member.number,
        "name": member.name,
        "appearances": [
            {"source": each.source, "character": each.character, "tracks": each.tracks} for each in member.appearances
        ],
        "views": [_view(view, folder) for view in views],
    }


def _view(view: CastView, folder: Path) -> dict[str, Any]:
    crop = f"crops/{view.member}/{view.number}.jpg"
    (folder / crop).write_bytes(view.crop)
    return {
        "view": view.number,
        "source": view.source,
        "character": view.character,
        "track": view.track,
        "frame": view.frame,
        "time": view.time,
        "quality": view.quality,
        "crop": crop,
        "embedding": base64.b64encode(view.embedding.astype("<f2").tobytes()).decode(),
    }
