"""The commands ``cast …``: characters of many videos, with names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acfd_stream.cli.choices import QuietOption
from acfd_stream.cli.exits import DONE, INPUT_AT_FAULT, print_error, print_note
from acfd_stream.cli.progress import count
from acfd_stream.errors import ConfigError
from acfd_stream.printable import printable

if TYPE_CHECKING:
    from acfd_stream.identity.cast.cast import Cast
    from acfd_stream.identity.cast.members import Member

cast_app = typer.Typer(
    help="Who the characters of many videos are: build a cast, name its members, and write the names into results.",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Argument(metavar="CAST", help="File of the cast.")]
Who = Annotated[str, typer.Argument(metavar="MEMBER", help="Number or name of a member.")]
Results = Annotated[
    list[str],
    typer.Argument(metavar="RESULTS…", help="Results with their views files beside them, or folders of them."),
]


@cast_app.command()
def build(
    results: Results,
    to: Annotated[Path, typer.Option("--to", metavar="CAST", help="File of the cast; made where there is none.")],
    is_quiet: QuietOption = False,
) -> int:
    """Add the characters of finished videos: known ones join their members, others become new members."""
    from acfd_stream.identity.cast.cast import Cast

    with Cast.made(to) as cast:
        found = cast.build(results)
        members = cast.members()
    for each in [] if is_quiet else found:
        what = f"{count(len(each.members), 'character')}, {len(each.new)} new"
        if each.replaced:
            what += f"; replaces the {len(each.replaced)} that the cast had from this file"
        print_note(f"{each.path}: {'is in the cast already' if each.is_known else what}")
    if not is_quiet:
        print_note(f"{to}: {count(len(members), 'member')}")
    replaced = {member for each in found for member in each.replaced.values()}
    if lost := [member.name for member in members if member.number in replaced and not member.views]:
        print_error(
            f"warning: {to}: no pictures are left of {', '.join(lost)}: those came from files that have changed; "
            f"'acfd-stream cast undo {to}' takes this back"
        )
    return DONE


@cast_app.command()
def show(
    file: File,
    who: Annotated[str | None, typer.Argument(metavar="MEMBER", help="Only this one, with its pictures.")] = None,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object per member.")] = False,
) -> int:
    """List the members, those with most tracks first; or where one of them is, and the numbers of its pictures."""
    with _opened(file) as cast:
        members = sorted(cast.members(), key=lambda member: (-member.tracks, member.number))
        if who is not None:
            number = cast.find(who)
            members = [member for member in members if member.number == number]
        if is_json:
            for member in members:
                print(json.dumps(_values(cast, member, with_views=who is not None)))
        elif who is None:
            _print_members(members)
        else:
            _print_member(cast, members[0])
    return DONE


@cast_app.command()
def name(
    file: File,
    who: Annotated[str | None, typer.Argument(metavar="MEMBER", help="Number or name of a member.")] = None,
    new_name: Annotated[str | None, typer.Argument(metavar="NAME", help="Its name; '' takes the name away.")] = None,
    merges: Annotated[bool, typer.Option("--merge", help="Where another member has the name, make both one.")] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="NAMES.json", help="Take names and merges from a file that a report has saved."),
    ] = None,
    result: Annotated[
        Path | None,
        typer.Option("--result", metavar="RESULT", help="The result that --from belongs to; default: as it says."),
    ] = None,
) -> int:
    """Name a member; or all that somebody named in the page of a report."""
    if (source is None) != (who is not None and new_name is not None) or (source is not None and who is not None):
        raise ConfigError("name takes MEMBER and NAME, or --from NAMES.json; give one of them")
    with _opened(file) as cast:
        if source is not None:
            from acfd_stream.cli.cast_names import apply_names_file

            for line in apply_names_file(cast, source, result):
                print_note(line)
        elif who is not None and new_name is not None:
            cast.name(cast.find(who), new_name, merges=merges)
    return DONE


@cast_app.command()
def merge(
    file: File,
    who: Who,
    others: Annotated[list[str], typer.Argument(metavar="OTHER…", help="Members that are the same character.")],
) -> int:
    """Make members one; refused for two that were in one frame."""
    with _opened(file) as cast:
        cast.merge(cast.find(who), *map(cast.find, others))
    return DONE


@cast_app.command()
def split(
    file: File,
    who: Who,
    views: Annotated[
        str, typer.Option("--views", metavar="N,N,…", help="Numbers of the pictures to take, of 'cast show MEMBER'.")
    ] = "",
    source: Annotated[
        str | None, typer.Option("--from", metavar="RESULT", help="Take all that comes from this video instead.")
    ] = None,
    character: Annotated[
        int | None, typer.Option("--character", metavar="N", help="With --from: only this character of the video.")
    ] = None,
) -> int:
    """Make a new member of some pictures of a member, or of what comes from one video; prints its number."""
    from acfd_stream.cli.choices import split as parts

    if not all(part.isdecimal() and len(part) <= 18 for part in parts(views)):
        raise ConfigError(f"--views must be whole numbers like 3,4,7, got {views[:100]!r}")
    with _opened(file) as cast:
        print(
            cast.split(
                cast.find(who),
                views=[int(part) for part in parts(views)],
                source=None if source is None else _source(cast, source),
                character=character,
            )
        )
    return DONE


@cast_app.command()
def forget(file: File, who: Annotated[list[str], typer.Argument(metavar="MEMBER…", help="Whom to remove.")]) -> int:
    """Remove members with their pictures."""
    with _opened(file) as cast:
        cast.forget(*map(cast.find, who))
    return DONE


@cast_app.command()
def undo(file: File) -> int:
    """Take the last change back; the last ten can be undone, one after the other."""
    with _opened(file) as cast:
        what = cast.undo()
    if what is None:
        raise ConfigError(f"{file}: there is no change to undo")
    print_note(f"undone: {what}")
    return DONE


@cast_app.command()
def export(
    file: File,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for cast.json and the crops.")],
) -> int:
    """Write all members with their pictures and embeddings as a folder of plain files."""
    with _opened(file) as cast:
        cast.export(folder)
    return DONE


@cast_app.command()
def rebuild(
    file: File,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME|PATH", help="The embedding network to move to.")
    ] = "acfd-id",
) -> int:
    """Embed all pictures anew with another version of the embedding network."""
    from acfd_stream.identity.embedder import FaceEmbedder

    with _opened(file) as cast, FaceEmbedder.open(model) as embedder:
        dropped = cast.rebuild(embedder)
    if dropped:
        print_error(f"warning: {file}: {count(dropped, 'picture')} could not be read and were dropped")
    return DONE


@cast_app.command()
def apply(file: File, results: Results, is_quiet: QuietOption = False) -> int:
    """Write the names of the cast into finished results; other names are taken away."""
    from acfd_stream.cli.cast_names import apply_cast

    has_failed = False
    with _opened(file) as cast:
        for line, is_error in apply_cast(cast, results):
            has_failed = has_failed or is_error
            if is_error:
                print_error(line)
            elif not is_quiet:
                print_note(line)
    return INPUT_AT_FAULT if has_failed else DONE


@contextmanager
def _opened(path: Path) -> Iterator[Cast]:
    from acfd_stream.identity.cast.cast import Cast

    with Cast.open(path) as cast:
        yield cast


def _source(cast: Cast, text: str) -> str:
    """A video as the cast calls it; ``text`` may also be the path of its results."""
    from acfd_stream.identity.cast.adding import views_path

    known = {each.source for member in cast.members() for each in member.appearances}
    if text in known:
        return text
    return os.path.relpath(views_path(Path(text)).absolute(), cast.path.absolute().parent)


def _values(cast: Cast, member: Member, *, with_views: bool) -> dict[str, Any]:
    views = [
        {"view": view.number, "source": view.source, "character": view.character, "track": view.track}
        | {"frame": view.frame, "time": view.time, "quality": view.quality}
        for view in (cast.views(member.number) if with_views else ())
    ]
    return {
        "member": member.number,
        "name": member.name,
        "tracks": member.tracks,
        "appearances": [
            {"source": each.source, "character": each.character, "tracks": each.tracks} for each in member.appearances
        ],
        **({"views": views} if with_views else {}),
    }


def _print_members(members: list[Member]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table("member", "name", box=box.SIMPLE_HEAD)
    for column in ("videos", "tracks", "pictures"):
        table.add_column(column, justify="right")
    for member in members:
        videos = len({each.source for each in member.appearances})
        counts = (str(number) for number in (videos, member.tracks, member.views))
        table.add_row(str(member.number), _text(member.name or "–"), *counts)
    Console().print(table if members else "the cast has no members")


def _print_member(cast: Cast, member: Member) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    Console().print(_text(f"member {member.number}" + (f", {member.name}" if member.name else "")))
    places = Table("video", "character", "tracks", box=box.SIMPLE_HEAD)
    for each in member.appearances:
        places.add_row(_text(each.source), str(each.character), str(each.tracks))
    views = Table("picture", "video", "character", "track", "time", "quality", box=box.SIMPLE_HEAD)
    for view in cast.views(member.number):
        numbers = (str(view.character), str(view.track), f"{view.time:.2f}", f"{view.quality:.2f}")
        views.add_row(str(view.number), _text(view.source), *numbers)
    Console().print(places, views)


def _text(text: str) -> Any:
    from rich.text import Text

    return Text(printable(text))
