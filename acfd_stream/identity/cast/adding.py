"""Adds the characters of finished videos to a cast."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from acfd_stream.errors import CastNetworkError, MediaError
from acfd_stream.identity.cast.database import CastDatabase
from acfd_stream.identity.cast.matching import CastMatcher, Prototype, threshold_of
from acfd_stream.identity.cast.views import MOST_VIEWS, best_views, prune, views_of
from acfd_stream.identity.views import look_of, mean_of
from acfd_stream.identity.views_file import VIEWS_SUFFIX, StoredView, ViewsFile, ViewsHeader, read_views
from acfd_stream.types import FloatArray

RESULT_SUFFIX = ".jsonl"


@dataclass(frozen=True)
class Addition:
    """What a cast made of one video."""

    path: Path  # of its views file
    members: Mapping[int, int] = field(default_factory=dict)  # character → member
    new: frozenset[int] = frozenset()  # members that were made for it
    replaced: Mapping[int, int] = field(default_factory=dict)  # what ``members`` was for an earlier content of the file
    is_known: bool = False  # nothing was done: the cast had it


def views_files(places: Iterable[str | Path]) -> list[Path]:
    """The views files that ``places`` name, each once.

    Args:
        places: views files, results that have theirs beside them, and folders, whose files are taken in name order.

    Raises:
        MediaError: a place does not exist, or there is no views file.
    """
    found: dict[Path, None] = {}
    for place in map(Path, places):
        paths = list(_in_folder(place)) if place.is_dir() else [views_path(place)]
        for path in paths:
            if not path.is_file():
                raise MediaError(f"{path}: there is no such views file; track the video with --views {path}")
        if not paths:
            raise MediaError(f"{place}: holds no file {'*' + VIEWS_SUFFIX}; make them with --outputs views")
        found |= dict.fromkeys(paths)
    return list(found)


def views_path(path: Path) -> Path:
    """The views file of a result; a views file itself."""
    name = path.name
    is_result = name.endswith(RESULT_SUFFIX)
    return path.with_name(name.removesuffix(RESULT_SUFFIX) + VIEWS_SUFFIX) if is_result else path


def results_path(path: Path) -> Path:
    """The result of a views file."""
    return path.with_name(path.name.removesuffix(VIEWS_SUFFIX) + RESULT_SUFFIX)


def matcher_of(database: CastDatabase, members: Iterable[tuple[int, str]]) -> CastMatcher:
    """A matcher of members: (number, name), by rising number. Those without pictures match nothing."""
    names = dict(members)
    by_member: dict[int, list[FloatArray]] = {}
    for view in views_of(database, names):
        by_member.setdefault(view.member, []).append(view.embedding)
    prototypes = [Prototype(member, names[member], np.stack(views)) for member, views in by_member.items()]
    link_similarity = float(database.value("SELECT value FROM meta WHERE key = 'link_similarity'") or 0.0)
    digest = str(database.value("SELECT value FROM meta WHERE key = 'digest'") or "")
    return CastMatcher(prototypes, threshold_of(link_similarity), digest=digest)


def embeddings_of(views: Sequence[StoredView]) -> FloatArray:
    """float32 [V, D]."""
    return np.stack([view.embedding.astype(np.float32) for view in views])


def look_of_views(views: Iterable[StoredView]) -> FloatArray:
    """What a character looks like, float32 [1, D]: as ``look_of`` the tracks that these views are of."""
    by_track: dict[int, list[StoredView]] = {}
    for view in views:
        by_track.setdefault(view.track, []).append(view)
    return look_of(mean_of(own) for _, own in sorted(by_track.items()))


def require_model(database: CastDatabase, digest: str, what: str) -> None:
    """Refuse a cast whose embeddings are of another network than that of ``digest``, which ``what`` names.

    Raises:
        CastNetworkError: it is another.
    """
    about = dict(database.rows("SELECT key, value FROM meta"))
    if about and digest != about["digest"]:
        raise CastNetworkError(
            f"{database.path}: has embeddings of {about['model']} {about['model_version']} ({about['digest'][:12]}), "
            f"and {what} ({digest[:12]}), whose embeddings differ; 'acfd-stream cast rebuild {database.path}' moves it "
            "to the newest network, and older results are to be tracked again"
        )


def views_for(database: CastDatabase, path: Path) -> ViewsFile:
    """The views file at ``path``, without crops.

    Raises:
        CastError: its embeddings are of another network.
        MediaError: it cannot be read, or its embeddings have another length.
    """
    file = read_views(path, with_crops=False)
    header, own = file.header, {len(view.embedding) for view in file.views}
    require_model(database, header.digest, f"{path} has those of {header.model} {header.model_version}")
    length = database.value("SELECT length(embedding) / 2 FROM views LIMIT 1")
    if length is not None and not own <= {length}:
        raise MediaError(
            f"{path}: its embeddings have a length of {max(own)}, and those of the cast {length}; track the video again"
        )
    return file


def set_model(database: CastDatabase, header: ViewsHeader, dimensions: int) -> None:
    """Note the network that the embeddings of the cast come from."""
    database.run("DELETE FROM meta")
    values = {"model": header.model, "model_version": header.model_version, "digest": header.digest}
    values |= {"link_similarity": repr(header.link_similarity), "dimensions": str(dimensions)}
    for key, value in values.items():
        database.run("INSERT INTO meta (key, value) VALUES (?, ?)", key, value)


class Additions:
    """The videos that one change adds, in order.

    Members that the cast had before take part with the pictures that they had then. Each of these is compared first, so
    its answer does not depend on the videos that are added with it.
    """

    def __init__(self, database: CastDatabase) -> None:
        self._database = database
        members: list[tuple[int, str]] = database.rows("SELECT id, name FROM members ORDER BY id")
        self._before = matcher_of(database, members)
        self._is_old = {member for member, _ in members}
        self._grown: set[int] = set()

    def add(self, path: Path) -> Addition:
        """Add one video.

        Raises:
            CastError: its embeddings are of another network.
            MediaError: its views file cannot be read.
        """
        if source_of(self._database, path) is not None:
            return Addition(path, is_known=True)
        file, digest = views_for(self._database, path), _digest(path)
        characters = file.by_character()
        if characters and self._database.value("SELECT COUNT(*) FROM views") == 0:
            set_model(self._database, file.header, len(file.views[0].embedding))
        members, new = self._matched(characters, file.together)
        replaced = self._remove(path)
        self._store(path, digest, file, members)
        return Addition(path, members, frozenset(new), replaced)

    def finish(self) -> None:
        """Drop the views that are too many, and members that have nothing left."""
        for member in sorted(self._grown & self._is_old):
            prune(self._database, member)
        self._database.run(
            "DELETE FROM members WHERE name = '' AND id NOT IN (SELECT member FROM appearances)"
            " AND id NOT IN (SELECT member FROM views)"
        )

    def _matched(
        self, characters: Mapping[int, list[StoredView]], together: Collection[tuple[int, int]]
    ) -> tuple[dict[int, int], list[int]]:
        """Character → member, and the members that were made for this video."""
        looks = {number: look_of_views(views) for number, views in characters.items()}
        members = {number: match.member for number, match in self._before.assign(looks, together).items()}
        rest = {number: views for number, views in looks.items() if number not in members}
        young = self._database.rows("SELECT id, name FROM members ORDER BY id")
        growing = matcher_of(self._database, [(member, name) for member, name in young if member not in self._is_old])
        members |= {number: match.member for number, match in growing.assign(rest, together).items()}
        new = {
            number: self._database.run("INSERT INTO members DEFAULT VALUES") for number in rest.keys() - members.keys()
        }
        return dict(sorted({**members, **new}.items())), sorted(new.values())

    def _remove(self, path: Path) -> dict[int, int]:
        """Remove what the cast has from an earlier content of the file: character → member."""
        database = self._database
        source = database.value("SELECT id FROM sources WHERE path = ?", source_name(database, path))
        if source is None:
            return {}
        found = dict(database.rows("SELECT character, member FROM appearances WHERE source = ?", source))
        for table in ("appearances", "together", "views"):
            database.run(f"DELETE FROM {table} WHERE source = ?", source)
        database.run("DELETE FROM sources WHERE id = ?", source)
        return found

    def _store(self, path: Path, digest: str, file: ViewsFile, members: Mapping[int, int]) -> None:
        database, name = self._database, source_name(self._database, path)
        source = database.run("INSERT INTO sources (path, digest) VALUES (?, ?)", name, digest)
        tracks: dict[int, set[int]] = {}
        for view in file.views:
            tracks.setdefault(view.character, set()).add(view.track)
        for character, member in members.items():
            about = (source, character, member, len(tracks[character]))
            database.run("INSERT INTO appearances (source, character, member, tracks) VALUES (?, ?, ?, ?)", *about)
        for one, other in sorted(file.together):
            if one in members and other in members:
                database.run("INSERT INTO together (source, one, other) VALUES (?, ?, ?)", source, one, other)
        self._store_views(source, file, members)

    def _store_views(self, source: int, file: ViewsFile, members: Mapping[int, int]) -> None:
        chosen = dict(_chosen(file, members))
        crops = file.crops(chosen)
        for number, member in chosen.items():
            view = file.views[number]
            self._database.run(
                "INSERT INTO views (member, source, character, track, frame, time, quality, embedding, crop)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                *(member, source, view.character, view.track, view.frame, view.time, view.quality),
                *(view.embedding.astype("<f2").tobytes(), crops[number]),
            )
        self._grown |= set(members.values())
        for member in sorted(set(members.values()) - self._is_old):
            prune(self._database, member)


def source_name(database: CastDatabase, path: Path) -> str:
    """A views file as the cast calls it: relative to its own folder, so that both can move together."""
    return os.path.relpath(path.absolute(), database.path.absolute().parent)


def source_of(database: CastDatabase, path: Path) -> int | None:
    """The number of the source whose content is that of ``path``; None: the cast does not know it.

    Raises:
        MediaError: it cannot be read.
    """
    found = database.value("SELECT id FROM sources WHERE digest = ?", _digest(path))
    return None if found is None else int(found)


def _chosen(file: ViewsFile, members: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    """Positions of the views to keep, at most ``MOST_VIEWS`` of a character, each with its member."""
    positions: dict[int, list[int]] = {}
    for number, view in enumerate(file.views):
        if view.character in members:
            positions.setdefault(view.character, []).append(number)
    for character, numbers in sorted(positions.items()):
        views = [file.views[number] for number in numbers]
        for place in sorted(best_views(embeddings_of(views), [view.quality for view in views], MOST_VIEWS)):
            yield numbers[place], members[character]


def _in_folder(folder: Path) -> Iterator[Path]:
    """Its views files in name order; hidden folders are not entered."""
    for path in sorted(folder.rglob(f"*{VIEWS_SUFFIX}")):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
