"""A cast: what is added, named, merged, split and undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from acfd_stream.errors import ConfigError, MediaError
from acfd_stream.identity.cast.cast import Cast
from tests.identity.made_up import looks, write_views

VELMA, FRED, SHAGGY, DAPHNE, GHOST = range(1, 6)


@pytest.fixture
def cast(tmp_path: Path) -> Cast:
    """A cast of two episodes: Velma, Fred and Shaggy in both."""
    write_views(tmp_path / "out/e1.views.ndjson", [VELMA, FRED, SHAGGY], together=[(1, 2)], seed=1)
    write_views(tmp_path / "out/e2.views.ndjson", [FRED, DAPHNE, VELMA, SHAGGY], together=[(1, 3)], seed=2)
    cast = Cast.open(tmp_path / "cast.db", is_new=True)
    cast.build([tmp_path / "out"])
    return cast


def content(cast: Cast) -> object:
    views = [(view.number, view.member, view.crop) for member in cast.members() for view in cast.views(member.number)]
    return cast.about(), cast.members(), views


def test_characters_of_episodes_become_members(cast: Cast) -> None:
    found = {member.number: [(each.source, each.character) for each in member.appearances] for member in cast.members()}
    first, second = "out/e1.views.ndjson", "out/e2.views.ndjson"
    assert found == {
        1: [(first, 1), (second, 3)],
        2: [(first, 2), (second, 1)],
        3: [(first, 3), (second, 4)],
        4: [(second, 2)],
    }
    assert cast.about()["model"] == "acfd-id"
    match = cast.match(looks(DAPHNE, seed=9))
    assert match is not None
    assert (match.member, match.name) == (4, "")
    assert cast.match(looks(GHOST)) is None


def test_building_again_changes_nothing(cast: Cast, tmp_path: Path) -> None:
    before = (tmp_path / "cast.db").read_bytes()
    assert all(each.is_known for each in cast.build([tmp_path / "out"]))
    assert (tmp_path / "cast.db").read_bytes() == before


def test_one_build_is_equal_from_run_to_run(cast: Cast, tmp_path: Path) -> None:
    with Cast.open(tmp_path / "again.db", is_new=True) as again:
        again.build([tmp_path / "out/e1.views.ndjson", tmp_path / "out/e2.views.ndjson"])
        assert content(again) == content(cast)


def test_an_episode_that_is_tracked_again_replaces_its_part(cast: Cast, tmp_path: Path) -> None:
    cast.name(4, "Daphne")
    write_views(tmp_path / "out/e2.views.ndjson", [VELMA, FRED], seed=3)
    (_, added) = cast.build([tmp_path / "out"])
    assert (added.members, added.new, added.replaced) == ({1: 1, 2: 2}, frozenset(), {1: 2, 2: 4, 3: 1, 4: 3})
    members = {member.number: member for member in cast.members()}
    assert [each.character for each in members[1].appearances] == [1, 1]
    assert members[4].name == "Daphne"  # a name is never lost
    assert members[4].appearances == ()


def test_results_are_found_beside_their_views(cast: Cast, tmp_path: Path) -> None:
    cast.name(1, "Velma")
    (tmp_path / "out/e1.jsonl").touch()
    found = cast.names(tmp_path / "out/e1.jsonl")
    assert {number: (match.member, match.name, match.confidence) for number, match in found.items()} == {
        1: (1, "Velma", 1.0),
        2: (2, "", 1.0),
        3: (3, "", 1.0),
    }
    third = write_views(tmp_path / "e3.views.ndjson", [GHOST, VELMA], seed=4)  # it was not added: by looks
    assert {number: match.name for number, match in cast.names(third).items()} == {2: "Velma"}
    with pytest.raises(MediaError, match=r"none\.views\.ndjson: there is no such views file"):
        cast.names(tmp_path / "none.jsonl")


def test_a_name_belongs_to_one_member(cast: Cast) -> None:
    assert cast.name(1, " Velma ") == 1
    assert cast.find("Velma") == cast.find("1") == cast.find(1) == 1
    with pytest.raises(ConfigError, match="member 1 is called Velma already; merge them with --merge"):
        cast.name(4, "Velma")
    assert cast.name(4, "Velma", merges=True) == 1
    assert [member.number for member in cast.members()] == [1, 2, 3]
    assert cast.name(1, "") == 1
    with pytest.raises(ConfigError, match="has no member 'Velma'"):
        cast.find("Velma")


@pytest.mark.parametrize("name", ["  ", "x" * 101, "a\nb", "12", "\ud800", "\u202eamleV", "\u200d", "a\u2028b"])
def test_a_name_that_is_none_is_refused(cast: Cast, name: str) -> None:
    with pytest.raises(ConfigError, match="name must be 1 … 100 printable characters and no number"):
        cast.name(1, name)


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("👩\u200d🚀 👨\u200d👩\u200d👧", "👩\u200d🚀 👨\u200d👩\u200d👧"),
        ("क्\u200dष می\u200cخواهم", "क्\u200dष می\u200cخواهم"),
        ("Velma\u00a0Dinkley\u00a0", "Velma Dinkley"),
        ("桜木\u3000花道", "桜木 花道"),
        ("\u200dVel\u200dma\u200c", "Velma"),
        ("क्\u200d\u200dष\u200d", "क्\u200dष"),
    ],
)
def test_a_name_of_any_script_is_stored_as_it_is_read(cast: Cast, name: str, stored: str) -> None:
    cast.name(1, name)
    assert cast.members()[0].name == stored
    assert cast.find(name) == cast.find(stored) == 1


def test_two_of_one_frame_are_never_merged(cast: Cast) -> None:
    before = content(cast)
    with pytest.raises(ConfigError, match=r"members 1 and 2 were in one frame of out/e1\.views\.ndjson"):
        cast.merge(1, 2)
    with pytest.raises(ConfigError, match="were in one frame"):
        cast.merge(3, 2, 1)
    assert content(cast) == before
    cast.merge(4, 3)  # these two were not
    with pytest.raises(ConfigError, match="merge needs two members or more that differ"):
        cast.merge(4, 4)
    with pytest.raises(ConfigError, match="has no member 3"):
        cast.merge(4, 3)


def test_views_that_were_split_off_are_still_of_their_frames(cast: Cast) -> None:
    first, *_ = (view.number for view in cast.views(1) if view.source.startswith("out/e1"))
    assert cast.split(1, views=[first]) == 5  # without an appearance
    before = content(cast)
    for members in ((2, 5), (5, 2)):
        with pytest.raises(ConfigError, match=r"members (2 and 5|5 and 2) were in one frame of out/e1\.views\.ndjson"):
            cast.merge(*members)
    cast.name(2, "Fred")
    with pytest.raises(ConfigError, match="were in one frame"):
        cast.name(5, "Fred", merges=True)
    cast.name(2, "")
    assert content(cast) == before
    cast.merge(1, 5)  # of one character


def test_a_merge_keeps_the_one_name(cast: Cast) -> None:
    cast.name(3, "Shaggy")
    cast.merge(4, 3)
    assert {member.number: member.name for member in cast.members()} == {1: "", 2: "", 4: "Shaggy"}
    assert cast.match(looks(SHAGGY, seed=8)) == cast.match(looks(SHAGGY, seed=8))
    cast.name(1, "Velma")
    cast.merge(1, 4)
    assert cast.find("Velma") == 1


def test_a_split_takes_what_came_from_one_episode(cast: Cast) -> None:
    cast.name(1, "Velma")
    assert cast.split(1, source="out/e2.views.ndjson") == 5
    assert [(each.source, each.character) for each in cast.members()[-1].appearances] == [("out/e2.views.ndjson", 3)]
    assert {view.source for view in cast.views(5)} == {"out/e2.views.ndjson"}
    assert {view.source for view in cast.views(1)} == {"out/e1.views.ndjson"}
    with pytest.raises(ConfigError, match=r"member 1 is not in out/e2\.views\.ndjson"):
        cast.split(1, source="out/e2.views.ndjson")
    with pytest.raises(ConfigError, match="there is nothing to split"):
        cast.split(5, source="out/e2.views.ndjson")


def test_a_split_of_views_moves_a_character_with_its_last_view(cast: Cast) -> None:
    from_second = [view.number for view in cast.views(1) if view.source.startswith("out/e2")]
    assert cast.split(1, views=from_second[1:]) == 5
    assert cast.members()[-1].appearances == ()
    assert cast.split(1, views=from_second[:1]) == 6
    assert [each.character for each in cast.members()[-1].appearances] == [3]
    with pytest.raises(ConfigError, match="views must be some, but not all, of member 1's"):
        cast.split(1, views=from_second[:1])
    with pytest.raises(ConfigError, match="either views or a source"):
        cast.split(1)


def test_forgotten_members_stay_forgotten_where_they_were(cast: Cast, tmp_path: Path) -> None:
    cast.forget(1, 4)
    cast.build([tmp_path / "out"])
    assert [member.number for member in cast.members()] == [2, 3]
    assert sorted(cast.names(tmp_path / "out/e1.views.ndjson")) == [2, 3]


def test_every_change_can_be_undone(cast: Cast, tmp_path: Path) -> None:
    states, write = [content(cast)], write_views(tmp_path / "new/e3.views.ndjson", [GHOST, VELMA], seed=3)
    for change in (
        lambda: cast.name(1, 'Velma\'s "quotes"'),
        lambda: cast.merge(4, 3),
        lambda: cast.split(1, source="out/e2.views.ndjson"),
        lambda: cast.forget(2),
        lambda: cast.build([write]),
    ):
        change()
        states.append(content(cast))
    expected = ["add 1 video", "forget members 2", "split member 1", "merge members 3 into 4", "name member 1 "]
    for state, what in zip(reversed(states[:-1]), expected, strict=True):
        assert (cast.undo() or "").startswith(what)
        assert content(cast) == state
    cast.forget(4)
    assert cast.split(1, source="out/e2.views.ndjson") == 8  # no number is used twice, also after an undo


def test_ten_changes_can_be_undone(cast: Cast) -> None:
    for number in range(12):
        cast.name(1, f"Name {number}")
    cast.undo()
    cast.name(1, "Name 11")
    undone = []
    while (what := cast.undo()) is not None:
        undone.append(what)
    assert undone == [f"name member 1 'Name {number}'" for number in range(11, 1, -1)]
    assert cast.find("Name 1") == 1


def test_views_are_bounded_and_unlike_each_other(tmp_path: Path) -> None:
    files = [write_views(tmp_path / f"e{number:02}.views.ndjson", [1], seed=number) for number in range(9)]
    with Cast.open(tmp_path / "cast.db", is_new=True) as cast:
        cast.build(files[:4])
        cast.build(files[4:])
        views = cast.views(1)
        assert len(views) == 16
        assert len({view.source for view in views}) >= 6
        assert [len(member.appearances) for member in cast.members()] == [9]
