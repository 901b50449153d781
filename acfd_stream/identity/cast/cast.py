"""A cast: who the characters of many videos are. One SQLite file with members, their names and their best pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from acfd_stream.errors import ConfigError, OutputError
from acfd_stream.identity.cast import adding, members
from acfd_stream.identity.cast.adding import Addition, Additions, look_of_views, views_files
from acfd_stream.identity.cast.database import MOST_NAME, CastDatabase
from acfd_stream.identity.cast.matching import CastMatch, CastMatcher
from acfd_stream.identity.cast.members import Appearance, Member
from acfd_stream.identity.cast.views import CastView, views_of
from acfd_stream.types import Closeable, FloatArray

if TYPE_CHECKING:
    from acfd_stream.identity.embedder import Embedder


class Cast(Closeable):
    """An open cast; a context manager. To be used by one thread; other processes may change the file meanwhile.

    Each method that changes something is one transaction: all of it happens, or nothing. The last ten changes can be
    undone. A member is called by its number.
    """

    def __init__(self, database: CastDatabase) -> None:
        self._database = database

    @classmethod
    def open(cls, path: str | Path, *, is_new: bool = False) -> Self:
        """The cast in the file ``path``.

        Args:
            path: of the file.
            is_new: make it where there is none.

        Raises:
            ConfigError: there is no such file.
            CastError: it is damaged, no cast, or of another format.
            OutputError: it cannot be made.
        """
        return cls(CastDatabase(Path(path), is_new=is_new))

    @classmethod
    @contextmanager
    def made(cls, path: str | Path) -> Iterator[Self]:
        """As ``open`` with ``is_new``; a file that is made and never changed is removed in the end.

        Raises:
            CastError: it is damaged, no cast, or of another format.
            OutputError: it cannot be made.
        """
        is_there = os.path.lexists(path)
        with cls.open(path, is_new=True) as cast:
            try:
                yield cast
            finally:
                if not is_there:
                    with suppress(OutputError):  # another process is changing it, or has removed it
                        cast._database.remove_if_unchanged()

    @classmethod
    def matcher_for(cls, path: str | Path, digest: str, network: str) -> CastMatcher:
        """What finds the members of the cast ``path`` by embeddings of the network with this digest, named ``network``.

        Raises:
            ConfigError: there is no such file.
            CastError: it is damaged, no cast, or has embeddings of another network.
        """
        with cls.open(path) as cast:
            cast.require_network(digest, network)
            return cast.matcher()

    @property
    def path(self) -> Path:
        """Of the file."""
        return self._database.path

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # Read

    def about(self) -> dict[str, str]:
        """The embedding network: model, model_version, digest, dimensions and link_similarity; empty before a video."""
        return dict(self._database.rows("SELECT key, value FROM meta ORDER BY id"))

    def require_network(self, digest: str, network: str) -> None:
        """Raise CastError unless its embeddings are of the network with this digest, or it has none.

        Args:
            digest: of the network's file.
            network: its name and version, for the message.
        """
        adding.require_model(self._database, digest, f"this run uses {network}")

    def members(self) -> list[Member]:
        """All members by rising number."""
        appearances: dict[int, list[Appearance]] = {}
        for member, *about in self._database.rows(
            "SELECT member, path, character, tracks FROM appearances"
            " JOIN sources ON sources.id = appearances.source ORDER BY path, character"
        ):
            appearances.setdefault(member, []).append(Appearance(*about))
        views = dict(self._database.rows("SELECT member, COUNT(*) FROM views GROUP BY member"))
        return [
            Member(number, name, views.get(number, 0), tuple(appearances.get(number, ())))
            for number, name in self._database.rows("SELECT id, name FROM members ORDER BY id")
        ]

    def find(self, who: str | int) -> int:
        """The number of the member that is called by its number or its name.

        Raises:
            ConfigError: there is none.
        """
        text = str(who).strip()
        if text.isdecimal():
            text = text.lstrip("0")[:MOST_NAME]  # Python reads no number of thousands of digits
            members.require_member(self._database, number := int(text or "0"))
            return number
        found = self._database.value("SELECT id FROM members WHERE name = ?", members.clean_name(text))
        if found is None:
            raise ConfigError(f"{self.path}: has no member {text!r}; 'acfd-stream cast show {self.path}' lists them")
        return int(found)

    def views(self, member: int) -> list[CastView]:
        """The pictures of a member with their crops.

        Raises:
            ConfigError: there is no such member.
        """
        members.require_member(self._database, member)
        return views_of(self._database, [member], with_crops=True)

    def matcher(self) -> CastMatcher:
        """What finds members by their looks, as they are now."""
        return adding.matcher_of(self._database, self._database.rows("SELECT id, name FROM members ORDER BY id"))

    def match(self, embeddings: FloatArray) -> CastMatch | None:
        """The member with these views; None: it is none of them, or there are two that it could be.

        Args:
            embeddings: [V, D], unit length, of the network that ``about`` names.

        Raises:
            ShapeError: they are of another shape.
        """
        return self.matcher().match(embeddings)

    def has(self, path: str | Path) -> bool:
        """Whether a finished video was added, with the content that its views file has now.

        Args:
            path: of a result or its views file.

        Raises:
            MediaError: the views file cannot be read.
        """
        (path,) = views_files([path])
        return adding.source_of(self._database, path) is not None

    def names(self, path: str | Path) -> dict[int, CastMatch]:
        """Character → member, of a finished video.

        Of a video that was added, the cast knows it; the confidence is then 1. Of another one it is found by its looks.

        Args:
            path: of a result or its views file.

        Raises:
            CastError: its embeddings are of another network.
            MediaError: the views file cannot be read.
        """
        (path,) = views_files([path])
        source = adding.source_of(self._database, path)
        if source is None:
            file = adding.views_for(self._database, path)
            looks = {number: look_of_views(views) for number, views in file.by_character().items()}
            return self.matcher().assign(looks, file.together)
        query = (
            "SELECT character, member, name FROM appearances JOIN members ON members.id = member"
            " WHERE source = ? ORDER BY character"
        )
        return {number: CastMatch(who, name, 1.0) for number, who, name in self._database.rows(query, source)}

    # Change

    @contextmanager
    def one_change(self, what: str) -> Iterator[None]:
        """Make all changes inside as one, which is undone as one; or none of them where an error is raised.

        Args:
            what: the change in words.
        """
        with self._database.change(what):
            yield

    def build(self, places: Iterable[str | Path]) -> list[Addition]:
        """Add the characters of finished videos, in order, as one change; those that the cast knows are left out.

        Args:
            places: results, their views files, or folders of them.

        Raises:
            CastError: an embedding is of another network.
            MediaError: a views file cannot be read.
        """
        paths = views_files(places)
        new = [path for path in paths if adding.source_of(self._database, path) is None]
        if not new:
            return [Addition(path, is_known=True) for path in paths]
        with self._database.change(f"add {len(new)} video{'s' * (len(new) != 1)}"):
            additions = Additions(self._database)
            found = [additions.add(path) for path in paths]
            additions.finish()
        return found

    def name(self, member: int, name: str, *, merges: bool = False) -> int:
        """Name a member, or take its name away with ""; returns its number.

        Args:
            member: to name.
            name: 1 … 100 characters, no number.
            merges: where another member has the name, merge both; its number is returned.

        Raises:
            ConfigError: there is no such member, the name is not allowed, or another one's.
        """
        name = members.clean_name(name) if name else ""
        with self._database.change(f"name member {member} {name!r}" if name else f"take the name of member {member}"):
            return members.set_name(self._database, member, name, merges=merges)

    def merge(self, member: int, *others: int) -> None:
        """Make ``others`` one with ``member``.

        Raises:
            ConfigError: there is no such member, or two of them were in one frame.
        """
        with self._database.change(f"merge members {', '.join(map(str, others))} into {member}"):
            members.merge(self._database, member, others)

    def split(
        self, member: int, *, views: Sequence[int] = (), source: str | None = None, character: int | None = None
    ) -> int:
        """Make a new member of some pictures of a member, or of all that it has from one video; returns its number.

        Args:
            member: to split.
            views: numbers of its views; either these or ``source``.
            source: a video, as ``Appearance.source`` calls it.
            character: of this video; None: all that are this member.

        Raises:
            ConfigError: there is no such member, view or video, or one of both members would have nothing.
        """
        if bool(views) == (source is not None):
            raise ConfigError("split takes either views or a source")
        with self._database.change(f"split member {member}"):
            if source is not None:
                return members.split_source(self._database, member, source, character)
            return members.split(self._database, member, views)

    def forget(self, *forgotten: int) -> None:
        """Remove members with their pictures.

        Raises:
            ConfigError: there is no such member.
        """
        with self._database.change(f"forget members {', '.join(map(str, forgotten))}"):
            members.forget(self._database, forgotten)

    def undo(self) -> str | None:
        """Take the last change back, and return it in words; None: there is none. Ten changes can be undone."""
        return self._database.undo()

    def rebuild(self, embedder: Embedder) -> int:
        """Embed all pictures anew with another network; returns how many could not be read and were dropped.

        Raises:
            RunnerError: the network failed.
        """
        from acfd_stream.identity.cast.rebuild import rebuild

        with self._database.change("rebuild"):
            return rebuild(self._database, embedder)

    def export(self, folder: str | Path) -> None:
        """Write ``cast.json`` and the folder ``crops`` into ``folder``, which is made.

        Raises:
            OutputError: there is something already, or it cannot be written.
        """
        from acfd_stream.identity.cast.export import export

        everyone = ((member, self.views(member.number)) for member in self.members())
        export(self.about(), everyone, Path(folder))

    def copy_to(self, path: str | Path) -> None:
        """Write the cast as it is now to ``path``, over what is there; without the log of changes.

        Raises:
            OutputError: it cannot be written.
        """
        self._database.copy_to(Path(path))


def named(found: Mapping[int, CastMatch]) -> dict[int, str]:
    """Character → name, of those that have one."""
    return {number: match.name for number, match in found.items() if match.name}
