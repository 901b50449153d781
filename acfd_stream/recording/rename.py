"""Other names for the characters of finished results; all else in the lines stays, byte for byte."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from acfd_stream.errors import MediaError
from acfd_stream.files import PART_SUFFIX, require_lock, sync_folder, writing
from acfd_stream.identity.views_file import read_views
from acfd_stream.outputs import ResultFile
from acfd_stream.outputs.settle import settled_lines

if TYPE_CHECKING:
    from acfd_stream.identity.cast.cast import Cast


def names_of(cast: Cast, results: ResultFile, views: Path) -> dict[int, str]:
    """Character → name in ``cast``, of those that have one.

    Raises:
        CastError: the views are of another network.
        MediaError: the views cannot be read, or are of another run than the results.
    """
    from acfd_stream.identity.cast.cast import named

    require_same_run(results, views)
    return named(cast.names(views))


def require_same_run(results: ResultFile, views: Path) -> None:
    """Return if the views file ``views`` is of the run that wrote ``results``.

    Raises:
        MediaError: it is of another run, or cannot be read.
    """
    characters = {track: each.number for each in results.end.characters for track in each.tracks}
    for view in read_views(views, with_crops=False).views:
        if view.character and characters.get(view.track) != view.character:
            raise MediaError(
                f"{views}: its views are of another run than {results.path}; track the video again with --views {views}"
            )


def has_names(results: ResultFile, names: Mapping[int, str]) -> bool:
    """Whether the characters of ``results`` have these names, and no others."""
    return all(each.name == names.get(each.number, "") for each in results.end.characters)


def renamed_lines(results: ResultFile, names: Mapping[int, str]) -> Iterator[bytes]:
    """The lines of ``results`` in which characters have ``names``, and all others none.

    Raises:
        OSError: they cannot be read.
    """
    renamed = [replace(each, name=names.get(each.number, "")) for each in results.end.characters]
    with results.path.open("rb") as file:
        yield from settled_lines(file, renamed)


def rename_characters(results: ResultFile, names: Mapping[int, str]) -> bool:
    """Rewrite a file of results with other names, if it has not got them; whether it had not.

    The file is replaced when the new one is complete and on the disk. A link stays a link to its file.

    Raises:
        OutputError: it cannot be written, or another process writes it.
    """
    if has_names(results, names):
        return False
    path = Path(os.path.realpath(results.path))
    part = path.with_name(path.name + PART_SUFFIX)
    with writing(path), path.open("r+b") as old:
        require_lock(old.fileno())
        write_renamed(results, names, part)
        part.chmod(path.stat().st_mode & 0o777)
        part.replace(path)
        sync_folder(path.parent)
    return True


def write_renamed(results: ResultFile, names: Mapping[int, str], fresh: Path) -> None:
    """Write the lines of ``results`` with other names to the new file ``fresh``, and to the disk.

    Raises:
        OutputError: it cannot be written; nothing of it is left.
    """
    with writing(fresh):
        fresh.unlink(missing_ok=True)
        try:
            with fresh.open("xb") as file:
                file.writelines(renamed_lines(results, names))
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
