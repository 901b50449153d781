"""The members of a cast, and what people change: names, merges, splits and removals.

Each function that changes something runs inside one change.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from acfd_stream.errors import ConfigError
from acfd_stream.identity.cast.database import MOST_NAME, CastDatabase
from acfd_stream.identity.cast.views import prune
from acfd_stream.printable import JOINERS, is_printable

_LOST_JOINERS = re.compile(rf"(?<![^\x00-\x7f{JOINERS}])[{JOINERS}]+|[{JOINERS}]+(?=\s|$)")
"""They follow an ASCII character or another joiner, or join nothing."""


@dataclass(frozen=True)
class Appearance:
    """A member in one video."""

    source: str  # path of the views file, relative to the folder of the cast
    character: int  # its number in this video
    tracks: int


@dataclass(frozen=True)
class Member:
    """One character of a cast."""

    number: int  # never used again
    name: str  # "": none yet
    views: int  # pictures that the cast keeps
    appearances: tuple[Appearance, ...]  # by rising source, then character

    @property
    def tracks(self) -> int:
        """How many tracks it has in all videos."""
        return sum(each.tracks for each in self.appearances)


def clean_name(name: str) -> str:
    """``name`` as a cast stores it: every space is a plain one, and joiners that nobody sees are left out.

    Raises:
        ConfigError: it is empty, too long, a number, or has characters that cannot be printed.
    """
    found = "".join(" " if unicodedata.category(sign) == "Zs" else sign for sign in unicodedata.normalize("NFC", name))
    found = _LOST_JOINERS.sub("", found).strip()
    is_good = 0 < len(found) <= MOST_NAME and is_printable(found) and not found.isdecimal()
    if not is_good:
        allowed = f"1 … {MOST_NAME} printable characters and no number"
        raise ConfigError(f"name must be {allowed}, got {name[: MOST_NAME + 1]!r}")
    return found


def require_member(database: CastDatabase, member: int) -> None:
    """Raise ConfigError unless there is a member of this number."""
    if database.value("SELECT id FROM members WHERE id = ?", member) is None:
        raise ConfigError(f"{database.path}: has no member {member}; 'acfd-stream cast show' lists them")


def set_name(database: CastDatabase, member: int, name: str, *, merges: bool) -> int:
    """Name a member, and return it, or the member with which it was merged.

    Raises:
        ConfigError: there is no such member, or another one has the name and may not be merged.
    """
    require_member(database, member)
    holder = database.value("SELECT id FROM members WHERE name = ? AND id != ?", name, member) if name else None
    if holder is None:
        database.run("UPDATE members SET name = ? WHERE id = ?", name, member)
        return member
    if not merges:
        raise ConfigError(f"member {holder} is called {name} already; merge them with --merge, or choose another name")
    merge(database, holder, [member])
    return int(holder)


def merge(database: CastDatabase, member: int, others: Sequence[int]) -> None:
    """Make ``others`` one with ``member``; its name stays, or is the one name that they have.

    Raises:
        ConfigError: there is no such member, or two of them were in one frame.
    """
    every = [member, *others]
    if len(set(every)) != len(every) or not others:
        raise ConfigError(f"merge needs two members or more that differ, got {', '.join(map(str, every))}")
    for each in every:
        require_member(database, each)
    _require_never_together(database, every)
    names = {name for each in every if (name := database.value("SELECT name FROM members WHERE id = ?", each))}
    own = database.value("SELECT name FROM members WHERE id = ?", member)
    if not own and len(names) > 1:
        raise ConfigError(f"they have the names {', '.join(sorted(names))}; name the member that is to stay first")
    for other in others:
        database.run("UPDATE appearances SET member = ? WHERE member = ?", member, other)
        database.run("UPDATE views SET member = ? WHERE member = ?", member, other)
        database.run("DELETE FROM members WHERE id = ?", other)
    if not own and names:
        database.run("UPDATE members SET name = ? WHERE id = ?", names.pop(), member)
    prune(database, member)


def _require_never_together(database: CastDatabase, members: Sequence[int]) -> None:
    marks = ", ".join(str(int(each)) for each in members)
    # Views that were split off are still of their character, whose appearance stayed with the member of before.
    found = database.rows(
        f"WITH held AS (SELECT source, character, member FROM appearances WHERE member IN ({marks})"
        f" UNION SELECT source, character, member FROM views WHERE member IN ({marks}))"
        " SELECT a.member, b.member, sources.path FROM together"
        " JOIN held a ON a.source = together.source AND a.character = together.one"
        " JOIN held b ON b.source = together.source AND b.character = together.other"
        " JOIN sources ON sources.id = together.source"
        " WHERE a.member != b.member ORDER BY sources.path, a.member, b.member LIMIT 1"
    )
    if found:
        one, other, path = found[0]
        raise ConfigError(f"members {one} and {other} were in one frame of {path}, so they are two; split one before")


def split(database: CastDatabase, member: int, views: Sequence[int]) -> int:
    """Move views of a member to a new one, and return it.

    A character of a video follows its views: it moves where none of them is left behind.

    Raises:
        ConfigError: there is no such member, or a view is not its own, or none would stay.
    """
    require_member(database, member)
    own = {number for (number,) in database.rows("SELECT id FROM views WHERE member = ?", member)}
    if not views or not own > set(views):
        raise ConfigError(
            f"views must be some, but not all, of member {member}'s: {_listed(own)}; got {_listed(set(views))}"
        )
    new = database.run("INSERT INTO members DEFAULT VALUES")
    marks = ", ".join(str(int(each)) for each in views)
    database.run(f"UPDATE views SET member = ? WHERE id IN ({marks})", new)
    same = "views.source = appearances.source AND views.character = appearances.character"
    database.run(
        "UPDATE appearances SET member = ? WHERE member = ?"
        f" AND EXISTS (SELECT 1 FROM views WHERE {same} AND views.member = ?)"
        f" AND NOT EXISTS (SELECT 1 FROM views WHERE {same} AND views.member = ?)",
        *(new, member, new, member),
    )
    return new


def split_source(database: CastDatabase, member: int, source: str, character: int | None) -> int:
    """Move what a member has from one video to a new member, and return it.

    Args:
        database: in a change.
        member: to take it from.
        source: as the cast has its path.
        character: of this video; None: all that are this member.

    Raises:
        ConfigError: there is no such member, it is not in this video, or nothing would stay.
    """
    require_member(database, member)
    where = "member = ? AND source = (SELECT id FROM sources WHERE path = ?)"
    values: tuple[object, ...] = (member, source)
    if character is not None:
        where, values = f"{where} AND character = ?", (*values, character)
    moved = database.value(f"SELECT COUNT(*) FROM appearances WHERE {where}", *values)
    if not moved:
        which = "" if character is None else f" as character {character}"
        raise ConfigError(f"member {member} is not in {source}{which}; 'acfd-stream cast show' says where it is")
    if moved == database.value("SELECT COUNT(*) FROM appearances WHERE member = ?", member):
        raise ConfigError(f"member {member} is nowhere else than in {source}; there is nothing to split")
    new = database.run("INSERT INTO members DEFAULT VALUES")
    for table in ("appearances", "views"):
        database.run(f"UPDATE {table} SET member = ? WHERE {where}", new, *values)
    return new


def forget(database: CastDatabase, members: Sequence[int]) -> None:
    """Remove members with their pictures. Their characters in videos that were added have no member from now on.

    Raises:
        ConfigError: there is no such member.
    """
    for member in members:
        require_member(database, member)
        for table, column in (("appearances", "member"), ("views", "member"), ("members", "id")):
            database.run(f"DELETE FROM {table} WHERE {column} = ?", member)


def _listed(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers))) or "none"
