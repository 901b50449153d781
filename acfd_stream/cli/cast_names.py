"""Names between a cast, the page of a report, and results that are finished."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acfd_stream.cli.progress import count
from acfd_stream.errors import AcfdError, CastNetworkError, ConfigError, MediaError

if TYPE_CHECKING:
    from acfd_stream.identity.cast.cast import Cast
    from acfd_stream.outputs import ResultFile

_FIELDS = {"type", "version", "result", "characters", "names", "merges"}
VERSION = 1


def apply_names_file(cast: Cast, path: Path, result: Path | None) -> list[str]:
    """Take over what somebody named and merged in the page of a report; what was done, in words.

    Args:
        cast: has the result that the file belongs to.
        path: of the file that the page has saved.
        result: this result, or its views file; None: the one of the cast whose video has the name that the file says.

    Raises:
        ConfigError: the names are of another run or result than the cast has, or the cast refuses one of them.
        MediaError: it is no such file, or a result or its views cannot be read, or they are of two runs.
    """
    from acfd_stream.identity.cast.adding import views_path
    from acfd_stream.recording.rename import require_same_run

    values = _read(path)
    results = _result_of(cast, values, result)
    require_same_run(results, views_path(results.path))
    if not cast.has(results.path):  # by looks alone, a name might get to another member than the one in the page
        add = f"'acfd-stream cast build {results.path} --to {cast.path}'"
        raise ConfigError(f"{path}: the cast has another run of {results.path}, or none; {add} adds this one")
    members = {number: match.member for number, match in cast.names(results.path).items()}
    done = []

    def member_of(character: int) -> int:
        if character not in members:
            raise ConfigError(f"{path}: character {character} is no member of the cast; build it from this result")
        return members[character]

    with cast.one_change(f"take names from {path.name}"):
        for kept, merged in values["merges"]:
            one, other = member_of(kept), member_of(merged)
            if one != other:
                cast.merge(one, other)
                members |= {number: one for number, member in members.items() if member == other}
                done.append(f"merged member {other} into {one}")
        for character, name in values["names"].items():
            member = cast.name(member_of(character), name, merges=True)
            members |= {number: member for number, old in members.items() if old == members[character]}
            done.append(f"member {member} is {name}" if name else f"member {member} has no name")
    return done


def apply_cast(cast: Cast, results: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Write the names of ``cast`` into results; gives a line for each that is done, and whether it is an error.

    Raises:
        AcfdError: a place cannot be used, or a file cannot be written.
    """
    from acfd_stream.archive.season_cast import apply_names, archive_of
    from acfd_stream.identity.cast.adding import results_path, views_files

    wanted = [results_path(path) for path in views_files(results)]
    archives = {out: None for path in wanted if (out := archive_of(path)) is not None}
    changed = 0
    for out in archives:
        inside = {os.path.abspath(path) for path in wanted if archive_of(path) == out}
        withdrawn: set[str] = set()
        for each in apply_names(cast, out, lambda path, inside=inside: os.path.abspath(path) in inside):  # type: ignore[misc]
            withdrawn |= set(each.withdrawn)
            changed += each.has_changed
            if each.error:
                yield f"{each.name}: {each.error}", True
        if withdrawn:
            removed = ", ".join(sorted(withdrawn))
            yield f"{out}: {removed} had old names; 'acfd-stream archive resume {out}' makes them again", False
    for path in wanted:
        if archive_of(path) is None:
            try:
                changed += _apply(cast, path)
            except (CastNetworkError, MediaError) as error:
                yield str(error), True
    yield f"{count(len(wanted), 'result')}: {changed} with other names now", False


def _apply(cast: Cast, path: Path) -> bool:
    from acfd_stream.identity.cast.adding import views_path
    from acfd_stream.outputs import read_results
    from acfd_stream.recording.rename import names_of, rename_characters

    results = read_results(path)
    return rename_characters(results, names_of(cast, results, views_path(path)))


def _read(path: Path) -> dict[str, Any]:
    """The names file of a page, with numbers as such.

    Raises:
        MediaError: it is none.
    """
    try:
        values = json.loads(path.read_bytes())
        if values["type"] != "names" or values["version"] != VERSION or not set(values) <= _FIELDS:
            raise ValueError(f"it has {', '.join(sorted(values))}")
        names = {int(number): name for number, name in values.get("names", {}).items()}
        merges = [(kept, merged) for kept, merged in values.get("merges", ())]
        numbers = [*names, *(number for pair in merges for number in pair)]
        if not all(type(number) is int for number in numbers) or not all(type(name) is str for name in names.values()):
            raise ValueError("a number or a name is none")
        about = {name: values[name] for name in ("result", "characters") if name in values}
        if not all(type(text) is str for text in about.values()):
            raise ValueError("the result is no text")
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MediaError(f"{path}: is no file of names of version {VERSION} ({error})") from error
    return {**about, "names": names, "merges": merges}


def _result_of(cast: Cast, values: Mapping[str, Any], result: Path | None) -> ResultFile:
    """The result to which a names file belongs."""
    from acfd_stream.identity.cast.adding import results_path, views_path
    from acfd_stream.outputs import read_results
    from acfd_stream.outputs.report.characters import numbering_key
    from acfd_stream.outputs.report.text_format import shown_text

    sources = {each.source for member in cast.members() for each in member.appearances}
    places = [cast.path.parent / source for source in sorted(sources)] if result is None else [result]
    for place in places:
        try:
            results = read_results(results_path(views_path(place)))
        except AcfdError:
            if result is not None:
                raise
            continue
        source = shown_text(results.header.source)
        key = numbering_key(source, results.end.characters)
        is_named = values.get("result", source) == source
        if (result is not None or is_named) and values.get("characters", key) == key:
            return results
    what = values.get("result", "its result") if result is None else result
    raise ConfigError(
        f"the names are of another run of {what}, or it is not in the cast; save them again from its page"
    )
